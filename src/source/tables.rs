//! The seam to formats of tables: whoever can read the log of one says which files it has, and which of their rows.

use std::{fmt, sync::Arc};

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
