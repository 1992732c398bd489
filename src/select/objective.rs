use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    budget::order_key,
    exact_sum::ExactSum,
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

#[cfg(test)]
mod tests {
    use super::{super::seeded::Seeded, *};

    fn state_of(rows: &[(f32, Option<f32>)]) -> ObjectiveState {
        let mut state = ObjectiveState::default();
        for &(sas, sds) in rows {
            state.push(sas, sds).unwrap();
        }
        state
    }

    fn rows(seed: u64, count: usize) -> Vec<(f32, Option<f32>)> {
        let mut random = Seeded::new(seed);
        (0..count)
            .map(|_| {
                let sas = super::narrow(0.25 + 0.05 * random.normal());
                let sds = super::narrow(0.8 + 0.1 * random.normal());
                (sas, (random.below(10) > 0).then_some(sds))
            })
            .collect()
    }

    #[test]
    fn equals_the_formula_in_plain_arithmetic() {
        let rows = rows(3, 5000);
        let objective = state_of(&rows).finish(0.1);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let sas: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
        let sds: Vec<f64> = rows.iter().flat_map(|row| row.1).map(f64::from).collect();
        let mut sorted = sas.clone();
        sorted.sort_by(f64::total_cmp);
        // The fifth lowest of 5,000 is the quantile, its bin starts at most a 128th below.
        let low = objective.low_sas();
        assert!(
            low <= sorted[4] && low > sorted[4] * (1.0 - 1.0 / 128.0),
            "{low}"
        );
        for &(sas_of_row, sds_of_row) in &rows {
            let alignment = (f64::from(sas_of_row) - low) / (mean(&sas) - low);
            let diversity = sds_of_row.map_or(1.0, |sds_of_row| f64::from(sds_of_row) / mean(&sds));
            let expected = alignment + f64::from(0.1f32) * diversity;
            let score = objective.score(sas_of_row, sds_of_row);
            assert!(
                (f64::from(score) - expected).abs() < 1e-6,
                "{score} {expected}"
            );
            let terms = objective.terms(sas_of_row, sds_of_row);
            assert!((terms.0 + 0.1 * terms.1 - score).abs() < 1e-6);
        }
    }

    #[test]
    fn the_low_end_is_an_edge_below_negative_scores_too() {
        let sas: Vec<_> = (0..2000u16)
            .map(|row| (-0.5 + f32::from(row) * 1e-4, None))
            .collect();
        let low = state_of(&sas).finish(0.1).low_sas();
        // The second lowest is -0.4999, in the bin that ends at -0.5 + 1/512.
        assert!(low < -0.4999 && low > -0.504, "{low}");
        let below: Vec<_> = (0..10u16)
            .map(|row| (-0.3 - f32::from(row), None))
            .collect();
        assert!(state_of(&below).finish(0.1).low_sas() <= -9.3);
    }

    #[test]
    fn one_outlier_does_not_rescale_the_others() {
        let mut many = rows(5, 20_000);
        let before = state_of(&many).finish(0.1);
        many.push((-1.0, Some(0.8)));
        let after = state_of(&many).finish(0.1);
        let (sas, sds) = many[0];
        assert!((before.score(sas, sds) - after.score(sas, sds)).abs() < 0.01);
    }

    #[test]
    fn columns_that_tell_nothing_give_the_term_one() {
        // 0.25 is the edge of a bin, so the mean is at the low end.
        let constant = state_of(&[(0.25, Some(0.0)), (0.25, None)]).finish(0.5);
        assert_eq!(constant.score(0.25, Some(0.0)), 1.5);
        assert_eq!(constant.score(0.7, None), 1.5);
        let nothing = ObjectiveState::default().finish(0.5);
        assert_eq!(nothing.score(0.3, Some(0.4)), 1.5);
        let no_sds = state_of(&[(0.1, None), (0.3, None)]).finish(0.5);
        assert_eq!(no_sds.terms(0.3, None).1, 1.0);
        assert!(no_sds.score(0.3, None) > no_sds.score(0.1, None));
    }

    #[test]
    fn a_row_that_is_refused_changes_nothing() {
        let mut state = state_of(&[(0.1, Some(0.2))]);
        for (sas, sds) in [
            (f32::NAN, Some(0.5)),
            (0.3, Some(f32::NAN)),
            (f32::INFINITY, None),
        ] {
            assert!(state.push(sas, sds).is_err());
        }
        assert_eq!(state, state_of(&[(0.1, Some(0.2))]));
    }

    #[test]
    fn reads_what_it_wrote_and_refuses_contradictions() {
        let state = state_of(&rows(9, 3000));
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 8000, "{} bytes", text.len());
        assert_eq!(
            serde_json::from_str::<ObjectiveState>(&text).unwrap(),
            state
        );
        let other = text.replace("\"count\":3000", "\"count\":2999");
        assert!(serde_json::from_str::<ObjectiveState>(&other).is_err());
    }
}
