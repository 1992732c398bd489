//! Rows with everything that is shown of them.

use std::collections::{BTreeSet, HashMap};

use arrow::array::AsArray;

use super::{
    alike::selection_of,
    case::{Case, RowRef, number},
    facts::{BadExhibit, Exhibit},
    fate::Fates,
    names::ShardNames,
    pictures::{self, Wants},
};
use crate::{
    error::Result,
    schema::{REASON, STATUS},
};

/// Bad rows that are listed of each status.
const BAD_PER_STATUS: usize = 12;

/// Rows that are shown, each once.
#[derive(Default)]
pub(super) struct Exhibits {
    pub(super) rows: Vec<Exhibit>,
    places: HashMap<RowRef, usize>,
}

impl Exhibits {
    /// Reads what is shown of some rows.
    pub(super) fn read(case: &Case<'_>, rows: &BTreeSet<RowRef>, wants: Wants) -> Result<Self> {
        let rows: Vec<RowRef> = rows.iter().copied().collect();
        let wanted = selection_of(case, &rows);
        let shards = &case.shards;
        let names = ShardNames::of(&shards.set.shards);
        let columns = case.score_names();
        let fates = Fates::of(case);
        let mut exhibits = Self::default();
        for (shard, identity) in shards.identities.iter().enumerate() {
            let numbers = wanted.rows_of(shard);
            if numbers.is_empty() {
                continue;
            }
            let mut cursor = case.store.scores(identity)?.cursor(&columns, 0)?;
            let scores = cursor.take(&numbers)?;
            let facts = pictures::read(case, shard, &wanted, wants)?;
            for (position, (&row, facts)) in numbers.iter().zip(facts).enumerate() {
                let row = RowRef { shard, row };
                let score = |column: usize| {
                    let column = scores[column].as_primitive_opt()?;
                    number(column, position)
                };
                let of_row = columns.iter().enumerate();
                let of_row = of_row.filter_map(|(column, name)| Some((*name, score(column)?)));
                let fate = fates.fate(row, score(0), score(case.order()));
                exhibits.places.insert(row, exhibits.rows.len());
                exhibits.rows.push(Exhibit {
                    reference: names.reference(row),
                    place: names.place(row),
                    key: facts.key,
                    caption: facts.caption,
                    scores: of_row.collect(),
                    kept: fate.is_none(),
                    removed_by: fate,
                    thumbnail: facts.thumbnail,
                    no_image: facts.no_image,
                });
            }
        }
        Ok(exhibits)
    }

    /// The positions of some rows.
    pub(super) fn places(&self, rows: &[RowRef]) -> Vec<usize> {
        let places = rows.iter().filter_map(|row| self.places.get(row));
        places.copied().collect()
    }
}

/// A few bad rows of every status, in row order.
pub(super) fn bad_rows(case: &Case<'_>) -> Result<Vec<BadExhibit>> {
    let shards = &case.shards;
    let names = ShardNames::of(&shards.set.shards);
    let mut listed: HashMap<String, usize> = HashMap::new();
    let mut exhibits = Vec::new();
    for (shard, identity) in shards.identities.iter().enumerate() {
        let bad = case.chosen.bad_rows.rows_of(shard);
        if bad.is_empty() {
            continue;
        }
        let mut cursor = case.store.scores(identity)?.cursor(&[STATUS, REASON], 0)?;
        let mut found = Vec::new();
        for portion in bad.chunks(1024) {
            let facts = cursor.take(portion)?;
            let (statuses, reasons) = (facts[0].as_string::<i32>(), facts[1].as_string::<i32>());
            for (position, &row) in portion.iter().enumerate() {
                let status = statuses.value(position);
                let listed = listed.entry(status.to_owned()).or_default();
                if *listed < BAD_PER_STATUS {
                    *listed += 1;
                    let reason = reasons.value(position).to_owned();
                    found.push((RowRef { shard, row }, status.to_owned(), reason));
                }
            }
        }
        let rows: Vec<RowRef> = found.iter().map(|(row, ..)| *row).collect();
        let facts = pictures::read(case, shard, &selection_of(case, &rows), Wants::Texts)?;
        for ((row, status, reason), facts) in found.into_iter().zip(facts) {
            exhibits.push(BadExhibit {
                reference: names.reference(row),
                place: names.place(row),
                key: facts.key,
                caption: facts.caption,
                status,
                reason,
            });
        }
    }
    Ok(exhibits)
}
