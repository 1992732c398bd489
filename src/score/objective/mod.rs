//! The published objective, alignment and diversity, as one score.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    exact_sum::ExactSum,
    histogram::order_key,
    ranks::{find, score_of},
};
use crate::error::Result;

/// What the objective must know of all candidates: sums, and how often each value of the upper half of `sas` occurs.
///
/// Pushing rows in any order, and merging any partition of them, gives equal states. Half a megabyte, whatever the
/// rows; a few kilobytes when written, since cosines share few upper halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectiveState {
    sas: ExactSum,
    sds: ExactSum,
    bins: Vec<u64>,
}

const BINS: usize = 1 << 16;
/// One row in so many may lie below the zero of alignment, so that no single outlier moves it.
const ROWS_PER_LOW_ROW: u64 = 1000;

impl Default for ObjectiveState {
    fn default() -> Self {
        Self {
            sas: ExactSum::default(),
            sds: ExactSum::default(),
            bins: vec![0; BINS],
        }
    }
}

impl ObjectiveState {
    /// Counts a row: its semantic alignment, and its diversity unless it is alone in its cell.
    ///
    /// # Errors
    /// When one of them is not a number, or not below 2^40 in magnitude. The row is then not counted.
    pub fn push(&mut self, sas: f32, sds: Option<f32>) -> Result<()> {
        let mut sum = self.sas;
        sum.push(sas)?;
        if let Some(sds) = sds {
            self.sds.push(sds)?;
        }
        self.sas = sum;
        self.bins[(order_key(sas) >> 16) as usize] += 1;
        Ok(())
    }

    /// Adds the rows of another state.
    pub fn merge(&mut self, other: &Self) {
        self.sas.merge(&other.sas);
        self.sds.merge(&other.sds);
        for (count, more) in self.bins.iter_mut().zip(&other.bins) {
            *count = count.saturating_add(*more);
        }
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.sas.count()
    }

    /// The objective over these rows; `weight` is that of diversity, 0.1 in the paper.
    pub fn finish(&self, weight: f32) -> Objective {
        let low = self.low_sas().map_or(0.0, f64::from);
        let mean = self.sas.mean().unwrap_or(0.0);
        Objective {
            low_sas: low,
            sas_scale: reciprocal(mean - low),
            sds_scale: self.sds.mean().and_then(reciprocal),
            weight: f64::from(weight),
        }
    }

    /// The lower edge of the bin that holds the 0.001 quantile.
    fn low_sas(&self) -> Option<f32> {
        let rank = self.rows().div_ceil(ROWS_PER_LOW_ROW);
        find(&self.bins, rank).map(|(bin, _)| score_of(bin << 16))
    }
}

fn reciprocal(scale: f64) -> Option<f64> {
    (scale > 0.0).then(|| 1.0 / scale).filter(|r| r.is_finite())
}

/// The published objective as a score per row: the selection that maximises it is the top of this score.
///
/// `score = (sas - a) / (mean(sas) - a) + weight * sds / mean(sds)`
///
/// # Source
/// arXiv 2410.11215. There `sas` is first normalised over the dataset to `(sas - min) / (max - min)` and then divided
/// by its mean, `(mean(sas) - min) / (max - min)`: the upper end cancels, and what is left is the first term above
/// with `a = min`. One outlier then moves the zero of the whole column, and with it what `weight` means; so `a` is
/// the 0.001 quantile here, taken down to the next of 128 steps per power of two. Rows below it get a negative term.
///
/// # Degenerate columns
/// A term whose denominator is not positive tells no row from another and is 1, its mean. A row without a
/// diversity, being alone in its cell, counts as one of mean diversity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    low_sas: f64,
    sas_scale: Option<f64>,
    sds_scale: Option<f64>,
    weight: f64,
}

impl Objective {
    /// What selecting this row adds to the objective; computed in `f64`, more is better.
    pub fn score(&self, sas: f32, sds: Option<f32>) -> f32 {
        let (alignment, diversity) = self.exact_terms(sas, sds);
        narrow(alignment + self.weight * diversity)
    }

    /// The two terms of the score, the second one without its weight; each has mean 1 over the rows counted.
    pub fn terms(&self, sas: f32, sds: Option<f32>) -> (f32, f32) {
        let (alignment, diversity) = self.exact_terms(sas, sds);
        (narrow(alignment), narrow(diversity))
    }

    /// The `sas` at which the first term is 0.
    pub fn low_sas(&self) -> f64 {
        self.low_sas
    }

    fn exact_terms(&self, sas: f32, sds: Option<f32>) -> (f64, f64) {
        let alignment = self
            .sas_scale
            .map_or(1.0, |scale| (f64::from(sas) - self.low_sas) * scale);
        let diversity = match (self.sds_scale, sds) {
            (Some(scale), Some(sds)) => f64::from(sds) * scale,
            _ => 1.0,
        };
        (alignment, diversity)
    }
}

fn narrow(score: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded to the next score; still ordered"
    )]
    let score = score as f32;
    score
}

#[derive(Serialize, Deserialize)]
struct Written {
    sas: ExactSum,
    sds: ExactSum,
    /// Bins that are not empty, by their number.
    sas_bins: BTreeMap<u16, u64>,
}

impl Serialize for ObjectiveState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bins = (0..=u16::MAX).zip(&self.bins);
        let written = Written {
            sas: self.sas,
            sds: self.sds,
            sas_bins: bins
                .filter(|&(_, &count)| count > 0)
                .map(|(bin, &count)| (bin, count))
                .collect(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ObjectiveState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let binned = written
            .sas_bins
            .values()
            .try_fold(0u64, |sum, &count| sum.checked_add(count));
        if binned != Some(written.sas.count()) || written.sds.count() > written.sas.count() {
            return Err(de::Error::custom(
                "the counts of rows contradict each other",
            ));
        }
        let mut bins = vec![0; BINS];
        for (bin, count) in written.sas_bins {
            bins[usize::from(bin)] = count;
        }
        Ok(Self {
            sas: written.sas,
            sds: written.sds,
            bins,
        })
    }
}
