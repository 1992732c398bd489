//! Blobs in a directory.

use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    DirLock,
    blobs::{BlobFile, Blobs, ChangeBlob, Durability, WriteBlob, put_bytes},
    files::failed,
    names,
};
use crate::{
    error::{Error, Result},
    source::Location,
};

/// Ends the names of files that are being written; a leftover of a process that died is overwritten.
const TEMPORARY: &str = "tmp";

/// A directory. Every file is written under another name and renamed.
#[derive(Debug)]
pub(super) struct LocalBlobs {
    directory: PathBuf,
}

impl LocalBlobs {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        names::inside(&self.directory, name)
    }

    /// Makes the file `temporary`, and its folders if they are not there.
    fn create(&self, temporary: &Path) -> std::io::Result<File> {
        match File::create(temporary) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            created => return created,
        }
        if let Some(parent) = temporary.parent() {
            std::fs::create_dir_all(parent)?;
            let folders = parent.ancestors().skip(1);
            let ours = folders.take_while(|folder| folder.starts_with(&self.directory));
            ours.for_each(sync);
        }
        File::create(temporary)
    }

    fn write(&self, temporary: &Path, durability: Durability, write: WriteBlob<'_>) -> Result<()> {
        let failed = |error| failed(&temporary.display(), error);
        let mut file = self.create(temporary).map_err(failed)?;
        write(&mut file)?;
        match durability {
            Durability::Remade => Ok(()),
            Durability::Named | Durability::Whole => file.sync_all().map_err(failed),
        }
    }
}

impl Blobs for LocalBlobs {
    fn place(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let facts = std::fs::metadata(self.path(name)).ok();
        let facts = facts.filter(std::fs::Metadata::is_file);
        Ok(facts.map(|facts| facts.len()))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match std::fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::input("read the score store")
                .with("file", self.place(name))
                .source(error)),
        }
    }

    fn open(&self, name: &str) -> Result<BlobFile> {
        Location::local(self.path(name)).open()
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let directory = self.path(folder);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Error::input("list the score store")
                    .with("directory", directory.display())
                    .source(error));
            }
        };
        let is_temporary = |name: &String| Path::new(name).extension() == Some(TEMPORARY.as_ref());
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !is_temporary(name)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn put(&self, name: &str, durability: Durability, write: WriteBlob<'_>) -> Result<()> {
        let path = self.path(name);
        let temporary = temporary(&path);
        let written = self.write(&temporary, durability, write).and_then(|()| {
            std::fs::rename(&temporary, &path).map_err(|error| failed(&path.display(), error))
        });
        match (&written, path.parent()) {
            (Err(_), _) => {
                // Room for the next try.
                let _ = std::fs::remove_file(&temporary);
            }
            (Ok(()), Some(parent)) if durability == Durability::Named => sync(parent),
            _ => {}
        }
        written
    }

    fn update(&self, name: &str, durability: Durability, change: ChangeBlob<'_>) -> Result<()> {
        let _lock = DirLock::briefly(&self.directory)?;
        let old = self.read(name)?;
        match change(old.as_deref())? {
            None => Ok(()),
            Some(new) => put_bytes(self, name, durability, &new),
        }
    }

    fn keep_names(&self, folder: &str) {
        sync(&self.path(folder));
    }

    fn remove(&self, name: &str) {
        // A leftover is harmless.
        let _ = std::fs::remove_file(self.path(name));
    }

    fn remove_all(&self, folder: &str) {
        // As above.
        let _ = std::fs::remove_dir_all(self.path(folder));
    }

    fn total_bytes(&self) -> u64 {
        fn below(directory: &Path) -> u64 {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(facts) if facts.is_dir() => below(&entry.path()),
                    Ok(facts) => facts.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        below(&self.directory)
    }
}

/// A name that no reader looks for.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// Not every file system can; the files themselves are synced before.
fn sync(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}
