//! From stored scores to a [`Selection`].

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float32Type, Int64Type, UInt32Type},
};
use futures::StreamExt;

use super::{Prepared, RunContext, RunOptions, interrupted, rejecting, scoring::Scored};
use crate::{
    config::OnError,
    engine::{NarrowPlan, PASSES, from_datafusion, narrow_pass},
    error::{Error, Result},
    report::BadRows,
    schema::{CLIP_SCORE, ROW, SHARD, STATUS, Status},
    select::{Cut, ScoreHistogram, Selection, SelectionBuilder},
    store::{ScoreStore, ShardIdentity},
};

/// Which rows are kept and which are written.
pub(super) struct Chosen {
    /// Kept rows, and under `--on-error keep` the bad ones.
    pub(super) written: Selection,
    /// Kept rows.
    pub(super) kept: u64,
    pub(super) lowest_score: Option<f32>,
    pub(super) bad: BadRows,
    /// Rows of the bad ones.
    pub(super) bad_rows: Selection,
}

impl Chosen {
    pub(super) fn rows_bad(&self) -> u64 {
        self.bad.values().sum()
    }
}

/// What a condition says of every row.
struct Decided {
    /// Rows that its early parts let through; the others are cut whether they are bad or not.
    considered: Selection,
    /// Rows that fulfil all of it.
    passing: Selection,
}

/// Keeps the budget of the best candidates; equal scores go by row order.
pub(super) async fn select(
    options: &RunOptions,
    prepared: &Prepared,
    scored: &Scored,
    context: &RunContext<'_>,
) -> Result<Chosen> {
    // Rows that fail a condition which needs no score are not in a private store.
    let decided = match options.condition {
        Some(_) if prepared.needs_scores() || !scored.is_private => {
            Some(decide(options, prepared, scored, context).await?)
        }
        _ => None,
    };
    let selecting = Selecting {
        store: Arc::clone(&scored.store),
        shards: prepared.shards.identities.clone(),
        decided,
        options: options.clone(),
    };
    let chosen = tokio::task::spawn_blocking(move || selecting.run())
        .await
        .map_err(|error| Error::internal("select rows").source(error))??;
    if options.on_error == OnError::Fail && chosen.rows_bad() > 0 {
        return Err(rejecting::first_bad(prepared, scored, &chosen)?);
    }
    Ok(chosen)
}

async fn decide(
    options: &RunOptions,
    prepared: &Prepared,
    scored: &Scored,
    context: &RunContext<'_>,
) -> Result<Decided> {
    let condition = prepared
        .condition(options)
        .ok_or_else(|| Error::internal("find the condition"))?;
    let plan = NarrowPlan {
        table: prepared.table(&scored.store, &scored.memory),
        shards: Arc::clone(&prepared.shards.set.schema),
        condition,
        memory_limit: options.scoring.memory_limit,
    };
    let (mut stream, plan) = narrow_pass(plan).await?;
    (context.explain)(&plan);
    let (mut considered, mut passing) = (prepared.no_rows(), prepared.no_rows());
    let mut cancel = context.cancel.clone();
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            _ = cancel.wait_for(|stop| *stop) => return Err(interrupted()),
        };
        let Some(batch) = next else { break };
        let batch = batch.map_err(|error| from_datafusion(error, "select rows"))?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("find the column {name}")))
        };
        let shards = column(SHARD)?.as_primitive::<UInt32Type>();
        let rows = column(ROW)?.as_primitive::<Int64Type>();
        let passes = column(PASSES)?.as_boolean();
        for row in 0..batch.num_rows() {
            let shard = shards.value(row) as usize;
            let Ok(position) = usize::try_from(rows.value(row)) else {
                continue;
            };
            considered.select(shard, position);
            if passes.is_valid(row) && passes.value(row) {
                passing.select(shard, position);
            }
        }
    }
    Ok(Decided {
        considered: considered.finish(),
        passing: passing.finish(),
    })
}

impl Prepared {
    fn no_rows(&self) -> SelectionBuilder {
        Selection::builder(self.shards.set.shards.iter().map(|shard| shard.rows))
    }
}

