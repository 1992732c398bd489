//! What a run is asked to do, and the name by which a killed one is known again.
//!
//! | what | file |
//! |---|---|
//! | what is scored, and how | `scoring` |
//! | what is selected and written | `run` |
//! | the same in one pass | `online` |
//! | what of it decides the outputs | `identity` |
//!
//! Hosts find the types in [`pipeline`](crate::pipeline), beside the entries that take them.

mod identity;
mod online;
mod run;
mod scoring;

pub(crate) use identity::identity;
pub use online::OnlineOptions;
pub use run::{RunOptions, addable, addable_names};
pub use scoring::ScoreOptions;
