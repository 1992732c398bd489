//! The seam: how an output becomes visible, as a whole or not at all, whatever kind of place it goes to.
//!
//! ```text
//! check ─► stage ─► part, part, ... ─► finish
//!            │       written and closed   all of it is visible at once
//!            └─ abort: nothing is left
//! ```
//!
//! A [`Commit`] holds nothing of an output that is under way: what it knows of one is the value [`Pending`], which can
//! be written down. So the process that finishes an output need not be the one that staged it: a run writes down all
//! that it has staged ([`super::Ledger`]) before it finishes the first.
//!
//! | | a local disk | an object store | a table |
//! |---|---|---|---|
//! | `stage` | a temporary name beside the output | a name that no other part has | the version of the table that is replaced |
//! | `part` | a file, synced when it is closed | an upload in pieces, not completed | as an object store |
//! | `finish` | a rename | completes the uploads, then puts a manifest under a condition | one entry in the log under a condition |
//! | `abort` | removes the temporary name | aborts the uploads | as an object store |
//!
//! Only the first of these needs a rename: that a file can be moved is known to `local.rs` alone.

use std::{fmt, fs::File, io::Write, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Destination, LocalCommit, OutputPath, SharedOutputs, Staged};
use crate::{
    config::Share,
    error::{Error, Result},
};

/// Whether an output may take the place of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// What is there stays.
    Kept,
    /// What is there goes in the moment when the output becomes visible.
    Replaced,
}

impl Existing {
    /// What `--overwrite` says.
    pub fn when(overwrite: bool) -> Self {
        match overwrite {
            true => Existing::Replaced,
            false => Existing::Kept,
        }
    }
}

/// How names of files begin in which uploads are noted; see [`Owner::Run`].
pub(super) const UPLOADS: &str = "uploads-";

/// True if uploads are noted in a run's directory that nobody has ended.
pub fn has_uploads(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with(UPLOADS))
}

/// Who writes an output, which says what may be done with what a killed process has left of one.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// This process alone: what others write is not touched; what those that are dead have left is removed.
    Process,
    /// A run, of which no two write the same output at a time: what an earlier one has left is removed.
    Run {
        /// Tells it from runs of other options, as text that can be part of a name.
        identity: &'a str,
        /// Name of a directory beside a local output that is the run's own.
        directory: Option<&'a str>,
        /// A directory of this machine that is the run's own, where it is noted what a kill would leave elsewhere.
        notes: Option<&'a Path>,
    },
    /// One of the workers of a run, each of which writes a share of the output; see [`SharedOutputs`]. What earlier runs
    /// have left, or this share, is removed.
    Share {
        /// As that of a run; all its workers have the same.
        identity: &'a str,
        /// What is written of the output.
        share: Share,
        /// As those of a run.
        notes: Option<&'a Path>,
    },
}

/// An output that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// Where it goes.
    pub destination: &'a Destination,
    /// Whether it may replace what is there.
    pub existing: Existing,
    /// Who writes it.
    pub owner: Owner<'a>,
}

/// An output that is written or being written, and not visible yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Where it will be.
    pub destination: Destination,
    /// Whether it may replace what is there.
    pub existing: Existing,
    /// What the [`Commit`] that staged it knows it by.
    pub token: String,
    /// What was written of it, in the order of [`WrittenPart::number`].
    pub parts: Vec<WrittenPart>,
}

/// How names of Parquet files end.
pub(super) const PARQUET: &str = "parquet";

/// Where a part goes within an output.
#[derive(Debug, Clone, Copy)]
pub struct PartPlace<'a> {
    /// Its place among all parts, which no other has.
    pub number: usize,
    /// The folder below a directory that it lies in, `/` behind it; empty if it lies in the directory itself.
    pub folder: &'a str,
    /// Its place among the parts of the folder, which its name has.
    pub in_folder: usize,
    /// What its name ends in, without the dot.
    pub ending: &'a str,
}

impl From<usize> for PartPlace<'_> {
    /// The Parquet part of this number in the directory itself.
    fn from(number: usize) -> Self {
        Self {
            number,
            folder: "",
            in_folder: number,
            ending: PARQUET,
        }
    }
}

/// A part that is whole and safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenPart {
    /// Its place among the parts.
    pub number: usize,
    /// The name that it has once it is visible.
    pub name: String,
    /// What the [`Commit`] needs to make it visible.
    pub seal: String,
}

/// A part under way. Dropping it before it is closed leaves nothing of it.
///
/// Writes need not be large: whoever makes a part gathers what its place wants at once.
pub trait Part: Write + Send {
    /// Waits until all that was written is safe; it is not visible yet.
    ///
    /// # Errors
    /// When the place is full or cannot be reached.
    fn close(self: Box<Self>) -> Result<WrittenPart>;
}

/// What has become of an output that was staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It can be finished.
    Staged,
    /// It is visible.
    Visible,
    /// It is gone.
    Lost,
}

