//! From stored scores to a [`Selection`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewArray},
    compute::cast,
    datatypes::{DataType, Int64Type, UInt32Type},
};
use futures::StreamExt;

use super::{
    Order, Prepared, RunContext, RunOptions, Shards, Solver,
    choosing::{Candidates, Choosing},
    interrupted,
    method::{Groups, StoredRows, work_budget},
    rejecting,
    scoring::Scored,
};
use crate::{
    config::OnError,
    engine::{
        NarrowPlan, PASSES, Pass, RowCondition, early_condition, early_pass, from_datafusion,
        narrow_pass,
    },
    error::{Error, Result},
    report::BadRows,
    schema::{CLIP_SCORE, Derived, ROW, SHARD, STATUS, Status},
    select::{Selection, SelectionBuilder},
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
    /// What each rule left, for whoever wants to know which one decided about a row.
    pub(super) steps: Steps,
}

/// Rows that the rules of a selection left, one after the other; `None` where a rule is not in force.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Rows that the parts of the condition which need no score let through, bad ones too.
    pub(super) considered: Option<Selection>,
    /// Good rows that fulfil all of the condition.
    pub(super) passing: Option<Selection>,
    /// Candidates without near-duplicates.
    pub(super) distinct: Option<Selection>,
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

/// The rows that the parts of a condition which need no score let through, and these parts; `None` if all do.
pub(super) async fn considered(
    options: &RunOptions,
    prepared: &Prepared,
    scored: &Scored,
    context: &RunContext<'_>,
) -> Result<Option<(Selection, String)>> {
    // Rows that fail a condition which needs no score are not in a private store.
    let Some(condition) = prepared.condition(options).filter(|_| !scored.is_private) else {
        return Ok(None);
    };
    let Some(early) = early_condition(&condition, &prepared.shards.set.schema)? else {
        return Ok(None);
    };
    // The other parts may name columns that are computed over these rows.
    let pass = early_pass(narrow_plan(options, prepared, scored)?).await?;
    let decided = decide(pass, prepared, context).await?;
    Ok(Some((decided.considered, early)))
}

/// The rows that fulfil a condition.
pub(super) async fn rows_where(
    condition: &str,
    (options, prepared, scored): (&RunOptions, &Prepared, &Scored),
    context: &RunContext<'_>,
) -> Result<Selection> {
    let plan = NarrowPlan {
        table: prepared.table(&scored.store, &scored.memory),
        shards: Arc::clone(&prepared.shards.set.schema),
        condition: RowCondition {
            text: condition.to_owned(),
            scored: prepared.scored().to_vec(),
        },
        memory_limit: options.scoring.memory_limit,
    };
    let decided = decide(narrow_pass(plan).await?, prepared, context).await?;
    Ok(decided.passing)
}

/// Decides which rows stay.
pub(super) async fn select(
    options: &RunOptions,
    prepared: &Prepared,
    scored: &Scored,
    context: &RunContext<'_>,
) -> Result<Chosen> {
    let decided = match options.condition {
        Some(_) if prepared.needs_scores() || !scored.is_private => {
            let pass = narrow_pass(narrow_plan(options, prepared, scored)?).await?;
            Some(decide(pass, prepared, context).await?)
        }
        _ => None,
    };
    let cancel = context.cancel.clone();
    let selecting = Selecting {
        scored,
        shards: &prepared.shards,
        decided,
        options,
        say: context.say,
        cancelled: &|| {
            if *cancel.borrow() {
                Err(interrupted())
            } else {
                Ok(())
            }
        },
    };
    let chosen = selecting.run()?;
    if options.on_error == OnError::Fail && chosen.rows_bad() > 0 {
        return Err(rejecting::first_bad(prepared, scored, &chosen)?);
    }
    Ok(chosen)
}

fn narrow_plan(options: &RunOptions, prepared: &Prepared, scored: &Scored) -> Result<NarrowPlan> {
    let condition = prepared
        .condition(options)
        .ok_or_else(|| Error::internal("find the condition"))?;
    Ok(NarrowPlan {
        table: prepared.table(&scored.store, &scored.memory),
        shards: Arc::clone(&prepared.shards.set.schema),
        condition,
        memory_limit: options.scoring.memory_limit,
    })
}

async fn decide(
    (mut stream, plan): Pass,
    prepared: &Prepared,
    context: &RunContext<'_>,
) -> Result<Decided> {
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
    pub(super) fn no_rows(&self) -> SelectionBuilder {
        Selection::builder(self.shards.set.shards.iter().map(|shard| shard.rows))
    }
}

struct Selecting<'a> {
    scored: &'a Scored,
    shards: &'a Shards,
    decided: Option<Decided>,
    options: &'a RunOptions,
    say: &'a (dyn Fn(&str) + Sync),
    cancelled: &'a dyn Fn() -> Result<()>,
}