struct Selecting {
    store: Arc<ScoreStore>,
    shards: Vec<ShardIdentity>,
    decided: Option<Decided>,
    options: RunOptions,
}

impl Selecting {
    fn run(&self) -> Result<Chosen> {
        let mut histogram = ScoreHistogram::default();
        let mut bad_rows = Selection::builder(self.shards.iter().map(|shard| shard.rows));
        let mut any_bad = false;
        self.for_each_row(&mut |shard, row, score| match score {
            Some(score) if self.is_candidate(shard, row, score) => histogram.push(score),
            Some(_) => {}
            None if self.is_considered(shard, row) => {
                any_bad = true;
                bad_rows.select(shard, row);
            }
            None => {}
        })?;
        let bad_rows = bad_rows.finish();
        let budget = self.options.keep.budget(histogram.count());
        let mut cut = match budget < histogram.count() {
            true => Some(self.find_cut(&histogram, budget)?),
            false => None,
        };
        let mut written = Selection::builder(self.shards.iter().map(|shard| shard.rows));
        let (mut kept, mut lowest_score) = (0, None::<f32>);
        let keep_bad = self.options.on_error == OnError::Keep;
        self.for_each_row(&mut |shard, row, score| {
            let Some(score) = score else {
                if keep_bad && self.is_considered(shard, row) {
                    written.select(shard, row);
                }
                return;
            };
            let stays = self.is_candidate(shard, row, score)
                && cut.as_mut().is_none_or(|cut| cut.admit(score));
            if stays {
                kept += 1;
                lowest_score = Some(lowest_score.map_or(score, |lowest| lowest.min(score)));
                written.select(shard, row);
            }
        })?;
        Ok(Chosen {
            written: written.finish(),
            kept,
            lowest_score,
            bad: if any_bad {
                self.count_bad(&bad_rows)?
            } else {
                BadRows::new()
            },
            bad_rows,
        })
    }

    /// Every stored row in row order: shard, row, and the score of a good one.
    fn for_each_row(&self, take: &mut dyn FnMut(usize, usize, Option<f32>)) -> Result<()> {
        for (number, shard) in self.shards.iter().enumerate() {
            let mut cursor = self.store.scores(shard)?.cursor(&[CLIP_SCORE], 0)?;
            while let Some(rows) = cursor.advance()? {
                let scores = rows.columns[0].as_primitive::<Float32Type>();
                for (position, score) in scores.iter().enumerate() {
                    let row = usize::try_from(rows.row(position))
                        .map_err(|error| Error::internal("read a stored row").source(error))?;
                    take(number, row, score);
                }
            }
        }
        Ok(())
    }

    fn find_cut(&self, histogram: &ScoreHistogram, budget: u64) -> Result<Cut> {
        let mut fine = histogram.refine(budget);
        self.for_each_row(&mut |shard, row, score| {
            if let Some(score) = score.filter(|&score| self.is_candidate(shard, row, score)) {
                fine.push(score);
            }
        })?;
        Ok(fine.cut())
    }

    fn is_candidate(&self, shard: usize, row: usize, score: f32) -> bool {
        let passes = |decided: &Decided| decided.passing.contains(shard, row);
        score >= self.options.min_score.unwrap_or(f32::NEG_INFINITY)
            && self.decided.as_ref().is_none_or(passes)
    }

    fn is_considered(&self, shard: usize, row: usize) -> bool {
        let considered = |decided: &Decided| decided.considered.contains(shard, row);
        self.decided.as_ref().is_none_or(considered)
    }

    fn count_bad(&self, bad_rows: &Selection) -> Result<BadRows> {
        let mut bad = BadRows::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let rows = rejecting::rows_of(bad_rows, number, shard)?;
            if rows.is_empty() {
                continue;
            }
            let mut cursor = self.store.scores(shard)?.cursor(&[STATUS], 0)?;
            let statuses = cursor.take(&rows)?;
            for status in statuses[0].as_string::<i32>().iter().flatten() {
                let status = Status::from_name(status)
                    .ok_or_else(|| Error::input("read a status in the score store"))?;
                *bad.entry(status.as_str().to_owned()).or_default() += 1;
            }
        }
        Ok(bad)
    }
}
