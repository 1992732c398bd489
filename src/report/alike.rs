//! Images that are nearly the same, and the neighbours of one row.

use std::collections::{BTreeMap, HashMap};

use clip_filter_vectors::{Closest, Rows};

use super::{
    case::{Case, RowRef},
    fate::Rule,
    picks::{Highest, draw},
};
use crate::{
    error::Result,
    schema::{IMAGE_EMBEDDING, ScoreColumn},
    score::{Sides, StoredRows},
    select::{row_key, row_of_key},
    selection::Selection,
};

/// Rows whose near-duplicates are sought, at most.
const SOUGHT: usize = 256;
/// Near-duplicates of a row that are kept.
const PER_ROW: usize = 8;
/// Least cosine of a near-duplicate where `--dedup` says no other.
const LEAST_COSINE: f32 = 0.95;

/// Near-duplicates that were found.
pub(super) struct Alike {
    pub(super) sought: usize,
    pub(super) chosen: String,
    pub(super) compared: u64,
    pub(super) least_cosine: f32,
    pub(super) rows_with: u64,
    /// Groups, largest first, then by cosine: the largest cosine within, and the rows.
    pub(super) groups: Vec<(f32, Vec<RowRef>)>,
}

/// Rows that resemble one row, most alike first, itself not among them: the same row of other copies of its shard, then rows of
/// the first copy of every shard.
pub(super) fn neighbours(
    case: &Case<'_>,
    row: RowRef,
    most: usize,
) -> Result<Option<Vec<(f32, RowRef)>>> {
    let Some(search) = Search::of(case, &[row])? else {
        return Ok(None);
    };
    let (found, _) = search.run(case, most + 1, -1.0)?;
    let found = found.into_iter().flat_map(|(_, found)| found);
    let first = first_copy(case, row);
    let others = found.filter(|(_, other)| *other != first);
    let copies = copies(case, row).filter(|copy| *copy != row);
    let copies = copies.map(|copy| (1.0, copy));
    Ok(Some(copies.chain(others).take(most).collect()))
}

/// The same row of every shard of the same content, itself among them.
fn copies<'a>(case: &'a Case<'_>, row: RowRef) -> impl Iterator<Item = RowRef> + 'a {
    let shards = &case.shards.identities;
    let own = &shards[row.shard].fingerprint;
    let same = shards.iter().enumerate();
    let same = same.filter(move |(_, shard)| shard.fingerprint == *own);
    same.map(move |(shard, _)| RowRef { shard, ..row })
}

/// The copy of a row that counts.
fn first_copy(case: &Case<'_>, row: RowRef) -> RowRef {
    copies(case, row).next().unwrap_or(row)
}

/// Near-duplicates among all good rows, of those rows that most likely have one; `None` without embeddings.
pub(super) fn alike(case: &Case<'_>) -> Result<Option<Alike>> {
    let (chosen, rows) = suspects(case)?;
    let Some(search) = Search::of(case, &rows)? else {
        return Ok(None);
    };
    let dedup = case.select.dedup;
    let least_cosine = dedup.map_or(LEAST_COSINE, |distance| 1.0 - distance);
    let (found, compared) = search.run(case, PER_ROW, least_cosine)?;
    let mut joined = Joined::default();
    let mut rows_with = 0;
    for (row, alike) in &found {
        let others = alike.iter().filter(|(_, other)| other != row);
        let before = joined.count;
        for (cosine, other) in others {
            joined.join(*row, *other, *cosine);
        }
        rows_with += u64::from(joined.count > before);
    }
    Ok(Some(Alike {
        sought: found.len(),
        chosen,
        compared,
        least_cosine,
        rows_with,
        groups: joined.groups(),
    }))
}

/// The rows that `--dedup` took away, else those of highest `dup_max_sim`, else rows drawn at random.
fn suspects(case: &Case<'_>) -> Result<(String, Vec<RowRef>)> {
    let names = case.score_names();
    let repeated = ScoreColumn::DUP_MAX_SIM.name();
    let repeated = names.iter().position(|name| *name == repeated);
    let seed = case.method.seed;
    let removes = case.select.dedup.is_some();
    let mut highest = Highest::new(SOUGHT);
    case.for_each(&mut |stretch| {
        for (position, &fate) in stretch.fates.iter().enumerate() {
            let row = stretch.row(position);
            let drawn = || draw(seed, row);
            match (fate, removes, repeated) {
                (Some(Rule::EarlyCondition | Rule::Bad), ..) => {}
                (Some(Rule::Duplicate), true, _) => highest.push(drawn(), row),
                (_, true, _) => {}
                (_, false, Some(column)) => {
                    if let Some(cosine) = stretch.score(column, position) {
                        highest.push(f64::from(cosine), row);
                    }
                }
                (_, false, None) => highest.push(drawn(), row),
            }
        }
        Ok(())
    })?;
    let chosen = match (removes, repeated) {
        (true, _) => "rows that --dedup took away, drawn at random",
        (false, Some(_)) => "rows of highest dup_max_sim",
        (false, None) => "rows drawn at random",
    };
    Ok((chosen.to_owned(), highest.rows()))
}

