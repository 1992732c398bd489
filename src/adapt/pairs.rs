//! Where a fit gets its pairs from.

use crate::error::{Error, Result};

/// What the images of a batch are matched with.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// The class of each row, a position among [`PairSource::class_texts`].
    Classes(&'a [u32]),
    /// Each row's own caption.
    Captions {
        /// Unit text embeddings, rows x dim.
        texts: &'a [f32],
        /// One per row, equal for equal captions.
        ids: &'a [u64],
    },
}

/// Some pairs, trained on in one step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Unit image embeddings, rows x dim.
    pub images: &'a [f32],
    /// As many rows of what they are matched with.
    pub targets: Targets<'a>,
}

/// Which rows a pass reads; every row is in one of the two, always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Rows that gradients come from.
    Training,
    /// Rows that only tell when to stop.
    HeldOut,
}

/// One pass over the rows of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairPass {
    /// Which rows.
    pub split: Split,
    /// From 1 while training; 0 when rows are only looked at, whose batches are thereby the same at every pass.
    pub epoch: u32,
    /// Seeds the order, together with the epoch.
    pub seed: u64,
    /// Rows per batch; only the last batch has fewer, and one of a single row is passed over.
    pub batch_rows: usize,
}

/// Pairs as stored embeddings, read anew in every epoch, so that memory need not grow with the dataset.
pub trait PairSource {
    /// Numbers per embedding.
    fn dim(&self) -> usize;

    /// Unit text embeddings of the class prompts, classes x dim, where pairs have classes; `None` with captions.
    fn class_texts(&self) -> Option<&[f32]>;

    /// Calls `take` with all pairs, in batches of any size and order.
    ///
    /// # Errors
    /// Those of reading, and those of `take` as they are.
    fn each(&mut self, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()>;

    /// Calls `take` with one batch after another; the same `pass` gives the same batches in the same order.
    ///
    /// # Errors
    /// Those of reading, and those of `take` as they are.
    fn read(
        &mut self,
        pass: &PairPass,
        take: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()>;
}

/// Embeddings of which no number is infinite or none at all.
pub(super) fn check_finite(embeddings: &[f32], dim: usize, side: &'static str) -> Result<()> {
    match embeddings.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(position) => Err(
            Error::input("fit adapters to an embedding that is not finite")
                .with("side", side)
                .with("row of the batch", position / dim)
                .with("value", embeddings[position])
                .hint("score its shard again, or leave the row out with --where"),
        ),
    }
}
