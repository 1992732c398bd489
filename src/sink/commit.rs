//! What is staged under a temporary name and becomes visible by a rename.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Marker that a directory of parts is complete; written last.
const SUCCESS: &str = "_SUCCESS";

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// One Parquet file.
    File(PathBuf),
    /// A directory of `part-*.parquet`.
    Directory(PathBuf),
}

impl Destination {
    /// A path that ends in `.parquet` is a file; anything else, and an existing directory, is a directory.
    pub fn of(path: &Path) -> Self {
        let named_file = path
            .extension()
            .is_some_and(|extension| extension == "parquet");
        if named_file && !path.is_dir() {
            Destination::File(path.to_path_buf())
        } else {
            Destination::Directory(path.to_path_buf())
        }
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        match self {
            Destination::File(path) | Destination::Directory(path) => path,
        }
    }

    /// Checks, before any work is done, that the result may be put there.
    ///
    /// # Errors
    /// When something is there and `overwrite` is not set, when a directory there holds other files than
    /// a result's, or when one of `inputs` would be replaced.
    pub fn check(&self, overwrite: bool, inputs: &[&Path]) -> Result<()> {
        let path = self.path();
        let file_with_slash = matches!(self, Destination::File(_))
            && path.as_os_str().to_string_lossy().ends_with('/');
        if path.file_name().is_none() || file_with_slash {
            return Err(
                Error::usage("write the output: its path ends without a name")
                    .with("output", path.display())
                    .hint("name a new directory, or a file that ends in .parquet"),
            );
        }
        let place = path.canonicalize().ok();
        for input in inputs {
            let Ok(input) = input.canonicalize() else {
                continue;
            };
            if place.as_ref().is_some_and(|place| input.starts_with(place)) {
                return Err(Error::usage("write the output over an input")
                    .with("output", path.display())
                    .with("input", input.display())
                    .hint("give the output another name"));
            }
        }
        if path.exists() && !is_empty_directory(path) {
            if !overwrite {
                return Err(Error::output("write the output: it exists")
                    .with("output", path.display())
                    .hint("--overwrite, or another name"));
            }
            if let Destination::Directory(directory) = self {
                check_replaceable(directory)?;
            }
        }
        Ok(())
    }

    /// Makes a temporary file or directory beside the destination.
    ///
    /// # Errors
    /// When the parent directory is missing, read-only or full.
    pub fn stage(&self) -> Result<Staged> {
        let path = self.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = format!(".{name}.clip-filter-{}.tmp", std::process::id());
        self.stage_at(parent(path).join(temporary))
    }

    /// Makes the file or directory `temporary`, on the destination's file system; a leftover there is removed.
    ///
    /// # Errors
    /// When its parent directory is missing, read-only or full.
    pub fn stage_at(&self, temporary: PathBuf) -> Result<Staged> {
        let failed = |error| {
            Error::output("write beside the output")
                .with("directory", parent(self.path()).display())
                .source(error)
                .hint("make the directory, or choose one you may write to")
        };
        remove(&temporary);
        match self {
            Destination::File(_) => File::create_new(&temporary).map(drop).map_err(failed)?,
            Destination::Directory(_) => std::fs::create_dir(&temporary).map_err(failed)?,
        }
        Ok(Staged::at(self.clone(), temporary))
    }
}

/// A result under its temporary name; removed unless it is committed.
#[derive(Debug)]
pub struct Staged {
    destination: Destination,
    temporary: PathBuf,
    committed: bool,
}

impl Staged {
    /// What lies finished at `temporary`.
    pub fn at(destination: Destination, temporary: PathBuf) -> Self {
        Self {
            destination,
            temporary,
            committed: false,
        }
    }

    /// Leaves the result where it is: its temporary name and its destination.
    pub fn into_move(mut self) -> (PathBuf, Destination) {
        self.committed = true;
        (self.temporary.clone(), self.destination.clone())
    }

    /// The file to write, or for a directory its part of this number.
    pub fn part(&self, number: usize) -> PathBuf {
        match self.destination {
            Destination::File(_) => self.temporary.clone(),
            Destination::Directory(_) => self.temporary.join(part_name(number)),
        }
    }

    /// True if the result may be cut into several files.
    pub fn takes_parts(&self) -> bool {
        matches!(self.destination, Destination::Directory(_))
    }

