//! Which rows stay: an exact budget over a score, and the result as a value.

mod budget;
mod exact_sum;
mod objective;
mod ranks;
#[cfg(test)]
mod seeded;
mod selection;

pub use budget::{Cut, Keep, ScoreHistogram};
pub use exact_sum::ExactSum;
pub use objective::{Objective, ObjectiveState};
pub use ranks::RankHistogram;
pub use selection::{Selection, SelectionBuilder};