/// How outputs at one kind of place become visible.
pub trait Commit: fmt::Debug + Send + Sync {
    /// Checks, before any work is done, that an output may be put there.
    ///
    /// # Errors
    /// When something is there that it may not replace, or when one of `inputs` would be.
    fn check(&self, placement: &Placement<'_>, inputs: &[OutputPath]) -> Result<()>;

    /// Begins an output without parts.
    ///
    /// # Errors
    /// When the place is missing, read-only or full.
    fn stage(&self, placement: &Placement<'_>) -> Result<Pending>;

    /// What is kept open while the output is under way, so that others see that its process lives.
    fn hold(&self, _: &Pending) -> Option<File> {
        None
    }

    /// Begins a part, with a name that no other has. Several may be under way at a time.
    ///
    /// # Errors
    /// When the place is full, or the destination takes one part and this is another.
    fn part(&self, pending: &Pending, place: PartPlace<'_>) -> Result<Box<dyn Part>>;

    /// Bytes that a part under way holds in memory.
    fn part_bytes(&self) -> u64 {
        0
    }

    /// How outputs are written in shares there; `None` where they are not.
    fn shares(&self) -> Option<&dyn SharedOutputs> {
        None
    }

    /// Makes all parts visible, in one step, under the final names. A process that was killed in the midst of it, or
    /// after it, may be followed by one that does it again.
    ///
    /// # Errors
    /// When it cannot be; what was there before is then still there, and it can be tried again.
    fn finish(&self, pending: &Pending) -> Result<()>;

    /// What has become of it.
    ///
    /// # Errors
    /// When the place cannot be looked at.
    fn fate(&self, pending: &Pending) -> Result<Fate>;

    /// Leaves nothing of it, its parts under way included.
    fn abort(&self, pending: &Pending);
}

/// The kinds of places that outputs can go to, by the scheme of their names.
#[derive(Debug, Clone)]
pub struct OutputPlaces {
    local: Arc<dyn Commit>,
    by_scheme: Vec<(String, Arc<dyn Commit>)>,
    /// Tables, by their places.
    tables: Vec<(OutputPath, Arc<dyn Commit>)>,
}

impl Default for OutputPlaces {
    /// The places that come with the program: paths of this machine.
    fn default() -> Self {
        Self {
            local: Arc::new(LocalCommit),
            by_scheme: Vec::new(),
            tables: Vec::new(),
        }
    }
}

impl OutputPlaces {
    /// Adds the places whose names begin with `scheme://`, or replaces those known by it.
    #[must_use]
    pub fn with_scheme(mut self, scheme: impl Into<String>, commit: Arc<dyn Commit>) -> Self {
        let scheme = scheme.into();
        self.by_scheme.retain(|(known, _)| *known != scheme);
        self.by_scheme.push((scheme, commit));
        self
    }

    /// Writes to URLs of object stores.
    #[cfg(feature = "remote")]
    #[must_use]
    pub fn with_object_stores(mut self, stores: &Arc<crate::remote::ObjectStores>) -> Self {
        let commit: Arc<dyn Commit> = Arc::new(super::RemoteCommit::new(Arc::clone(stores)));
        for scheme in crate::remote::SCHEMES {
            self = self.with_scheme(scheme, Arc::clone(&commit));
        }
        self
    }

    /// Adds a table: what goes to this place is committed so.
    #[must_use]
    pub fn with_table(mut self, path: OutputPath, commit: Arc<dyn Commit>) -> Self {
        self.tables.push((path, commit));
        self
    }

    /// What makes outputs at `path` visible.
    ///
    /// # Errors
    /// When no place of its scheme is known.
    pub fn of(&self, path: &OutputPath) -> Result<&Arc<dyn Commit>> {
        if let Some((_, table)) = self.tables.iter().find(|(known, _)| known == path) {
            return Ok(table);
        }
        let Some(scheme) = path.scheme() else {
            return Ok(&self.local);
        };
        let known = self.by_scheme.iter().find(|(known, _)| known == scheme);
        known.map(|(_, commit)| commit).ok_or_else(|| {
            Error::usage(format!("write to {scheme}://: this version cannot"))
                .with("output", path)
                .hint("write to a local path and copy it there")
        })
    }

    /// As [`Commit::check`].
    ///
    /// # Errors
    /// As [`Commit::check`], and when no place of its scheme is known.
    pub fn check(&self, placement: &Placement<'_>, inputs: &[OutputPath]) -> Result<()> {
        self.of(placement.destination.path())?
            .check(placement, inputs)
    }

    /// How an output is written in shares.
    ///
    /// # Errors
    /// When it is not, or no place of its scheme is known.
    pub fn shares(&self, destination: &Destination) -> Result<&dyn SharedOutputs> {
        let shares = self.of(destination.path())?.shares();
        shares.filter(|_| destination.takes_parts()).ok_or_else(|| {
            Error::usage("write a share of what is no directory of Parquet")
                .with("output", destination)
                .hint("name a directory")
        })
    }

    /// Begins an output, which is aborted unless it is finished.
    ///
    /// # Errors
    /// As [`Commit::stage`], and when no place of its scheme is known.
    pub fn stage(&self, placement: &Placement<'_>) -> Result<Staged> {
        let commit = self.of(placement.destination.path())?;
        Ok(Staged::new(Arc::clone(commit), commit.stage(placement)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_scheme_and_an_unknown_one_is_an_error_in_the_call() {
        let places = OutputPlaces::default();
        assert!(places.of(&"a/b.parquet".into()).is_ok());
        let error = places.of(&"s3://bucket/b.parquet".into()).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
        assert!(error.report().contains("s3://bucket"), "{}", error.report());
        let more = places.with_scheme("s3", Arc::new(LocalCommit));
        assert!(more.of(&"s3://bucket/b.parquet".into()).is_ok());
        assert!(more.of(&"gs://bucket/b.parquet".into()).is_err());
    }
}
