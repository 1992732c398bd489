//! The bad rows of a run, with their keys and reasons.

use arrow::{array::AsArray, datatypes::DataType};

use super::{
    Prepared,
    filling::{BadRow, bad_row},
    scoring::Scored,
    selecting::Chosen,
};
use crate::{
    error::{Error, Result},
    schema::{REASON, STATUS, Status},
    select::Selection,
    sink::{Reject, RejectsWriter, Staged},
    source::{ReadPlan, ShardReader},
    store::ShardIdentity,
};

/// Keys are read in portions of this many rows.
const BATCH_ROWS: usize = 1024;

/// The selected rows of one shard.
pub(super) fn rows_of(
    selection: &Selection,
    number: usize,
    shard: &ShardIdentity,
) -> Result<Vec<i64>> {
    let all = 0..usize::try_from(shard.rows).unwrap_or(usize::MAX);
    let runs = selection.runs(number, all).into_iter();
    runs.flat_map(|(start, len)| start..start + len)
        .map(|row| {
            i64::try_from(row).map_err(|error| Error::internal("number a row").source(error))
        })
        .collect()
}

/// Gives every bad row to `take`, in row order.
pub(super) fn for_each_bad(
    prepared: &Prepared,
    scored: &Scored,
    chosen: &Chosen,
    take: &mut dyn FnMut(Reject) -> Result<()>,
) -> Result<()> {
    for (number, shard) in prepared.shards.identities.iter().enumerate() {
        let rows = rows_of(&chosen.bad_rows, number, shard)?;
        if rows.is_empty() {
            continue;
        }
        let mut keys = keys_of(prepared, number, &chosen.bad_rows)?.into_iter();
        let mut cursor = scored.store.scores(shard)?.cursor(&[STATUS, REASON], 0)?;
        for portion in rows.chunks(BATCH_ROWS) {
            let facts = cursor.take(portion)?;
            let (statuses, reasons) = (facts[0].as_string::<i32>(), facts[1].as_string::<i32>());
            for (position, &row) in portion.iter().enumerate() {
                take(Reject {
                    key: keys.next().flatten(),
                    shard: prepared.shards.set.shards[number]
                        .path
                        .display()
                        .to_string(),
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

/// Keys of the selected rows of one shard; only the pages that hold them are read.
pub(super) fn keys_of(
    prepared: &Prepared,
    number: usize,
    rows: &Selection,
) -> Result<Vec<Option<String>>> {
    let set = &prepared.shards.set;
    let key = prepared.shards.binding.key.as_ref();
    let Some(column) = key.and_then(|key| set.schema.index_of(key).ok()) else {
        return Ok(Vec::new());
    };
    let plan = ReadPlan {
        columns: vec![column],
        batch_rows: BATCH_ROWS,
        batch_bytes: u64::MAX,
        ..ReadPlan::default()
    };
    let shard = &set.shards[number];
    let reader = ShardReader::open(shard, plan)?;
    let (mut keys, mut first) = (Vec::new(), 0);
    for (group, &len) in shard.row_groups.iter().enumerate() {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let runs = rows.runs(number, first..first + len);
        first += len;
        if runs.is_empty() {
            continue;
        }
        let wanted = runs.into_iter().map(|(start, len)| start..start + len);
        for batch in reader.row_group(group, Some(wanted.collect()))? {
            let batch = batch?;
            let texts =
                arrow::compute::cast(batch.column(0), &DataType::Utf8).map_err(|error| {
                    Error::input("read the key column")
                        .with("shard", shard.path.display())
                        .source(error)
                })?;
            let texts = texts.as_string::<i32>();
            keys.extend(texts.iter().map(|text| text.map(str::to_owned)));
        }
    }
    Ok(keys)
}

/// The bad rows under their temporary name.
pub(super) fn write(
    mut writer: RejectsWriter,
    prepared: &Prepared,
    scored: &Scored,
    chosen: &Chosen,
) -> Result<Staged> {
    for_each_bad(prepared, scored, chosen, &mut |reject| writer.push(reject))?;
    writer.finish()
}

/// The error that names the first bad row.
pub(super) fn first_bad(prepared: &Prepared, scored: &Scored, chosen: &Chosen) -> Result<Error> {
    let mut found = None;
    // An error of its own ends the search.
    let searched = for_each_bad(prepared, scored, chosen, &mut |reject| {
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
