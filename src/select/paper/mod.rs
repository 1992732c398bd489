//! The published optimizer, iteration by iteration, for comparison.

#[cfg(test)]
mod tests;

use arrow::buffer::BooleanBuffer;

use crate::error::{Error, Result};

/// The published optimizer, iteration by iteration, for comparison.
///
/// One parameter `w` per row, all equal at first; `x = sigmoid(100 w)` is how much the row is selected. Minimised by
/// gradient descent with momentum is
///
/// `-mean(x a) - weight mean(x b) + 2 |sum(x > 0.5) - keep| / rows`
///
/// where `a + weight b` is [`Objective::score`](super::Objective::score), so the scores are all it needs. The step
/// function in the last term is passed through by the gradient as if it were the identity. It ends when the last term
/// is below 1e-3, that is when the rows selected are within 0.05 % of all rows of those asked for.
///
/// Rows influence each other only through the sign of `sum - keep`, which all share, and start equal: so the order of
/// `w` is the order of the scores, and what is selected is a top of the scores (of equal scores all or none).
///
/// Memory: two numbers per row, whatever the budget.
///
/// # Where it fails
/// - A step moves a parameter by about 1/rows, so the steps needed grow with the rows, about 0.056 per row at 30 %;
///   from 1.8 million rows on the limit on steps comes first and every row is still selected.
/// - While too many are selected, a row whose score is above 2 is pulled up faster than it is pushed down. When more
///   rows than the budget have such scores, as skewed scores do, it never gets there.
///
/// # Source
/// arXiv 2410.11215 and its released optimizer. The start of the parameters, 0.01, is the one that reproduces the
/// published optimizer's steps: at 0 the steps would not grow with the rows, at 1 the gradient vanishes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaperSolver {
    /// Ends the iteration whether the budget is met or not.
    pub max_steps: u64,
}

/// What the published optimizer ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperSelection {
    /// Whether each row is selected.
    pub selected: BooleanBuffer,
    /// Updates made.
    pub steps: u64,
    /// False if it ended at the limit on steps.
    pub converged: bool,
}

const SHARPNESS: f32 = 100.0;
const START: f32 = 0.01;
const LEARNING_RATE: f32 = 1e-3;
const MOMENTUM: f32 = 0.9;
const BUDGET_WEIGHT: f32 = 2.0;
const TOLERANCE: f32 = 1e-3;

impl Default for PaperSolver {
    /// The published limit of 100,000 steps.
    fn default() -> Self {
        Self { max_steps: 100_000 }
    }
}

impl PaperSolver {
    /// Runs the iteration over the score of every row.
    ///
    /// # Errors
    /// When a score is not finite.
    pub fn solve(&self, scores: &[f32], keep: u64) -> Result<PaperSelection> {
        if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::input("optimize the selection")
                .with("row", row)
                .with("score", scores[row])
                .hint("leave rows without a score out"));
        }
        let mut rows = Parameters::start(scores.len());
        for steps in 0..=self.max_steps {
            let excess = rows.selected() as f32 - keep as f32;
            let budget_term = BUDGET_WEIGHT * excess.abs() * rows.share;
            let converged = rows.weights.is_empty() || budget_term < TOLERANCE;
            if converged || steps == self.max_steps {
                return Ok(PaperSelection {
                    selected: rows.weights.iter().map(|&w| is_selected(w)).collect(),
                    steps,
                    converged,
                });
            }
            rows.step(scores, excess);
        }
        Err(Error::internal("end the published iteration"))
    }
}

/// What is optimised.
struct Parameters {
    weights: Vec<f32>,
    velocities: Vec<f32>,
    /// 1 / rows.
    share: f32,
}

impl Parameters {
    fn start(rows: usize) -> Self {
        Self {
            weights: vec![START; rows],
            velocities: vec![0.0; rows],
            share: 1.0 / rows as f32,
        }
    }

    fn selected(&self) -> usize {
        self.weights.iter().filter(|&&w| is_selected(w)).count()
    }

    fn step(&mut self, scores: &[f32], excess: f32) {
        let budget_slope = BUDGET_WEIGHT * excess.signum() * self.share;
        let rows = self.weights.iter_mut().zip(&mut self.velocities);
        for ((weight, velocity), score) in rows.zip(scores) {
            let x = sigmoid(SHARPNESS * *weight);
            let slope = (budget_slope - score * self.share) * SHARPNESS * x * (1.0 - x);
            *velocity = MOMENTUM * *velocity + slope;
            *weight -= LEARNING_RATE * *velocity;
        }
    }
}

/// `sigmoid(100 w) > 0.5`.
fn is_selected(weight: f32) -> bool {
    sigmoid(SHARPNESS * weight) > 0.5
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}
