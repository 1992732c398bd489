//! Which rows stay: an exact budget over a score, and the result as a value; or a budget that holds in one pass.

mod budget;
mod online;
mod ranks;
mod selection;

pub use budget::{Cut, Keep, ScoreHistogram};
pub use online::OnlineSelector;
pub use ranks::RankHistogram;
pub use selection::{Selection, SelectionBuilder};
