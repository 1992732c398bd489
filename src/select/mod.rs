//! Which rows stay: an exact budget over a score, and the result as a value.

mod budget;
mod ranks;
mod selection;

pub use budget::{Cut, Keep, ScoreHistogram};
pub use ranks::RankHistogram;
pub use selection::{Selection, SelectionBuilder};
