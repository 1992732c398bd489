//! What a place has under a name: shards, and what is told of what is no shard.

use super::{Listed, TableFolder};

/// What a place has under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its shards.
    pub files: Vec<Listed>,
    /// Names of files that are shards by their content and not by their name: they are left out, and told.
    pub unnamed: Vec<String>,
    /// Folders of tables that the shards lie in.
    pub tables: Vec<TableFolder>,
}

impl From<Vec<Listed>> for Listing {
    /// Shards of which nothing is told.
    fn from(files: Vec<Listed>) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }
}

/// A file of any name, as the log of a table is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its path below the folder that was listed, `/` between folders.
    pub path: String,
    /// The file.
    pub file: Listed,
    /// When it was written, in milliseconds since 1970.
    pub written_millis: i64,
}
