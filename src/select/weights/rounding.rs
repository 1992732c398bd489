//! Weights made whole numbers whose sum is exact.

use super::SoftWeights;
use crate::score::{Cut, ScoreHistogram};

/// Whole parts added up, and what is left over counted, in two passes.
///
/// A row gets one more than its whole part with a probability that is the part left over: where that is above a
/// number in [0, 1) that is drawn from the row's name. Then the few rows nearest to this boundary are moved over it that the
/// total needs.
#[derive(Debug, Clone)]
pub struct Rounding {
    weights: SoftWeights,
    whole: u64,
    left_over: ScoreHistogram,
}

/// How often each row is to be seen.
#[derive(Debug, Clone)]
pub struct Rounded {
    weights: SoftWeights,
    cut: Cut,
}

impl Rounding {
    /// No row yet.
    pub fn new(weights: SoftWeights) -> Self {
        Self {
            weights,
            whole: 0,
            left_over: ScoreHistogram::default(),
        }
    }

    /// Counts a row: its score, and a number that looks random and is always the same for that row.
    pub fn push(&mut self, score: f32, name: u64) {
        let (whole, left_over) = parts(&self.weights, score, name);
        self.whole += u64::from(whole);
        self.left_over.push(left_over);
    }

    /// Goes on to the boundary; every row must be pushed once more.
    #[must_use]
    pub fn refine(self, total: u64) -> Self {
        let more = total.saturating_sub(self.whole);
        Self {
            left_over: self.left_over.refine(more),
            ..self
        }
    }

    /// Ends the second pass.
    pub fn finish(self) -> Rounded {
        Rounded {
            weights: self.weights,
            cut: self.left_over.cut(),
        }
    }
}

impl Rounded {
    /// How often the next row is to be seen. Rows must be asked for once each, in order.
    pub fn repeats(&mut self, score: f32, name: u64) -> u32 {
        let (whole, left_over) = parts(&self.weights, score, name);
        whole + u32::from(self.cut.admit(left_over))
    }
}

/// What is left over of a row that is seen as often as any may be: below all others.
const FULL: f32 = -2.0;

/// The whole part of a weight, and by how much the rest is above the number drawn, in (-1, 1).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a weight is at most 65,535; and what is drawn has 53 bits, compared to 24"
)]
fn parts(weights: &SoftWeights, score: f32, name: u64) -> (u32, f32) {
    let weight = weights.weight(score);
    if weight >= f64::from(weights.soft_cap.cap) {
        return (weights.soft_cap.cap, FULL);
    }
    let whole = weight.floor();
    let drawn = (name >> 11) as f64 / (1u64 << 53) as f64;
    (whole as u32, (weight - whole - drawn) as f32)
}
