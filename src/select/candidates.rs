//! Rows that a budget may keep.

use std::collections::HashMap;

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float32Type, UInt32Type},
};

use crate::{
    error::{Error, Result},
    schema::{CLIP_SCORE, ScoreColumn},
    score::NO_CELL,
    selection::{Selection, SelectionBuilder},
    store::{ScoreStore, ShardIdentity},
};

/// Rows that a budget may keep, with what orders them.
pub(crate) struct Candidates<'a> {
    pub(crate) store: &'a ScoreStore,
    pub(crate) shards: &'a [ShardIdentity],
    /// Rows that fulfil the conditions and are not taken away; all if none.
    pub(crate) allowed: Option<Selection>,
    /// Least `clip_score`.
    pub(crate) min_score: f32,
    /// The column that orders them; `clip_score` if none.
    pub(crate) order: Option<ScoreColumn>,
}

/// One candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) shard: usize,
    pub(crate) row: usize,
    /// Position among the stored rows, a repeated shard's as its first copy's.
    pub(crate) position: u64,
    pub(crate) score: f32,
    pub(crate) clip_score: f32,
    /// [`NO_CELL`] if it has none.
    pub(crate) cell: u32,
}

impl Candidates<'_> {
    /// Every candidate in row order.
    pub(crate) fn for_each(&self, take: &mut dyn FnMut(Candidate) -> Result<()>) -> Result<()> {
        let has_cells = self
            .store
            .schema()
            .index_of(ScoreColumn::CELL.name())
            .is_ok();
        let order = self.order.map_or(CLIP_SCORE, ScoreColumn::name);
        let mut columns = vec![CLIP_SCORE, order];
        columns.extend(has_cells.then_some(ScoreColumn::CELL.name()));
        let mut starts: HashMap<&str, u64> = HashMap::new();
        let mut stored = 0;
        for (shard, identity) in self.shards.iter().enumerate() {
            let start = *starts.entry(&identity.fingerprint).or_insert(stored);
            let mut position = start;
            let mut cursor = self.store.scores(identity)?.cursor(&columns, 0)?;
            while let Some(rows) = cursor.advance()? {
                let clip_scores = rows.columns[0].as_primitive::<Float32Type>();
                let scores = rows.columns[1].as_primitive::<Float32Type>();
                let cells = rows
                    .columns
                    .get(2)
                    .map(|cells| cells.as_primitive::<UInt32Type>());
                for offset in 0..rows.len() {
                    let clip_score = clip_scores.value(offset);
                    if clip_scores.is_null(offset)
                        || scores.is_null(offset)
                        || clip_score < self.min_score
                    {
                        continue;
                    }
                    let row = usize::try_from(rows.row(offset))
                        .map_err(|error| Error::internal("read a stored row").source(error))?;
                    if self
                        .allowed
                        .as_ref()
                        .is_some_and(|rows| !rows.contains(shard, row))
                    {
                        continue;
                    }
                    let cells = cells.filter(|cells| cells.is_valid(offset));
                    take(Candidate {
                        shard,
                        row,
                        position: position + offset as u64,
                        score: scores.value(offset),
                        clip_score,
                        cell: cells.map_or(NO_CELL, |cells| cells.value(offset)),
                    })?;
                }
                position += rows.len() as u64;
            }
            stored = stored.max(position);
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> Result<u64> {
        let mut count = 0;
        self.for_each(&mut |_| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    /// The candidates as rows.
    pub(crate) fn rows(&self) -> Result<Selection> {
        let mut rows = self.no_rows();
        self.for_each(&mut |candidate| {
            rows.select(candidate.shard, candidate.row);
            Ok(())
        })?;
        Ok(rows.finish())
    }

    pub(crate) fn no_rows(&self) -> SelectionBuilder {
        Selection::builder(self.shards.iter().map(|shard| shard.rows))
    }
}

/// A row in one number, for files that keep only that.
pub(crate) fn row_key(shard: usize, row: i64) -> u64 {
    ((shard as u64) << ROW_BITS) | row.unsigned_abs()
}

/// The shard and row of a key.
pub(crate) fn row_of_key(key: u64) -> (usize, usize) {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    (number(key >> ROW_BITS), number(key & ((1 << ROW_BITS) - 1)))
}

/// Rows of a shard: a trillion.
const ROW_BITS: u32 = 40;