/// Rows whose likes are sought, with their embeddings.
struct Search {
    rows: Vec<RowRef>,
    images: Vec<f32>,
    dim: usize,
}

impl Search {
    /// `None` without embeddings, or without a row that has one.
    fn of(case: &Case<'_>, rows: &[RowRef]) -> Result<Option<Self>> {
        let store = &case.store;
        if rows.is_empty() || store.schema().index_of(IMAGE_EMBEDDING).is_err() {
            return Ok(None);
        }
        let first: Vec<RowRef> = rows.iter().map(|&row| first_copy(case, row)).collect();
        let wanted = selection_of(case, &first);
        let shards = &case.shards.identities;
        let mut search = Self {
            rows: Vec::new(),
            images: Vec::new(),
            dim: 0,
        };
        StoredRows::new(store, shards, Some(&wanted)).for_each(Sides::Images, &mut |block| {
            (case.cancelled)()?;
            for &row in &block.rows {
                let shard = block.shard;
                search.rows.push(RowRef { shard, row });
            }
            search.images.extend_from_slice(&block.images);
            search.dim = search.dim.max(block.dim);
            Ok(())
        })?;
        Ok(Some(search).filter(|search| search.dim > 0))
    }

    /// The rows most like each, and the number of rows that were compared.
    #[expect(clippy::type_complexity, reason = "a row, and rows with their cosines")]
    fn run(
        self,
        case: &Case<'_>,
        most: usize,
        least: f32,
    ) -> Result<(Vec<(RowRef, Vec<(f32, RowRef)>)>, u64)> {
        let Some(queries) = Rows::new(&self.images, self.dim) else {
            return Ok((Vec::new(), 0));
        };
        let mut closest = Closest::new(queries, most, least);
        let (store, shards) = (&case.store, &case.shards.identities);
        let threads = case.limits.threads;
        let mut compared = 0;
        StoredRows::new(store, shards, None).for_each(Sides::Images, &mut |block| {
            (case.cancelled)()?;
            let numbers: Vec<u64> = block
                .rows
                .iter()
                .map(|&row| row_key(block.shard, row))
                .collect();
            if let Some(images) = Rows::new(&block.images, block.dim) {
                closest.push(images, &numbers, threads);
            }
            compared += numbers.len() as u64;
            Ok(())
        })?;
        let found = closest.finish().into_iter().map(|found| {
            let row = |(cosine, key): (f32, u64)| {
                let (shard, row) = row_of_key(key);
                let row = i64::try_from(row).unwrap_or(i64::MAX);
                (cosine, RowRef { shard, row })
            };
            found.into_iter().map(row).collect()
        });
        Ok((self.rows.into_iter().zip(found).collect(), compared))
    }
}

pub(super) fn selection_of(case: &Case<'_>, rows: &[RowRef]) -> Selection {
    let mut wanted = case.shards.no_rows();
    for row in rows {
        if let Ok(number) = usize::try_from(row.row) {
            wanted.select(row.shard, number);
        }
    }
    wanted.finish()
}

/// Rows that belong together because a third one joins them.
#[derive(Default)]
struct Joined {
    /// Pairs that were joined.
    count: u64,
    /// A row that stands for the group, itself or a row nearer to that.
    parents: HashMap<RowRef, RowRef>,
    cosines: HashMap<RowRef, f32>,
}

impl Joined {
    fn root(&mut self, row: RowRef) -> RowRef {
        let mut root = row;
        while let Some(&parent) = self.parents.get(&root) {
            root = parent;
        }
        if root != row {
            self.parents.insert(row, root);
        }
        root
    }

    fn join(&mut self, a: RowRef, b: RowRef, cosine: f32) {
        self.count += 1;
        for row in [a, b] {
            let best = self.cosines.entry(row).or_insert(cosine);
            *best = best.max(cosine);
        }
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parents.insert(a.max(b), a.min(b));
        }
    }

    fn groups(mut self) -> Vec<(f32, Vec<RowRef>)> {
        let mut rows: Vec<RowRef> = self.cosines.keys().copied().collect();
        rows.sort_unstable();
        let mut groups: BTreeMap<RowRef, (f32, Vec<RowRef>)> = BTreeMap::new();
        for row in rows {
            let cosine = self.cosines[&row];
            let group = groups.entry(self.root(row)).or_insert((cosine, Vec::new()));
            group.0 = group.0.max(cosine);
            group.1.push(row);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(b.0.total_cmp(&a.0)));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_joined_through_others() {
        let row = |row| RowRef { shard: 0, row };
        let mut joined = Joined::default();
        joined.join(row(5), row(3), 0.96);
        joined.join(row(8), row(9), 0.99);
        joined.join(row(3), row(1), 0.97);
        let groups = joined.groups();
        assert_eq!(groups[0], (0.97, vec![row(1), row(3), row(5)]));
        assert_eq!(groups[1], (0.99, vec![row(8), row(9)]));
    }
}