    /// Puts the finished result under its final name; the files must have been synced.
    ///
    /// # Errors
    /// When renaming fails; what was there before is then still there.
    pub fn commit(mut self) -> Result<Vec<PathBuf>> {
        let path = self.destination.path().to_path_buf();
        let failed = |error| {
            Error::output("rename the finished output")
                .with("output", path.display())
                .source(error)
        };
        let outputs = self.outputs().map_err(failed)?;
        match &self.destination {
            Destination::File(_) => std::fs::rename(&self.temporary, &path).map_err(failed)?,
            Destination::Directory(_) => {
                File::create(self.temporary.join(SUCCESS))
                    .and_then(|file| file.sync_all())
                    .map_err(failed)?;
                sync_directory(&self.temporary);
                replace_directory(&self.temporary, &path).map_err(failed)?;
            }
        }
        self.committed = true;
        sync_directory(parent(&path));
        Ok(outputs)
    }

    /// The final names of the files written so far.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn outputs(&self) -> std::io::Result<Vec<PathBuf>> {
        let path = self.destination.path();
        if matches!(self.destination, Destination::File(_)) {
            return Ok(vec![path.to_path_buf()]);
        }
        let mut outputs = Vec::new();
        for entry in std::fs::read_dir(&self.temporary)? {
            outputs.push(path.join(entry?.file_name()));
        }
        outputs.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "parquet")
        });
        outputs.sort();
        Ok(outputs)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed {
            remove(&self.temporary);
        }
    }
}

fn part_name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn is_empty_directory(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Refuses to replace a directory that holds anything but a result.
fn check_replaceable(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(|error| {
        Error::output("list the output directory")
            .with("output", directory.display())
            .source(error)
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != SUCCESS && !(name.starts_with("part-") && name.ends_with(".parquet")) {
            return Err(
                Error::output("replace the output directory: it holds other files")
                    .with("output", directory.display())
                    .with("file", name)
                    .hint("name a new directory, or one that an earlier run wrote"),
            );
        }
    }
    Ok(())
}

/// Writes `bytes` to `path`, in one step, and waits until they are safe.
///
/// # Errors
/// When the disk is full.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    write_in_place(Path::new(&temporary), bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| not_written(path, error))?;
    sync_directory(parent(path));
    Ok(())
}

/// Writes `bytes` to a temporary file that is renamed later, and waits until they are safe.
pub(super) fn write_temporary(temporary: &Path, bytes: &[u8]) -> Result<()> {
    write_in_place(temporary, bytes).map_err(|error| not_written(temporary, error))
}

fn write_in_place(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn not_written(path: &Path, error: std::io::Error) -> Error {
    Error::output("write a file")
        .with("file", path.display())
        .source(error)
        .hint("free space there")
}

/// Renames `temporary` to `path`; an old directory there is moved aside first and removed last.
fn replace_directory(temporary: &Path, path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return std::fs::rename(temporary, path);
    }
    let mut old = temporary.as_os_str().to_owned();
    old.push(".old");
    std::fs::rename(path, &old)?;
    if let Err(error) = std::fs::rename(temporary, path) {
        std::fs::rename(&old, path)?;
        return Err(error);
    }
    remove(Path::new(&old));
    Ok(())
}

fn remove(path: &Path) {
    // Nothing can be done about a leftover that cannot be removed, and nothing depends on it.
    let _ = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
}

fn sync_directory(directory: &Path) {
    // Not every file system can; the files themselves are synced before.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_visible_before_the_commit_or_after_a_drop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.parquet");
        let destination = Destination::of(&path);
        drop(destination.stage().unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let staged = destination.stage().unwrap();
        std::fs::write(staged.part(0), b"x").unwrap();
        assert!(!path.exists());
        assert_eq!(staged.commit().unwrap(), std::slice::from_ref(&path));
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let destination = Destination::of(&dir.path().join("out"));
        for parts in [3, 1] {
            destination.check(true, &[]).unwrap();
            let staged = destination.stage().unwrap();
            for number in 0..parts {
                std::fs::write(staged.part(number), b"x").unwrap();
            }
            staged.commit().unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path().join("out"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["_SUCCESS", "part-00000.parquet"]);
    }

    #[test]
    fn user_data_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in.parquet");
        std::fs::write(&input, b"x").unwrap();
        let check = |path: &Path, overwrite| Destination::of(path).check(overwrite, &[&input]);
        assert!(check(&input, true).is_err(), "output is input");
        assert!(check(dir.path(), true).is_err(), "output holds the input");
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        assert!(check(&other, false).is_ok(), "an empty directory is free");
        std::fs::write(other.join("thesis.txt"), b"x").unwrap();
        assert!(check(&other, true).is_err(), "a directory with other files");
        let file = dir.path().join("old.parquet");
        std::fs::write(&file, b"x").unwrap();
        assert!(check(&file, false).is_err());
        assert!(check(&file, true).is_ok());
        let nowhere = Destination::of(&dir.path().join("no/such/out.parquet"));
        assert!(nowhere.stage().is_err());
    }
}
