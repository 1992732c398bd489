//! Somewhere shards can lie, and which names there are those of shards.

use std::{fmt, num::NonZeroUsize, sync::Arc};

use super::{Listed, Listing, LogFile, ShardFile, TableFolder, kind::KINDS};
use crate::error::{Error, Result};

/// Somewhere shards can lie: a file system, an object store.
///
/// A name is the whole text, its scheme too.
pub trait Place: fmt::Debug + Send + Sync {
    /// The file `name` itself, whether or not it is there.
    fn at(&self, name: &str) -> Listed {
        Listed::named(name)
    }

    /// Whether a file or directory of the name is there.
    fn exists(&self, file: &Listed) -> bool;

    /// The file `name`, or all shards in the directory of that name to any depth, sorted; see [`is_shard_name`].
    ///
    /// # Errors
    /// When nothing of the name is there, no shard is in it, or it cannot be listed.
    fn below(&self, name: &str) -> Result<Listing>;

    /// As [`Place::below`] of each name; where that takes long, at the same time.
    fn below_each(&self, names: &[String]) -> Vec<Result<Listing>> {
        names.iter().map(|name| self.below(name)).collect()
    }

    /// As [`Place::below`] for every name that matches a pattern with `*`, `?` or `[..]`.
    ///
    /// # Errors
    /// When nothing matches, or it cannot be listed.
    fn matching(&self, pattern: &str) -> Result<Listing>;

    /// The table whose folder `name` is.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn table_at(&self, _: &str) -> Result<Option<TableFolder>> {
        Ok(None)
    }

    /// All files below the folder `name`, whatever they are called, sorted by their paths; none if nothing is there.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn log(&self, name: &str) -> Result<Vec<LogFile>> {
        Err(
            Error::usage("list all files of a folder: its place has no such list")
                .with("folder", name),
        )
    }

    /// What all names of one file have in common; `None` where a file has one name.
    fn one_of(&self, _: &Listed) -> Option<String> {
        None
    }

    /// How many files are best opened at a time, where that is a matter of waiting.
    fn requests(&self) -> Option<NonZeroUsize> {
        None
    }

    /// Says that a file is opened soon: where that takes long, its end is asked for.
    fn ask_ahead(&self, _: &Listed) {}

    /// Opens a file that is to be read in ranges.
    ///
    /// # Errors
    /// When that is known to fail at once.
    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>>;
}

/// Whether a file in a directory is a shard by its name: `*.parquet`, `*.pq` or `*.tar`, in any case and with a codec
/// behind it, and not set aside.
pub fn is_shard_name(name: &str) -> bool {
    names_shard(name) && !is_set_aside(name)
}

/// Whether a name ends as that of a shard does.
pub fn names_shard(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.names(name))
}

/// Whether a name ends as that of a Parquet file does.
pub fn names_parquet(name: &str) -> bool {
    KINDS[0].names(name)
}

/// Whether a name ends as that of a tar does, packed or not.
pub fn names_tar(name: &str) -> bool {
    KINDS[1].names(name)
}

/// Whether a file or directory is left out where it is not named itself: `.` or `_` comes first.
pub fn is_set_aside(name: &str) -> bool {
    name.starts_with(['.', '_'])
}
