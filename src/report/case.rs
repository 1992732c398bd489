//! Rows, their scores and a selection, as a report and an explanation look at them.

use arrow::{
    array::{Array, AsArray, Float32Array, UInt32Array},
    datatypes::{Float32Type, UInt32Type},
};

use super::{
    facts::Subject,
    fate::{Fate, Fates},
};
use crate::{
    config::{ByteSize, Reading},
    error::Result,
    schema::{CLIP_SCORE, ScoreColumn},
    score::MethodOptions,
    select::{Chosen, SelectOptions},
    source::BoundShards,
    store::{ScoreRows, ScoreStore},
};

/// A row by the number of its shard and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowRef {
    pub(crate) shard: usize,
    pub(crate) row: i64,
}

/// What may be used to look at rows, and which images may be shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) memory_limit: ByteSize,
    pub(crate) threads: usize,
    /// Images of more pixels are not shown.
    pub(crate) max_pixels: u64,
    /// How picture files are read.
    pub(crate) reading: Reading,
    /// Image paths out of the shard's directory are followed.
    pub(crate) allow_external_paths: bool,
}

/// Everything that was decided about some shards.
pub(crate) struct Case<'a> {
    pub(crate) shards: &'a BoundShards,
    pub(crate) store: &'a ScoreStore,
    pub(crate) select: &'a SelectOptions,
    pub(crate) method: &'a MethodOptions,
    pub(crate) chosen: &'a Chosen,
    pub(crate) limits: Limits,
    /// What selects the rows, in one line.
    pub(crate) selection: String,
    /// The command line.
    pub(crate) command: String,
    pub(crate) subject: Subject,
    /// Why no image and no caption can be read, if that is so.
    pub(crate) shards_gone: Option<String>,
    pub(crate) cancelled: &'a dyn Fn() -> Result<()>,
}

/// Stored rows of one shard that follow each other, with what became of them.
pub(super) struct CaseRows<'a> {
    pub(super) shard: usize,
    rows: &'a ScoreRows,
    /// Of each row.
    pub(super) fates: Vec<Fate>,
    /// The scores, in the order of [`Case::score_names`].
    pub(super) scores: Vec<&'a Float32Array>,
    pub(super) cells: Option<&'a UInt32Array>,
}

impl CaseRows<'_> {
    pub(super) fn len(&self) -> usize {
        self.fates.len()
    }

    pub(super) fn row(&self, position: usize) -> RowRef {
        RowRef {
            shard: self.shard,
            row: self.rows.row(position),
        }
    }

    /// A number that a row has in a column of [`CaseRows::scores`].
    pub(super) fn score(&self, column: usize, position: usize) -> Option<f32> {
        number(self.scores[column], position)
    }
}

pub(super) fn number(column: &Float32Array, position: usize) -> Option<f32> {
    let is_there = column.is_valid(position) && !column.value(position).is_nan();
    is_there.then(|| column.value(position))
}

impl Case<'_> {
    /// The derived columns of numbers that the store has.
    fn derived(&self) -> Vec<ScoreColumn> {
        let schema = self.store.schema();
        let there = |column: &ScoreColumn| schema.index_of(column.name()).is_ok();
        let all = ScoreColumn::derived().filter(there);
        all.filter(|column| *column != ScoreColumn::CELL).collect()
    }

    /// The scores of a row, `clip_score` first.
    pub(super) fn score_names(&self) -> Vec<&'static str> {
        let derived = self.derived().into_iter().map(ScoreColumn::name);
        [CLIP_SCORE].into_iter().chain(derived).collect()
    }

    pub(super) fn has_cells(&self) -> bool {
        let schema = self.store.schema();
        schema.index_of(ScoreColumn::CELL.name()).is_ok()
    }

    /// What orders rows.
    pub(super) fn order_name(&self) -> &'static str {
        self.select
            .ordered_by()
            .map_or(CLIP_SCORE, ScoreColumn::name)
    }

    /// Position of the score that orders rows.
    pub(super) fn order(&self) -> usize {
        let order = self.order_name();
        let names = self.score_names();
        names.iter().position(|name| *name == order).unwrap_or(0)
    }

    /// Every stored row, in row order.
    pub(super) fn for_each(
        &self,
        visit: &mut dyn FnMut(&CaseRows<'_>) -> Result<()>,
    ) -> Result<()> {
        let names = self.score_names();
        let mut columns = names.clone();
        columns.extend(self.has_cells().then_some(ScoreColumn::CELL.name()));
        let (fates, order) = (Fates::of(self), self.order());
        for (shard, identity) in self.shards.identities.iter().enumerate() {
            let mut cursor = self.store.scores(identity)?.cursor(&columns, 0)?;
            while let Some(rows) = cursor.advance()? {
                (self.cancelled)()?;
                let scores: Vec<_> = rows.columns[..names.len()]
                    .iter()
                    .map(|column| column.as_primitive::<Float32Type>())
                    .collect();
                let fate = |position: usize| {
                    let score = |column: usize| {
                        let column = scores[column];
                        column.is_valid(position).then(|| column.value(position))
                    };
                    let row = RowRef {
                        shard,
                        row: rows.row(position),
                    };
                    fates.fate(row, score(0), score(order))
                };
                visit(&CaseRows {
                    shard,
                    fates: (0..rows.len()).map(fate).collect(),
                    cells: rows
                        .columns
                        .get(names.len())
                        .map(|cells| cells.as_primitive::<UInt32Type>()),
                    scores,
                    rows,
                })?;
            }
        }
        Ok(())
    }
}
