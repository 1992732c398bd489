//! Which rows stay: an exact budget over a score, and the result as a value; or a budget that holds in one pass.

mod balance;
mod budget;
mod changes;
mod exact_sum;
mod grouped;
mod objective;
mod online;
mod paper;
#[cfg(test)]
mod properties;
mod quota;
mod ranks;
mod saved_selection;
#[cfg(test)]
mod seeded;
mod selection;
mod state;
mod trusted;

pub use balance::{Amount, Balance, Bounds};
pub use budget::{Cut, Keep, ScoreHistogram};
pub use changes::Changes;
pub use exact_sum::ExactSum;
pub use grouped::{Cuts, GroupedBoundary, GroupedHistogram, Refined};
pub use objective::{Objective, ObjectiveState};
pub use online::OnlineSelector;
pub use paper::{PaperSelection, PaperSolver};
pub use quota::{Limits, even, proportional};
pub use ranks::RankHistogram;
pub use saved_selection::SavedSelection;
pub use selection::{Selection, SelectionBuilder};
pub use state::SelectorState;
pub use trusted::{Fill, Trusted, fill_trusted};
