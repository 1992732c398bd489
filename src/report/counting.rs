//! What is counted of all rows, in two passes over their scores.

use super::{
    case::{Case, CaseRows},
    density::DensityCounter,
    facts::{Density, ScoreFacts},
    fate::Rule,
    groups::KeptByCell,
    histogram::Histogram,
    picks::{Picked, Picks},
};
use crate::{
    error::Result,
    inspect::{Distribution, Scores},
    score::RankHistogram,
};

/// What the first pass finds.
pub(super) struct Counted {
    /// Rows that each rule removed of those in the store.
    pub(super) removed: [u64; Rule::ALL.len()],
    /// Rows in the store.
    pub(super) stored: u64,
    /// Good rows that the conditions leave.
    pub(super) eligible: u64,
    pub(super) picked: Vec<Picked>,
    pub(super) cells: KeptByCell,
    distributions: Vec<Distribution>,
    /// The lowest score of a kept row, of each column.
    lowest_kept: Vec<Option<f32>>,
}

/// What the second pass finds.
pub(super) struct Distributed {
    pub(super) scores: Vec<ScoreFacts>,
    pub(super) density: Option<Density>,
}

/// Counts rows by fate, and finds those that galleries show.
pub(super) fn count(case: &Case<'_>) -> Result<Counted> {
    let columns = case.score_names().len();
    let mut counted = Counted {
        removed: [0; Rule::ALL.len()],
        stored: 0,
        eligible: 0,
        picked: Vec::new(),
        cells: KeptByCell::default(),
        distributions: (0..columns).map(|_| Distribution::default()).collect(),
        lowest_kept: vec![None; columns],
    };
    let mut picks = Picks::of(case);
    case.for_each(&mut |stretch| {
        counted.add(stretch);
        picks.look_at(stretch);
        Ok(())
    })?;
    counted.picked = picks.finish();
    Ok(counted)
}

/// True for a good row that the conditions leave.
pub(super) fn is_eligible(fate: Option<Rule>) -> bool {
    !matches!(
        fate,
        Some(Rule::EarlyCondition | Rule::Bad | Rule::Condition)
    )
}

impl Counted {
    fn add(&mut self, stretch: &CaseRows<'_>) {
        self.stored += stretch.len() as u64;
        for (position, &fate) in stretch.fates.iter().enumerate() {
            if let Some(rule) = fate {
                self.removed[rule as usize] += 1;
            }
            if !is_eligible(fate) {
                continue;
            }
            self.eligible += 1;
            for column in 0..self.distributions.len() {
                let Some(score) = stretch.score(column, position) else {
                    continue;
                };
                self.distributions[column].push(score);
                if fate.is_none() {
                    let lowest = &mut self.lowest_kept[column];
                    *lowest = Some(lowest.map_or(score, |lowest| lowest.min(score)));
                }
            }
        }
        self.cells.add(stretch);
    }

    /// The exact quantiles, histograms and the density.
    pub(super) fn distribute(&self, case: &Case<'_>) -> Result<Distributed> {
        let names = case.score_names();
        let mut ranks: Vec<RankHistogram> =
            self.distributions.iter().map(Distribution::ranks).collect();
        let ranges = self.distributions.iter().map(Distribution::range);
        let mut histograms: Vec<Option<Histogram>> = ranges
            .map(|range| range.map(|(low, high)| Histogram::new(low, high)))
            .collect();
        let range_of = |name: &str| {
            let column = names.iter().position(|known| *known == name)?;
            Some((column, self.distributions[column].range()?))
        };
        let mut density = DensityCounter::of(&range_of);
        case.for_each(&mut |stretch| {
            for position in 0..stretch.len() {
                let fate = stretch.fates[position];
                if !is_eligible(fate) {
                    continue;
                }
                for (column, histogram) in histograms.iter_mut().enumerate() {
                    let score = stretch.score(column, position);
                    if let (Some(histogram), Some(score)) = (histogram, score) {
                        histogram.push(score, fate.is_none());
                        ranks[column].push(score);
                    }
                }
                if let Some(density) = &mut density {
                    density.push(stretch, position);
                }
            }
            Ok(())
        })?;
        let distributions = self.distributions.iter().zip(&ranks);
        let scores: Vec<Option<Scores>> = distributions
            .map(|(counted, ranks)| counted.scores(ranks))
            .collect();
        let facts = names.iter().zip(scores).zip(histograms).enumerate();
        let facts = facts.filter_map(|(column, ((name, scores), histogram))| {
            Some(ScoreFacts {
                name,
                scores: scores?,
                histogram: histogram?,
                cut: self.cut(case, column),
            })
        });
        Ok(Distributed {
            scores: facts.collect(),
            density: density.map(|density| density.finish(case, self.cut(case, case.order()))),
        })
    }

    /// Where a score is cut: by the budget if rows are ordered by it, by `--min-score` if it is `clip_score`.
    fn cut(&self, case: &Case<'_>, column: usize) -> Option<f32> {
        let by_budget = self.removed[Rule::Budget as usize] > 0 && column == case.order();
        let least = case.select.min_score.filter(|_| column == 0);
        match (by_budget, least) {
            (true, _) => self.lowest_kept[column],
            (false, least) => least,
        }
    }
}

/// Rows that were removed and are not in the store: a condition left them out before they were scored.
pub(super) fn with_unstored(counted: &Counted, rows_in: u64) -> [u64; Rule::ALL.len()] {
    let mut removed = counted.removed;
    removed[Rule::EarlyCondition as usize] += rows_in.saturating_sub(counted.stored);
    removed
}
