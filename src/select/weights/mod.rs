//! Weights instead of a cut: how often each row is to be seen, in four passes and constant memory.
//!
//! | pass | what |
//! |---|---|
//! | 1 | scores are counted on a grid: [`SoftCapHistogram`], which says the level at which the sum is right |
//! | 2, 3 | whole parts of the weights are added up, and what is left over is counted: [`Rounding`] |
//! | 4 | every row gets its whole part, and one more where its part left over is above a number drawn from its name |

mod rounding;
mod soft_cap;
#[cfg(test)]
mod tests;

pub use rounding::{Rounded, Rounding};
pub use soft_cap::SoftCap;

use super::{Candidates, Keep, candidates::Candidate};
use crate::{
    error::{Error, Result},
    score::random_number,
    selection::Repeats,
};

/// Logits beyond this, either way, count as this.
const MOST_LOGIT: f64 = 512.0;
/// Steps of the grid per unit of a logit: a weight is off by a thousandth at most.
const STEPS: f64 = 1024.0;
const BINS: usize = 1 << 20;

/// Scores counted on a fixed grid of logits, 8 MiB; what is counted in parts and merged is what is counted at once.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftCapHistogram {
    soft_cap: SoftCap,
    counts: Vec<u64>,
}

/// The weight of every score, to the step of the grid: a logit counts as the next 1,024th.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftWeights {
    soft_cap: SoftCap,
    /// By place on the grid.
    weights: Vec<f64>,
}

impl SoftCapHistogram {
    /// Counts nothing yet.
    pub fn new(soft_cap: SoftCap) -> Self {
        Self {
            soft_cap,
            counts: vec![0; BINS],
        }
    }

    /// Counts one score; NaN is below every number.
    pub fn push(&mut self, score: f32) {
        self.counts[self.soft_cap.place(score)] += 1;
    }

    /// Adds what another has counted.
    ///
    /// # Errors
    /// When it counts for other weights. This one is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.soft_cap != other.soft_cap {
            return Err(Error::usage("merge counted scores")
                .with("weights", self.soft_cap)
                .with("the others", other.soft_cap)
                .hint("weigh all partitions with the same --weights"));
        }
        let counts = self.counts.iter_mut().zip(&other.counts);
        counts.for_each(|(count, more)| *count += more);
        Ok(())
    }

    /// Scores counted.
    pub fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The weights whose sum over all scores counted is `total`, rounded down by no more than f64 does.
    ///
    /// # Errors
    /// When so many rows cannot be seen that often.
    #[expect(clippy::cast_precision_loss, reason = "rows are far below 2^53")]
    pub fn weights(&self, total: u64) -> Result<SoftWeights> {
        let SoftCap { alpha, cap, .. } = self.soft_cap;
        let rows = self.rows();
        let most = rows.saturating_mul(u64::from(cap));
        if total > most {
            return Err(
                Error::usage("repeat rows: there are too few for so large a total")
                    .with("rows", rows)
                    .with("most times each", cap)
                    .with("total", total)
                    .hint("a smaller --keep-rows, or a larger cap= in --weights"),
            );
        }
        let filled = self.counts.iter().zip(0u32..);
        let filled = filled.filter(|(rows, _)| **rows > 0);
        let filled: Vec<(f64, f64)> = filled
            .map(|(rows, place)| (*rows as f64, edge(place)))
            .collect();
        let sum = |level: f64| -> f64 {
            let each = filled.iter();
            each.map(|(rows, logit)| rows * self.soft_cap.weight(level + logit))
                .sum()
        };
        let mean = total as f64 / rows.max(1) as f64;
        // The weight is below e^x / alpha and above x / alpha.
        let mut low = (alpha * mean).max(f64::MIN_POSITIVE).ln() - MOST_LOGIT - 1.0;
        let mut high = alpha * (mean + 1.0) + MOST_LOGIT + 1.0;
        if total == most {
            low = high;
        }
        loop {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            match sum(middle) > total as f64 {
                true => high = middle,
                false => low = middle,
            }
        }
        let weights = (0u32..).take(BINS);
        Ok(SoftWeights {
            soft_cap: self.soft_cap,
            weights: weights
                .map(|place| self.soft_cap.weight(low + edge(place)))
                .collect(),
        })
    }
}

/// The upper edge of a step of the grid, as a logit.
fn edge(place: u32) -> f64 {
    f64::from(place + 1) / STEPS - MOST_LOGIT
}

impl SoftCap {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the logit is cut to the grid"
    )]
    fn place(&self, score: f32) -> usize {
        let logit = f64::from(score) * self.scale;
        let logit = match logit.is_nan() {
            true => -MOST_LOGIT,
            false => logit.clamp(-MOST_LOGIT, MOST_LOGIT),
        };
        (((logit + MOST_LOGIT) * STEPS) as usize).min(BINS - 1)
    }

    /// ln(1 + e^x) / alpha, at most the cap.
    fn weight(&self, x: f64) -> f64 {
        let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
        (softplus / self.alpha).min(f64::from(self.cap))
    }
}

impl SoftWeights {
    /// How often a row of this score is to be seen, before it is made a whole number.
    pub fn weight(&self, score: f32) -> f64 {
        self.weights[self.soft_cap.place(score)]
    }
}

/// How often each candidate is to be seen: `keep` of them in all, a fraction of the candidates or a number of rows that
/// may be larger than theirs.
pub(super) fn repeats(
    candidates: &Candidates<'_>,
    soft_cap: SoftCap,
    keep: Keep,
    seed: u64,
) -> Result<Repeats> {
    let mut histogram = SoftCapHistogram::new(soft_cap);
    candidates.for_each(&mut |candidate| {
        histogram.push(candidate.score);
        Ok(())
    })?;
    let rows = histogram.rows();
    let total = match keep {
        Keep::Rows(total) if rows > 0 => total,
        keep => keep.budget(rows),
    };
    let mut rounding = Rounding::new(histogram.weights(total)?);
    drop(histogram);
    let names: Vec<u64> = candidates
        .shards
        .iter()
        .map(|shard| {
            let bytes = shard.fingerprint.bytes();
            bytes.fold(random_number(seed), |name, byte| {
                random_number(name ^ u64::from(byte))
            })
        })
        .collect();
    let name = |candidate: &Candidate| random_number(names[candidate.shard] ^ candidate.row as u64);
    candidates.for_each(&mut |candidate| {
        rounding.push(candidate.score, name(&candidate));
        Ok(())
    })?;
    let mut rounding = rounding.refine(total);
    candidates.for_each(&mut |candidate| {
        rounding.push(candidate.score, name(&candidate));
        Ok(())
    })?;
    let mut rounded = rounding.finish();
    let mut repeats = Repeats::builder(candidates.shards.iter().map(|shard| shard.rows));
    candidates.for_each(&mut |candidate| {
        let times = rounded.repeats(candidate.score, name(&candidate));
        repeats.set(candidate.shard, candidate.row, times);
        Ok(())
    })?;
    Ok(repeats.finish())
}
