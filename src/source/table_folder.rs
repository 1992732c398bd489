//! Folders of tables: what their files hold is not what the table holds.
//!
//! A table names its files, and rows of them that are deleted, in a log of its own. Its files alone give deleted rows
//! back, and rows of versions before.

use std::{collections::HashMap, fmt, path::Path, path::PathBuf};

use crate::error::Error;

/// A format of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFormat {
    /// Delta Lake: `_delta_log/`.
    Delta,
    /// Apache Iceberg: `metadata/*.metadata.json`.
    Iceberg,
    /// Apache Hudi: `.hoodie/`.
    Hudi,
}

impl fmt::Display for TableFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableFormat::Delta => "a Delta table",
            TableFormat::Iceberg => "an Iceberg table",
            TableFormat::Hudi => "a Hudi table",
        })
    }
}

/// The folder of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableFolder {
    /// What it is.
    pub format: TableFormat,
    /// Its name in its place.
    pub name: String,
}

impl TableFolder {
    /// The refusal to read its files as if they were all.
    pub(super) fn refused(&self) -> Error {
        Error::usage(format!(
            "read the files of {} as loose shards: rows that it has deleted would come back",
            self.format
        ))
        .with("table", &self.name)
        .hint(match self.format {
            TableFormat::Delta => "name the table's own folder, which is read as the table; --no-table reads the files as they lie",
            TableFormat::Iceberg | TableFormat::Hudi => "write its rows to plain Parquet with its own reader first; --no-table reads the files as they lie",
        })
    }

    /// What is told where the caller insists.
    pub(super) fn insisted(&self) -> String {
        format!(
            "{} is {}, whose files are read as they lie: rows that it has deleted are among them",
            self.name, self.format
        )
    }
}

/// The format of the table whose folder `directory` is.
pub(super) fn format_of(directory: &Path) -> Option<TableFormat> {
    if directory.join("_delta_log").is_dir() {
        return Some(TableFormat::Delta);
    }
    if directory.join(".hoodie").is_dir() {
        return Some(TableFormat::Hudi);
    }
    let metadata = std::fs::read_dir(directory.join("metadata")).ok()?;
    let mut names = metadata.flatten().map(|entry| entry.file_name());
    names
        .any(|name| is_iceberg_metadata(&name.to_string_lossy()))
        .then_some(TableFormat::Iceberg)
}

/// The folder of a table, `/` behind it, and its format: of a key that is part of one, as those in its log are.
#[cfg(feature = "remote")]
pub(super) fn format_of_key(key: &str) -> Option<(&str, TableFormat)> {
    let mut start = 0;
    for part in key.split_inclusive('/') {
        let format = match part {
            "_delta_log/" => Some(TableFormat::Delta),
            ".hoodie/" => Some(TableFormat::Hudi),
            "metadata/" if is_iceberg_metadata(&key[start + part.len()..]) => {
                Some(TableFormat::Iceberg)
            }
            _ => None,
        };
        if let Some(format) = format {
            return Some((&key[..start], format));
        }
        start += part.len();
    }
    None
}

/// Folders in which a format keeps its log, whatever they hold.
#[cfg(feature = "remote")]
pub(super) const LOGS: [(&str, TableFormat); 2] = [
    ("_delta_log", TableFormat::Delta),
    (".hoodie", TableFormat::Hudi),
];

/// `v3.metadata.json`, `00003-UUID.metadata.json`, either compressed.
pub(super) fn is_iceberg_metadata(name: &str) -> bool {
    let is_json = name.ends_with(".metadata.json") || name.ends_with(".metadata.json.gz");
    let number = name.strip_prefix('v').unwrap_or(name);
    is_json && number.starts_with(|c: char| c.is_ascii_digit())
}

/// Folders that were looked at, so that none is twice.
#[derive(Debug, Default)]
pub(super) struct TableFolders(HashMap<PathBuf, Option<TableFormat>>);

impl TableFolders {
    /// The table that files of `directory` belong to: its folder is this one, the one above, or further up where
    /// folders between are those of values (`day=1`).
    pub(super) fn around(&mut self, directory: &Path) -> Option<TableFolder> {
        let full = std::path::absolute(directory).ok()?;
        let mut above_values = true;
        for (level, folder) in full.ancestors().enumerate() {
            if let Some(format) = self.format_of(folder) {
                let name = match level {
                    0 => directory.display().to_string(),
                    _ => folder.display().to_string(),
                };
                return Some(TableFolder { format, name });
            }
            let is_value = folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy().contains('='));
            if !above_values {
                return None;
            }
            above_values = is_value;
        }
        None
    }

    fn format_of(&mut self, folder: &Path) -> Option<TableFormat> {
        if let Some(known) = self.0.get(folder) {
            return *known;
        }
        let found = format_of(folder);
        self.0.insert(folder.to_path_buf(), found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_tables_are_told_from_other_folders() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in [
            "delta/_delta_log",
            "delta/day=1/hour=2",
            "hudi/.hoodie",
            "ice/metadata",
            "ice/data/x=1",
            "plain/metadata",
            "plain/a/b",
        ] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("ice/metadata/00001-9f.metadata.json"), "{}").unwrap();
        std::fs::write(at("plain/metadata/files.metadata.json"), "{}").unwrap();
        let around = |name: &str| {
            let found = TableFolders::default().around(&at(name));
            found.map(|table| (table.format, table.name))
        };
        let table = |format, name: &str| Some((format, at(name).display().to_string()));
        for name in ["delta", "delta/day=1", "delta/day=1/hour=2"] {
            assert_eq!(around(name), table(TableFormat::Delta, "delta"), "{name}");
        }
        assert_eq!(around("hudi"), table(TableFormat::Hudi, "hudi"));
        for name in ["ice", "ice/data", "ice/data/x=1"] {
            assert_eq!(around(name), table(TableFormat::Iceberg, "ice"), "{name}");
        }
        for name in ["plain", "plain/a", "plain/a/b"] {
            assert_eq!(around(name), None, "{name}");
        }
        assert!(is_iceberg_metadata("v12.metadata.json.gz"));
        assert!(!is_iceberg_metadata("version-hint.text"));
    }
}