impl Selecting<'_> {
    fn run(self) -> Result<Chosen> {
        let bad_rows = self.bad_rows()?;
        let (shards, options) = (self.shards, self.options);
        let budget = work_budget(options.scoring.memory_limit, options.scoring.threads);
        let mut candidates = Candidates {
            store: &self.scored.store,
            shards: &shards.identities,
            allowed: self.decided.as_ref().map(|decided| decided.passing.clone()),
            min_score: options.min_score.unwrap_or(f32::NEG_INFINITY),
            order: match (options.select.order, options.select.solver) {
                (Order::ClipScore, _) => None,
                (Order::AlignDiverse, Solver::Cover) => Some(Derived::SasMargin),
                (Order::AlignDiverse, _) => Some(Derived::SelectionScore),
            },
        };
        let mut distinct = None;
        if let Some(distance) = options.select.dedup {
            let kept = candidates.without_duplicates(distance, budget, self.cancelled)?;
            let taken = candidates.count()? - kept.rows();
            (self.say)(&format!("dedup: {taken} near-duplicates of better rows"));
            candidates.allowed = Some(kept.clone());
            distinct = Some(kept);
        }
        let groups = self.groups()?;
        let choosing = Choosing {
            options,
            candidates: &candidates,
            groups: groups.as_ref(),
            budget,
            say: self.say,
            cancelled: self.cancelled,
        };
        let kept = choosing.run()?;
        candidates.allowed = Some(kept);
        let mut lowest_score = None::<f32>;
        candidates.for_each(&mut |kept| {
            let lowest = lowest_score.map_or(kept.clip_score, |lowest| lowest.min(kept.clip_score));
            lowest_score = Some(lowest);
            Ok(())
        })?;
        let kept = candidates
            .allowed
            .take()
            .unwrap_or_else(|| candidates.no_rows().finish());
        let bad = match bad_rows.rows() {
            0 => BadRows::new(),
            _ => self.count_bad(&bad_rows)?,
        };
        let decided = self.decided;
        let (considered, passing) = match decided {
            Some(decided) => (Some(decided.considered), Some(decided.passing)),
            None => (None, None),
        };
        Ok(Chosen {
            kept: kept.rows(),
            written: match options.on_error {
                OnError::Keep => kept.union(&bad_rows),
                _ => kept,
            },
            lowest_score,
            bad,
            bad_rows,
            steps: Steps {
                considered,
                passing,
                distinct,
            },
        })
    }

    /// The groups of `--balance`, where they are not cells.
    fn groups(&self) -> Result<Option<Groups>> {
        let balance = self.options.select.balance.as_ref();
        let balance = balance.filter(|balance| {
            balance.column != Derived::Cell.as_str() && self.options.select.solver == Solver::Exact
        });
        let Some(balance) = balance else {
            return Ok(None);
        };
        let rows = StoredRows::new(&self.scored.store, &self.shards.identities, None);
        let text = |values: &ArrayRef| -> Result<StringViewArray> {
            let texts = cast(values, &DataType::Utf8View).map_err(|error| {
                Error::usage("balance groups: the column holds no values to group by")
                    .with("column", &balance.column)
                    .source(error)
            })?;
            Ok(texts.as_string_view().clone())
        };
        let set = &self.shards.set;
        let directory = self.scored.store.directory();
        Groups::read(&rows, set, &balance.column, (&[], &text), directory).map(Some)
    }

    /// The bad rows among those that are considered.
    fn bad_rows(&self) -> Result<Selection> {
        let shards = &self.shards.identities;
        let mut bad_rows = Selection::builder(shards.iter().map(|shard| shard.rows));
        for (number, shard) in shards.iter().enumerate() {
            let mut cursor = self.scored.store.scores(shard)?.cursor(&[CLIP_SCORE], 0)?;
            while let Some(rows) = cursor.advance()? {
                let scores = &rows.columns[0];
                if scores.null_count() == 0 {
                    continue;
                }
                for offset in (0..rows.len()).filter(|&offset| scores.is_null(offset)) {
                    let row = usize::try_from(rows.row(offset))
                        .map_err(|error| Error::internal("read a stored row").source(error))?;
                    if self.is_considered(number, row) {
                        bad_rows.select(number, row);
                    }
                }
            }
        }
        Ok(bad_rows.finish())
    }

    fn is_considered(&self, shard: usize, row: usize) -> bool {
        let considered = |decided: &Decided| decided.considered.contains(shard, row);
        self.decided.as_ref().is_none_or(considered)
    }

    fn count_bad(&self, bad_rows: &Selection) -> Result<BadRows> {
        let mut bad = BadRows::new();
        for (number, shard) in self.shards.identities.iter().enumerate() {
            let rows = rejecting::rows_of(bad_rows, number, shard)?;
            if rows.is_empty() {
                continue;
            }
            let mut cursor = self.scored.store.scores(shard)?.cursor(&[STATUS], 0)?;
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
