//! What is counted of the rows of a store, in two passes over them.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float32Type, UInt32Type},
};

use super::{
    cells::CellCounter,
    distribution::{Distribution, Scores},
    store::StoredShard,
    stretches::each_stretch,
};
use crate::{
    error::Result,
    schema::{CLIP_SCORE, STATUS, ScoreColumn, Status},
    store::{ScoreRows, ScoreStore},
    summary::BadRows,
};

/// The rows that are decided, counted.
pub(super) struct Content {
    pub(super) rows: u64,
    pub(super) bad: BadRows,
    pub(super) scores: Option<Scores>,
    /// The distribution of every derived column that has one.
    pub(super) derived: Vec<(ScoreColumn, Option<Scores>)>,
    pub(super) cells: CellCounter,
}

impl Content {
    /// Counts the rows that `shards` say are decided, with these derived columns.
    pub(super) fn read(
        store: &ScoreStore,
        shards: &[StoredShard],
        derived: &[ScoreColumn],
    ) -> Result<Self> {
        let has_cells = derived.contains(&ScoreColumn::CELL);
        let derived: Vec<ScoreColumn> = derived
            .iter()
            .copied()
            .filter(|column| *column != ScoreColumn::CELL)
            .collect();
        let numbers = [CLIP_SCORE].into_iter();
        let numbers: Vec<&str> = numbers
            .chain(derived.iter().map(|column| column.name()))
            .collect();
        let mut all = numbers.clone();
        all.push(STATUS);
        all.extend(has_cells.then_some(ScoreColumn::CELL.name()));
        let mut first = FirstPass::of(numbers.len());
        each_stretch(store, shards, &all, &mut |rows, from, to| {
            first.count(rows, from..to);
        })?;
        let distributions = &first.distributions;
        let mut ranks: Vec<_> = distributions.iter().map(Distribution::ranks).collect();
        each_stretch(store, shards, &numbers, &mut |rows, from, to| {
            for (ranks, column) in ranks.iter_mut().zip(&rows.columns) {
                each_number(column, from..to, &mut |score| ranks.push(score));
            }
        })?;
        let scores = distributions.iter().zip(&ranks);
        let mut scores = scores.map(|(counted, ranks)| counted.scores(ranks));
        Ok(Self {
            rows: first.rows,
            bad: first.bad,
            scores: scores.next().flatten(),
            derived: derived.into_iter().zip(scores).collect(),
            cells: first.cells,
        })
    }
}

/// `clip_score` comes first, derived columns follow, then the status, then the cell if it is there.
struct FirstPass {
    rows: u64,
    bad: BadRows,
    distributions: Vec<Distribution>,
    cells: CellCounter,
}

impl FirstPass {
    fn of(columns: usize) -> Self {
        Self {
            rows: 0,
            bad: BadRows::new(),
            distributions: (0..columns).map(|_| Distribution::default()).collect(),
            cells: CellCounter::default(),
        }
    }

    fn count(&mut self, rows: &ScoreRows, range: std::ops::Range<usize>) {
        self.rows += range.len() as u64;
        let numbers = self.distributions.len();
        for (counted, column) in self.distributions.iter_mut().zip(&rows.columns) {
            each_number(column, range.clone(), &mut |score| counted.push(score));
        }
        if let Some(cells) = rows.columns.get(numbers + 1) {
            let cells = cells.slice(range.start, range.len());
            let cells = cells.as_primitive::<UInt32Type>();
            cells
                .iter()
                .flatten()
                .for_each(|cell| self.cells.push(cell));
        }
        let column = |number: usize| rows.columns[number].slice(range.start, range.len());
        if column(0).null_count() == 0 {
            return;
        }
        let statuses = column(numbers);
        for status in statuses.as_string::<i32>().iter().flatten() {
            if status != Status::Ok.as_str() {
                *self.bad.entry(status.to_owned()).or_default() += 1;
            }
        }
    }
}

/// Gives every number of some rows of a column.
fn each_number(column: &ArrayRef, range: std::ops::Range<usize>, take: &mut dyn FnMut(f32)) {
    let column = column.slice(range.start, range.len());
    let numbers = column.as_primitive::<Float32Type>().iter().flatten();
    numbers.filter(|number| !number.is_nan()).for_each(take);
}
