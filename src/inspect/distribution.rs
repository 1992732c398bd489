//! The distribution of a column of scores, exact, in two passes over it.

use serde::Serialize;

use crate::score::{RankHistogram, ScoreHistogram};

/// The quantiles that are told, in per cent.
pub const QUANTILES: [u32; 9] = [1, 5, 10, 25, 50, 75, 90, 95, 99];

/// The distribution of a score, exact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Rows with a score.
    pub count: u64,
    /// The lowest.
    pub min: f32,
    /// The highest.
    pub max: f32,
    /// The mean.
    pub mean: f64,
    /// Scores at [`QUANTILES`].
    pub quantiles: Vec<Quantile>,
}

/// The lowest score that at least a part `q` of the scores does not exceed; no value lies between two scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantile {
    /// The part.
    pub q: f64,
    /// The score.
    pub score: f32,
}

/// What the first pass finds; [`Distribution::ranks`] is for the second.
#[derive(Default)]
pub(crate) struct Distribution {
    histogram: ScoreHistogram,
    sum: f64,
    range: Option<(f32, f32)>,
}

impl Distribution {
    /// Counts a score.
    pub(crate) fn push(&mut self, score: f32) {
        self.histogram.push(score);
        self.sum += f64::from(score);
        let (low, high) = self.range.unwrap_or((score, score));
        self.range = Some((low.min(score), high.max(score)));
    }

    /// The lowest and the highest score; `None` without one.
    pub(crate) fn range(&self) -> Option<(f32, f32)> {
        self.range
    }

    /// Every score must be pushed to it again.
    pub(crate) fn ranks(&self) -> RankHistogram {
        let count = self.histogram.count();
        let quantiles = QUANTILES.iter().map(|&percent| rank(count, percent));
        let ranks: Vec<u64> = [1, count].into_iter().chain(quantiles).collect();
        self.histogram.ranks(&ranks)
    }

    /// `None` without a score, or where the second pass had others than the first: a shard was scored anew between.
    pub(crate) fn scores(&self, ranks: &RankHistogram) -> Option<Scores> {
        let count = self.histogram.count();
        let found: Vec<f32> = ranks.scores().into_iter().collect::<Option<_>>()?;
        let [min, max, quantiles @ ..] = found.as_slice() else {
            return None;
        };
        let quantiles = QUANTILES.iter().zip(quantiles);
        #[expect(clippy::cast_precision_loss, reason = "a mean for a person")]
        let mean = self.sum / count as f64;
        Some(Scores {
            count,
            min: *min,
            max: *max,
            mean,
            quantiles: quantiles
                .map(|(&percent, &score)| Quantile {
                    q: f64::from(percent) / 100.0,
                    score,
                })
                .collect(),
        })
    }
}

/// The rank of a quantile: part x count, rounded up.
fn rank(count: u64, percent: u32) -> u64 {
    let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
    u64::try_from(rank).unwrap_or(count).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_scores_that_sorting_finds() {
        for count in [1u16, 2, 9, 100, 101, 1000] {
            let scores: Vec<f32> = (0..count)
                .map(|row| f32::from((row * 37) % count) / 1000.0 - 0.2)
                .collect();
            let mut first = Distribution::default();
            scores.iter().for_each(|&score| first.push(score));
            let mut ranks = first.ranks();
            scores.iter().for_each(|&score| ranks.push(score));
            let found = first.scores(&ranks).unwrap();
            let mut sorted = scores.clone();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(
                (found.min, found.max),
                (sorted[0], sorted[sorted.len() - 1])
            );
            assert_eq!(found.count, u64::from(count));
            for quantile in found.quantiles {
                // The first score that enough scores do not exceed.
                let reached = |score: &&f32| {
                    let below = sorted.iter().filter(|other| other <= score).count();
                    below as f64 >= quantile.q * f64::from(count) - 1e-9
                };
                let expected = sorted.iter().find(reached).unwrap();
                assert_eq!(quantile.score, *expected, "{count}: {}", quantile.q);
            }
        }
        let none = Distribution::default();
        assert_eq!(none.scores(&none.ranks()), None);
    }
}
