//! A file that is there only when it is whole.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use super::{Destination, Staged};
use crate::error::{Error, Result};

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 1 << 18;

/// One file of any format under its temporary name; removed unless it is committed.
#[derive(Debug)]
pub struct StagedFile {
    // Before `staged`, which removes the file.
    file: BufWriter<File>,
    staged: Staged,
}

impl StagedFile {
    /// Starts the file beside its final name.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn create(path: PathBuf) -> Result<Self> {
        let staged = Destination::File(path).stage()?;
        let file = File::create(staged.part(0)).map_err(|error| failed(&staged, error))?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            staged,
        })
    }

    /// Syncs the file and gives it its final name.
    ///
    /// # Errors
    /// When the disk is full or renaming fails.
    pub fn commit(self) -> Result<()> {
        let Self { mut file, staged } = self;
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .map_err(|error| failed(&staged, error))?;
        staged.commit().map(drop)
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn failed(staged: &Staged, error: std::io::Error) -> Error {
    Error::output("write the output")
        .with("file", staged.part(0).display())
        .source(error)
        .hint("free space there, or write elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_committed_and_leaves_nothing_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let mut dropped = StagedFile::create(path.clone()).unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut file = StagedFile::create(path.clone()).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
