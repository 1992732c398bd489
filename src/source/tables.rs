//! The seam to formats of tables: whoever can read the log of one says which files it has, and which of their rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{FoundTable, Location, Place, Places, TableFolder};
use crate::error::{Error, Result};

/// Which state of a table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsOf {
    /// The newest.
    #[default]
    Newest,
    /// The one of this number.
    Version(u64),
    /// The newest that was there at this time, in milliseconds since 1970.
    Time(i64),
}

/// Where the log of a table may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TablePaths {
    /// To files of the table's folder.
    #[default]
    Within,
    /// Anywhere.
    Anywhere,
}

impl TablePaths {
    /// What `--allow-external-paths` says.
    pub fn when(allowed: bool) -> Self {
        match allowed {
            true => TablePaths::Anywhere,
            false => TablePaths::Within,
        }
    }
}

/// A version of a table that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVersion {
    /// Where the table is, whatever directory one is in.
    pub table: String,
    /// What no other table has, nor one that is made in its place.
    pub id: String,
    /// Its number.
    pub number: u64,
    /// Its files by what the log tells them apart by: their paths and what is deleted of them. Each has its address, but for
    /// those that are [known](KnownVersion), which are not among the shards.
    pub files: BTreeMap<String, Option<String>>,
}

/// A version of a table whose rows somebody has: its files are left out of versions that are read later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVersion {
    /// As [`TableVersion::table`].
    pub table: String,
    /// As [`TableVersion::id`].
    pub id: String,
    /// Its number.
    pub number: u64,
    /// Its files whose rows are there, by what the log tells them apart by.
    pub files: BTreeSet<String>,
    /// These are all files that it had.
    pub is_whole: bool,
}

/// A table that is to be read.
#[derive(Clone, Copy)]
pub struct TableRequest<'a> {
    /// Its folder.
    pub folder: &'a TableFolder,
    /// Where that is.
    pub place: &'a Arc<dyn Place>,
    /// Where its files may lie besides.
    pub places: &'a Places,
    /// Which of its states.
    pub as_of: AsOf,
    /// Where its log may lead.
    pub paths: TablePaths,
    /// Versions whose files are not wanted again.
    pub known: &'a [KnownVersion],
}

impl TableRequest<'_> {
    /// A file of the table by its path below the folder, without escapes.
    pub fn file(&self, path: &str) -> Location {
        let folder = self.folder.name.trim_end_matches('/');
        Location::new(
            self.place.at(&format!("{folder}/{path}")),
            Arc::clone(self.place),
        )
    }
}

/// Reads tables of some format.
pub trait Tables: fmt::Debug + Send + Sync {
    /// The files of a table, with what it says of each.
    ///
    /// # Errors
    /// When its log cannot be read, has no such state, asks for what is not known here, or leads where it may not.
    fn open(&self, request: &TableRequest<'_>) -> Result<FoundTable>;
}

/// What is said where a state is asked for and no table is there.
pub(super) fn no_table() -> Error {
    Error::usage("read an earlier state: no input is a table")
        .hint("name the folder that holds _delta_log; or leave out --version and --timestamp")
}
