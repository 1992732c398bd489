//! Dataset adaptation: maps that bring the embeddings of a frozen model to a dataset.
//!
//! [`fit_closed`] takes sums over all pairs in one pass and solves for a discriminant of classes, or for a ridge from
//! image to caption; see `closed`. [`fit`] is the published way, for comparison: it trains [`Adapters`] on stored embeddings, streamed by a [`PairSource`] batch by batch, against class
//! prompts or against the other captions of the batch. Both maps start as the identity, so before training adapted
//! means plain CLIP. A fit that does not improve the loss on rows held out, by more than chance may, is rejected, and
//! the adapters stay the identity. [`Adapters::to_bytes`] and [`Adapters::read`] are the artifact.
//!
//! ```text
//! PairSource ─► batches ─► cosines ───────────► loss ──► AdamW ──► held-out loss ─► best epoch ─► Adapters
//!  (pairs)      (batch)   (corrections, kernels) (loss)  (adamw)  (start)           (fit)         (adapters, artifact)
//!
//! PairSource ─► sums of five folds ─► one solution per fold ─► losses of rows held out ─► Adapters, and one per fold
//!  (pairs)      (closed/gathered)     (closed/labelled, closed/captioned)  (closed/judged)
//! ```
//!
//! # Source
//! arXiv 2410.11215, dataset adaptation. Published: one linear layer per side on raw encoder outputs, randomly
//! initialised. Here: on unit embeddings, from the identity, with an early stop and a rejection.

mod adamw;
mod adapters;
mod artifact;
mod batch;
mod closed;
mod corrections;
mod fit;
mod kernels;
mod loss;
mod memory_pairs;
mod options;
mod pairs;
mod record;
mod start;
#[cfg(test)]
mod tests;

pub use adapters::{Adapters, ClassScores};
pub use closed::{FOLDS, fit_closed, fold_of};
pub use fit::{Fitted, fit};
pub use memory_pairs::{MemoryPairs, StoredTargets};
pub use options::{DEFAULT_BATCH_ROWS, DEFAULT_EPOCHS, FitOptions};
pub use pairs::{Batch, PairPass, PairSource, Split, Targets};
pub use record::{ClosedFit, EpochRecord, Method, Mode, Outcome, TrainingRecord};
