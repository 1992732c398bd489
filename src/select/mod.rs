//! Which rows stay: from the scores of a store to a [`Selection`](crate::selection::Selection), a value; or a budget
//! that holds in one pass.
//!
//! | what | file |
//! |---|---|
//! | what was asked for: conditions, near-duplicates, a budget | `options`, `keep`, `balance` |
//! | the order of these, and what each rule left | `chosen` |
//! | rows that a budget may keep; without near-duplicates | `candidates`, `duplicates` |
//! | which of them it keeps, by solver | `selector`: `best`, `published` (`paper`), `cover` (`trusted`, `quota`) |
//! | how often each is to be seen, instead of a cut | `weights` |
//! | what no solver can do | `check` |
//! | the best of groups, in two passes | `grouped` |
//! | a selection that is kept, and what has changed since | `saved_selection`, `changes` |
//! | a selection over shards that come later | `state` |
//! | one pass | `online` |
//!
//! All read the score store alone, in row order.

mod balance;
mod best;
mod candidates;
mod changes;
mod check;
mod chosen;
mod cover;
mod duplicates;
mod grouped;
mod keep;
mod online;
mod options;
mod paper;
#[cfg(test)]
mod properties;
mod published;
mod quota;
mod saved_selection;
mod selector;
mod state;
mod trusted;
mod weights;

pub use balance::{Amount, Balance, Bounds};
pub(crate) use candidates::{Candidates, row_key, row_of_key};
pub use changes::Changes;
pub(crate) use check::check;
pub(crate) use chosen::{Choosing, Chosen, Decided, Steps};
pub use grouped::{Cuts, GroupedBoundary, GroupedHistogram, Refined};
pub use keep::Keep;
pub use online::OnlineSelector;
pub use options::{Order, SelectOptions, Solver};
pub use paper::{PaperSelection, PaperSolver};
pub use quota::{Limits, even, proportional};
pub use saved_selection::SavedSelection;
use selector::Selector;
pub use state::SelectorState;
pub use trusted::{Fill, Trusted, fill_trusted};
pub use weights::{Rounded, Rounding, SoftCap, SoftCapHistogram, SoftWeights};
