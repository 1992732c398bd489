//! An output that is written in shares, by workers that know nothing of each other, and put together by one more.
//!
//! ```text
//! a worker:       stage ─► part, part, ... ─► leave       nothing is visible
//! whoever merges:  left ─► gather ─► finish ─► clear      all of it is visible at once
//! ```
//!
//! What a share leaves lies where the output goes, so that the machine that wrote it may be gone by then. Each step may be
//! done again by another process.

use serde::{Deserialize, Serialize};

use super::{Destination, Pending};
use crate::{config::Share, error::Result};

/// Letters of an identity that tell runs apart.
const IDENTITY_LETTERS: usize = 16;

/// What is known of a share that is written, beside where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareFacts {
    /// Tells its run from runs of other options.
    pub identity: String,
    /// Which share.
    pub share: Share,
    /// Hash of the rows that the run has selected, hex: the same for all its shares.
    pub selection: String,
    /// How many rows that are.
    pub rows_selected: u64,
    /// Those of them that are in this share.
    pub rows: u64,
}

impl ShareFacts {
    /// The name of the run.
    pub(super) fn run(&self) -> String {
        run_name(&self.identity, self.share)
    }
}

/// A share that is written, and not visible yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftShare {
    /// What it is.
    pub facts: ShareFacts,
    /// Where its parts are.
    pub pending: Pending,
}

/// How outputs of one kind of place are written in shares.
pub trait SharedOutputs {
    /// Notes a share that is safe.
    ///
    /// # Errors
    /// When the place cannot be written to.
    fn leave(&self, share: &LeftShare) -> Result<()>;

    /// Shares that were left there, of any run.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn left(&self, destination: &Destination) -> Result<Vec<LeftShare>>;

    /// One output of all shares of a run; a second time is as good as once.
    ///
    /// # Errors
    /// When a part is gone.
    fn gather(&self, destination: &Destination, shares: &[LeftShare]) -> Result<Pending>;

    /// Forgets all shares, when the output is visible.
    ///
    /// # Errors
    /// When the place cannot be written to.
    fn clear(&self, destination: &Destination) -> Result<()>;

    /// True if an output that is whole is there.
    ///
    /// # Errors
    /// When the place cannot be looked at.
    fn is_complete(&self, destination: &Destination) -> Result<bool>;
}

/// What tells the shares of one run from those of others: their number is part of what they are.
pub(super) fn run_name(identity: &str, share: Share) -> String {
    let start: String = identity.chars().take(IDENTITY_LETTERS).collect();
    format!("{start}-{}", share.of())
}

/// The name of what is noted of a share.
pub(super) fn record_name(share: Share) -> String {
    format!("{:05}.json", share.index())
}
