//! The narrow passes: from candidates to a [`Selection`].

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float32Type, Int64Type, UInt32Type},
};

use super::{
    RunOptions,
    score_pass::{CANDIDATE, SCORE, Scored},
};
use crate::{
    config::OnError,
    error::{Error, Result},
    schema::{ROW, SHARD},
    select::{Cut, Selection},
    source::ShardSet,
};

/// Which rows are kept and which are written.
pub(super) struct Chosen {
    /// Kept rows, and under `--on-error keep` the bad ones.
    pub(super) written: Selection,
    /// Kept rows.
    pub(super) kept: u64,
    pub(super) lowest_score: Option<f32>,
}

/// Keeps the budget of the best candidates; equal scores go by row order.
pub(super) fn select(scored: &Scored, set: &ShardSet, options: &RunOptions) -> Result<Chosen> {
    let candidates = scored.histogram.count();
    let budget = options.keep.budget(candidates);
    let mut cut = if budget < candidates {
        Some(find_cut(scored, budget)?)
    } else {
        None
    };
    let mut builder = Selection::builder(set.shards.iter().map(|shard| shard.rows));
    let (mut kept, mut lowest_score) = (0, None::<f32>);
    for batch in scored.rows.read(&[SHARD, ROW, CANDIDATE, SCORE])? {
        let rows = NarrowRows::of(&batch?)?;
        for row in 0..rows.len() {
            let score = rows.candidate_score(row);
            let chosen = score.is_some_and(|score| cut.as_mut().is_none_or(|cut| cut.admit(score)));
            if chosen {
                kept += 1;
                lowest_score = lowest_score.into_iter().chain(score).reduce(f32::min);
            }
            if chosen || (rows.is_bad(row) && options.on_error == OnError::Keep) {
                let (shard, position) = rows.reference(row)?;
                builder.select(shard, position);
            }
        }
    }
    Ok(Chosen {
        written: builder.finish(),
        kept,
        lowest_score,
    })
}

fn find_cut(scored: &Scored, budget: u64) -> Result<Cut> {
    let mut fine = scored.histogram.refine(budget);
    for batch in scored.rows.read(&[SHARD, ROW, CANDIDATE, SCORE])? {
        let rows = NarrowRows::of(&batch?)?;
        (0..rows.len())
            .filter_map(|row| rows.candidate_score(row))
            .for_each(|score| fine.push(score));
    }
    Ok(fine.cut())
}

/// The columns of a spooled batch that selecting needs.
struct NarrowRows {
    shards: arrow::array::UInt32Array,
    rows: arrow::array::Int64Array,
    candidates: arrow::array::BooleanArray,
    scores: arrow::array::Float32Array,
}

impl NarrowRows {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("find the spooled column {name}")))
        };
        Ok(Self {
            shards: column(SHARD)?.as_primitive::<UInt32Type>().clone(),
            rows: column(ROW)?.as_primitive::<Int64Type>().clone(),
            candidates: column(CANDIDATE)?.as_boolean().clone(),
            scores: column(SCORE)?.as_primitive::<Float32Type>().clone(),
        })
    }

    fn len(&self) -> usize {
        self.shards.len()
    }

    fn candidate_score(&self, row: usize) -> Option<f32> {
        self.candidates.value(row).then(|| self.scores.value(row))
    }

    /// Every good row has a score.
    fn is_bad(&self, row: usize) -> bool {
        self.scores.is_null(row)
    }

    fn reference(&self, row: usize) -> Result<(usize, usize)> {
        let position = usize::try_from(self.rows.value(row))
            .map_err(|error| Error::internal("read a row reference").source(error))?;
        Ok((self.shards.value(row) as usize, position))
    }
}
