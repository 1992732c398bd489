//! Which rows stay: an exact budget over a score, and the result as a value.

mod balance;
mod budget;
mod exact_sum;
mod grouped;
mod objective;
mod quota;
mod ranks;
#[cfg(test)]
mod seeded;
mod selection;

pub use balance::{Amount, Balance, Bounds};
pub use budget::{Cut, Keep, ScoreHistogram};
pub use exact_sum::ExactSum;
pub use grouped::{Cuts, GroupedBoundary, GroupedHistogram, Refined};
pub use objective::{Objective, ObjectiveState};
pub use quota::{Limits, even, proportional};
pub use ranks::RankHistogram;
pub use selection::{Selection, SelectionBuilder};
