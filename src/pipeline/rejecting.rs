//! The bad rows of a run, with their keys and reasons.

use arrow::array::AsArray;

use super::context::{BadRow, bad_row, keys_of};
use crate::{
    error::{Error, Result},
    schema::{REASON, STATUS, Status},
    select::Chosen,
    sink::{Reject, RejectsWriter, Staged},
    source::BoundShards,
    store::ScoreStore,
};

/// Facts are read in portions of this many rows.
const BATCH_ROWS: usize = 1024;

/// Bad rows, and where their reasons are.
pub(super) struct Rejecting<'a> {
    pub(super) shards: &'a BoundShards,
    pub(super) store: &'a ScoreStore,
    pub(super) chosen: &'a Chosen,
}

impl Rejecting<'_> {
    /// The bad rows in `file`; not visible yet.
    pub(super) fn list(&self, file: Staged) -> Result<Staged> {
        let mut writer = RejectsWriter::create(file)?;
        self.for_each(&mut |reject| writer.push(reject))?;
        writer.close()
    }

    /// The error that names the first bad row.
    pub(super) fn first(&self) -> Result<Error> {
        let mut found = None;
        // An error of its own ends the search.
        let searched = self.for_each(&mut |reject| {
            found = Some(bad_row(BadRow {
                shard: &reject.shard,
                row: reject.row,
                key: reject.key.as_deref().unwrap_or_default(),
                status: reject.status.as_str(),
                reason: &reject.reason,
            }));
            Err(Error::internal("look on"))
        });
        match found {
            Some(error) => Ok(error),
            None => searched.and_then(|()| Err(Error::internal("find a bad row"))),
        }
    }

    /// Gives every bad row to `take`, in row order.
    fn for_each(&self, take: &mut dyn FnMut(Reject) -> Result<()>) -> Result<()> {
        let bad_rows = &self.chosen.bad_rows;
        for (number, shard) in self.shards.identities.iter().enumerate() {
            let rows = bad_rows.rows_of(number);
            if rows.is_empty() {
                continue;
            }
            let mut keys = keys_of(self.shards, number, bad_rows)?.into_iter();
            let mut cursor = self.store.scores(shard)?.cursor(&[STATUS, REASON], 0)?;
            let place = self.shards.set.shards[number].location.to_string();
            for portion in rows.chunks(BATCH_ROWS) {
                let facts = cursor.take(portion)?;
                let (statuses, reasons) =
                    (facts[0].as_string::<i32>(), facts[1].as_string::<i32>());
                for (position, &row) in portion.iter().enumerate() {
                    take(Reject {
                        key: keys.next().flatten(),
                        shard: place.clone(),
                        row,
                        status: Status::from_name(statuses.value(position))
                            .ok_or_else(|| Error::input("read a status in the score store"))?,
                        reason: reasons.value(position).to_owned(),
                    })?;
                }
            }
        }
        Ok(())
    }
}
