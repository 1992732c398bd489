//! Dataset adaptation: maps that bring the embeddings of a frozen model to a dataset.
//!
//! [`fit_closed`] takes sums over all pairs of a [`PairSource`] in one pass and solves for a discriminant of classes, or
//! for a ridge from image to caption. [`fit`] is the published way, for comparison: gradient descent, batch by batch.
//! Adapters that do not improve the loss on rows held out, by more than chance may, are rejected: they stay the
//! identity, which means plain CLIP. [`Adapters::to_bytes`] and [`Adapters::read`] are the artifact.
//!
//! ```text
//!            ┌► sums of five folds ─► a solution per fold ─────────┐
//! PairSource │  (closed/gathered)     (closed/labelled, captioned)  ├► losses of rows held out ─► Adapters, per fold too
//!  (pairs)   │                                                     │  (judged)                   (adapters, artifact)
//!            └► batches ─► steps downhill ─► epochs ───────────────┘
//!               (infonce/problem)  (clip_filter_vectors::Corrections)  (infonce)
//! ```

mod adapters;
mod artifact;
mod closed;
mod fitted;
mod infonce;
mod judged;
mod memory_pairs;
mod options;
mod pairs;
mod record;
#[cfg(test)]
mod tests;

pub use adapters::{Adapters, ClassScores};
pub use closed::{FOLDS, fit_closed, fold_of};
pub use fitted::Fitted;
pub use infonce::fit;
pub use memory_pairs::{MemoryPairs, StoredTargets};
pub use options::{DEFAULT_BATCH_ROWS, DEFAULT_EPOCHS, FitOptions};
pub use pairs::{Batch, PairPass, PairSource, Split, Targets};
pub use record::{ClosedFit, EpochRecord, Method, Mode, Outcome, TrainingRecord};
