//! From what conditions let through to the rows that stay, and why each of the others does not.

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewArray},
    compute::cast,
    datatypes::DataType,
};
use clip_filter_vectors::Budget;

use super::{Candidates, SelectOptions, Selector, Solver, weights::repeats};
use crate::{
    config::OnError,
    error::{Error, Result},
    schema::{CLIP_SCORE, STATUS, ScoreColumn, Status},
    score::{GroupColumn, Groups, StoredRows},
    selection::{Repeats, Selection},
    source::BoundShards,
    store::ScoreStore,
    summary::BadRows,
};

/// Which rows are kept and which are written.
pub(crate) struct Chosen {
    /// Kept rows, and under `--on-error keep` the bad ones.
    pub(crate) written: Selection,
    /// Kept rows.
    pub(crate) kept: u64,
    /// How often each kept row is to be seen, where that is not once.
    pub(crate) repeats: Option<Repeats>,
    pub(crate) lowest_score: Option<f32>,
    /// Of the column that orders rows, where that is another.
    pub(crate) lowest_order: Option<f32>,
    pub(crate) bad: BadRows,
    /// Rows of the bad ones.
    pub(crate) bad_rows: Selection,
    /// What each rule left, for whoever wants to know which one decided about a row.
    pub(crate) steps: Steps,
}

impl Chosen {
    pub(crate) fn rows_bad(&self) -> u64 {
        self.bad.values().sum()
    }
}

/// Rows that the rules of a selection left, one after the other; `None` where a rule is not in force.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Rows that the parts of the condition which need no score let through, bad ones too.
    pub(crate) considered: Option<Selection>,
    /// Good rows that fulfil all of the condition.
    pub(crate) passing: Option<Selection>,
    /// Candidates without near-duplicates.
    pub(crate) distinct: Option<Selection>,
}

/// What a condition says of every row.
pub(crate) struct Decided {
    /// Rows that its early parts let through; the others are cut whether they are bad or not.
    pub(crate) considered: Selection,
    /// Rows that fulfil all of it.
    pub(crate) passing: Selection,
}

/// What is chosen from, and how.
pub(crate) struct Choosing<'a> {
    pub(crate) store: &'a ScoreStore,
    pub(crate) shards: &'a BoundShards,
    /// `None` if every stored row fulfils the condition.
    pub(crate) decided: Option<Decided>,
    pub(crate) options: &'a SelectOptions,
    pub(crate) on_error: OnError,
    pub(crate) budget: Budget,
    /// Of what is drawn.
    pub(crate) seed: u64,
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
    pub(crate) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Choosing<'_> {
    /// Decides which rows stay.
    ///
    /// # Errors
    /// When the store cannot be read, groups cannot be made, or it is told to stop.
    pub(crate) fn run(self) -> Result<Chosen> {
        let bad_rows = self.bad_rows()?;
        let options = self.options;
        let mut candidates = Candidates {
            store: self.store,
            shards: &self.shards.identities,
            allowed: self.decided.as_ref().map(|decided| decided.passing.clone()),
            min_score: options.min_score.unwrap_or(f32::NEG_INFINITY),
            order: options.ordered_by(),
        };
        let mut distinct = None;
        if let Some(distance) = options.dedup {
            let kept = candidates.without_duplicates(distance, self.budget, self.cancelled)?;
            let taken = candidates.count()? - kept.rows();
            (self.say)(&format!("dedup: {taken} near-duplicates of better rows"));
            candidates.allowed = Some(kept.clone());
            distinct = Some(kept);
        }
        let (kept, repeats) = match options.weights {
            None => (self.kept(&candidates)?, None),
            Some(weights) => {
                let repeats = repeats(&candidates, weights, options.keep, self.seed)?;
                (repeats.rows().clone(), Some(repeats))
            }
        };
        candidates.allowed = Some(kept);
        let lowest = Lowest::of(&candidates)?;
        let kept = candidates
            .allowed
            .take()
            .unwrap_or_else(|| candidates.no_rows().finish());
        let bad = match bad_rows.rows() {
            0 => BadRows::new(),
            _ => self.count_bad(&bad_rows)?,
        };
        let (considered, passing) = match self.decided {
            Some(decided) => (Some(decided.considered), Some(decided.passing)),
            None => (None, None),
        };
        Ok(Chosen {
            kept: kept.rows(),
            written: match self.on_error {
                OnError::Keep => kept.union(&bad_rows),
                _ => kept,
            },
            repeats,
            lowest_score: lowest.clip_score,
            lowest_order: lowest.order.filter(|_| options.ordered_by().is_some()),
            bad,
            bad_rows,
            steps: Steps {
                considered,
                passing,
                distinct,
            },
        })
    }

    /// What the budget keeps of the candidates.
    fn kept(&self, candidates: &Candidates<'_>) -> Result<Selection> {
        let groups = self.groups()?;
        let selector = Selector {
            options: self.options,
            label_column: self.shards.binding.label_column(),
            candidates,
            groups: groups.as_ref(),
            budget: self.budget,
            say: self.say,
            cancelled: self.cancelled,
        };
        selector.run()
    }

    /// The groups of `--balance`, where they are not cells.
    fn groups(&self) -> Result<Option<Groups>> {
        let balance = self.options.balance.as_ref();
        let balance = balance.filter(|balance| {
            balance.column != ScoreColumn::CELL.name() && self.options.solver == Solver::Exact
        });
        let Some(balance) = balance else {
            return Ok(None);
        };
        let rows = StoredRows::new(self.store, &self.shards.identities, None);
        let text = |values: &ArrayRef| -> Result<StringViewArray> {
            let texts = cast(values, &DataType::Utf8View).map_err(|error| {
                Error::usage("balance groups: the column holds no values to group by")
                    .with("column", &balance.column)
                    .source(error)
            })?;
            Ok(texts.as_string_view().clone())
        };
        let column = GroupColumn {
            name: &balance.column,
            known: &[],
            names_of: &text,
        };
        let directory = self.store.scratch_directory();
        Groups::read(&rows, &self.shards.set, column, &directory).map(Some)
    }

    /// The bad rows among those that are considered.
    fn bad_rows(&self) -> Result<Selection> {
        let mut bad_rows = self.shards.no_rows();
        for (number, shard) in self.shards.identities.iter().enumerate() {
            let mut cursor = self.store.scores(shard)?.cursor(&[CLIP_SCORE], 0)?;
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
            let rows = bad_rows.rows_of(number);
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

/// The lowest scores of some rows.
#[derive(Default)]
struct Lowest {
    clip_score: Option<f32>,
    /// Of what orders them.
    order: Option<f32>,
}

impl Lowest {
    fn of(candidates: &Candidates<'_>) -> Result<Self> {
        let mut lowest = Self::default();
        let lower = |lowest: Option<f32>, score: f32| {
            Some(lowest.map_or(score, |lowest| lowest.min(score)))
        };
        candidates.for_each(&mut |candidate| {
            lowest.clip_score = lower(lowest.clip_score, candidate.clip_score);
            lowest.order = lower(lowest.order, candidate.score);
            Ok(())
        })?;
        Ok(lowest)
    }
}
