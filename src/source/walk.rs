//! Folders of this machine's file system, read to any depth: each folder once, whatever links lead to it.

use std::{
    collections::HashSet,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    Listing,
    local::LocalFiles,
    place::{is_set_aside, is_shard_name},
    reach::MATCHING,
    table_folder::TableFolders,
};
use crate::error::{Error, Result};

/// Most files without a shard's name that are looked into, so that a folder of a million others costs no minutes.
const MOST_LOOKED_INTO: usize = 10_000;
/// Least bytes of a Parquet file: its mark at both ends, and how long its footer is.
const LEAST_BYTES: u64 = 12;
/// How names of files end that are not looked into.
const OTHER_ENDINGS: [&str; 30] = [
    "avif", "bmp", "crc", "csv", "gif", "heic", "html", "jpeg", "jpg", "json", "jsonl", "jxl",
    "lock", "log", "md", "npy", "npz", "png", "py", "tar", "tif", "tiff", "toml", "tsv", "txt",
    "webp", "xml", "yaml", "yml", "zip",
];

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Walk {
    listing: Listing,
    /// Folders that were read, without links.
    seen: HashSet<PathBuf>,
    tables: TableFolders,
    looked_into: usize,
}

impl Walk {
    /// Adds the file `path`, or all shards of the folder.
    ///
    /// # Errors
    /// When nothing is there, it is neither file nor folder, or a folder has no shard.
    pub(super) fn add(&mut self, path: &Path) -> Result<()> {
        let facts = std::fs::metadata(path).map_err(|error| {
            Error::input("open the input")
                .with("path", path.display())
                .source(error)
        })?;
        if !facts.is_dir() {
            if !facts.is_file() {
                return Err(not_a_file(path));
            }
            let folder = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            self.note_table(folder.unwrap_or(Path::new(".")));
            self.listing
                .files
                .push(LocalFiles::listed(path.to_path_buf()));
            return Ok(());
        }
        let before = self.listing.files.len();
        let is_new = self.walk(path)?;
        if is_new && self.listing.files.len() == before {
            return Err(self.no_shard(path));
        }
        Ok(())
    }

    /// Adds what matches a pattern with `**`: files, and where it ends in `**` the folders that it stands for.
    ///
    /// Folders are read once, as [`Walk::add`] reads them; the crate that matches would follow links in a circle.
    ///
    /// # Errors
    /// When a folder cannot be listed, or what matches is neither file nor folder.
    pub(super) fn add_matching(&mut self, glob: &glob::Pattern) -> Result<()> {
        let pattern = glob.as_str();
        let (base, rest) = pattern.split_at(pattern.find(['*', '?', '[']).unwrap_or(0));
        let base = base.rfind('/').map_or("", |slash| &base[..=slash]);
        let mut seen = HashSet::new();
        let mut folders = vec![PathBuf::from(base)];
        let mut matching = Vec::new();
        while let Some(folder) = folders.pop() {
            let listed = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => &folder,
            };
            let Ok(real) = listed.canonicalize() else {
                continue;
            };
            if !seen.insert(real) {
                continue;
            }
            let entries = std::fs::read_dir(listed).map_err(|error| {
                Error::input("list the directory")
                    .with("path", listed.display())
                    .source(error)
            })?;
            for entry in entries.flatten() {
                let path = folder.join(entry.file_name());
                if is_hidden(&path) {
                    continue;
                }
                let is_folder = path.is_dir();
                let is_meant = is_folder || !rest.ends_with("**");
                if is_meant && glob.matches_path_with(&path, MATCHING) {
                    matching.push(path.clone());
                }
                if is_folder {
                    folders.push(path);
                }
            }
            if rest == "**" && !base.is_empty() {
                matching.push(folder);
            }
        }
        matching.sort();
        matching.iter().try_for_each(|path| match path.is_dir() {
            true => self.walk(path).map(drop),
            false => self.add(path),
        })
    }

    /// All that was found.
    pub(super) fn finish(self) -> Listing {
        self.listing
    }

    /// False if the folder was read before.
    fn walk(&mut self, directory: &Path) -> Result<bool> {
        let failed = |error| {
            Error::input("list the directory")
                .with("path", directory.display())
                .source(error)
        };
        if !self.seen.insert(directory.canonicalize().map_err(failed)?) {
            return Ok(false);
        }
        self.note_table(directory);
        let mut entries = std::fs::read_dir(directory)
            .map_err(failed)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(failed)?;
        entries.sort();
        for path in entries {
            if is_hidden(&path) {
                continue;
            }
            if path.is_dir() {
                self.walk(&path)?;
            } else if has_shard_name(&path) {
                // A link to nothing is said where it is opened.
                if std::fs::metadata(&path).is_ok_and(|facts| !facts.is_file()) {
                    return Err(not_a_file(&path));
                }
                self.listing.files.push(LocalFiles::listed(path));
            } else if self.is_unnamed_shard(&path) {
                self.listing.unnamed.push(path.display().to_string());
            }
        }
        Ok(true)
    }

    fn note_table(&mut self, directory: &Path) {
        if let Some(table) = self.tables.around(directory)
            && !self.listing.tables.contains(&table)
        {
            self.listing.tables.push(table);
        }
    }

    /// Whether a file that has no shard's name is Parquet all the same.
    fn is_unnamed_shard(&mut self, path: &Path) -> bool {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let is_other = ending
            .to_str()
            .is_some_and(|ending| OTHER_ENDINGS.contains(&ending));
        if is_other || self.looked_into == MOST_LOOKED_INTO {
            return false;
        }
        self.looked_into += 1;
        // What cannot be read is no shard that anyone misses.
        is_marked(path).unwrap_or(false)
    }

    fn no_shard(&self, path: &Path) -> Error {
        let error =
            Error::input("find a *.parquet file in the directory").with("path", path.display());
        match self.listing.unnamed.first() {
            Some(unnamed) => error
                .with("Parquet under another name", unnamed)
                .hint("name such files themselves, or end their names in .parquet"),
            None => error.hint("files whose names start with '.' or '_' are skipped"),
        }
    }
}

/// Whether a regular file begins and ends as Parquet does.
fn is_marked(path: &Path) -> std::io::Result<bool> {
    let facts = std::fs::metadata(path)?;
    if !facts.is_file() || facts.len() < LEAST_BYTES {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let (mut start, mut end) = ([0; 4], [0; 4]);
    file.read_exact(&mut start)?;
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut end)?;
    // The second is of files whose footer is encrypted.
    Ok(start == end && (start == *b"PAR1" || start == *b"PARE"))
}

/// The refusal of a named pipe, a socket or a device: to open one may wait forever.
pub(super) fn not_a_file(path: &Path) -> Error {
    Error::usage("read a shard that is no regular file: Parquet is read from its end")
        .with("path", path.display())
        .hint("write what comes out of a pipe to a file first")
}

/// By the name as it is shown: one that is no text can end as a shard's does, too.
fn has_shard_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    is_shard_name(&name.to_string_lossy())
}

pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(is_set_aside)
}
