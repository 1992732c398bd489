//! Numbers that are too many for memory, in temporary files without a name: they go with their handle, however the
//! program ends.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// A temporary file that is read and written at positions.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: File,
    place: PathBuf,
    len: u64,
}

impl Scratch {
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let place = directory.to_path_buf();
        match tempfile::tempfile_in(directory) {
            Ok(file) => Ok(Self {
                file,
                place,
                len: 0,
            }),
            Err(error) => Err(failed(&place, error)),
        }
    }

    /// Writes behind what is there; where that is.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let at = self.len;
        self.write_at(bytes, at)?;
        self.len += bytes.len() as u64;
        Ok(at)
    }

    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        write_all_at(&self.file, bytes, at).map_err(|error| failed(&self.place, error))
    }

    pub(crate) fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        read_exact_at(&self.file, bytes, at).map_err(|error| {
            Error::internal("read a temporary file")
                .with("directory", self.place.display())
                .source(error)
        })
    }
}

fn failed(place: &Path, error: std::io::Error) -> Error {
    Error::output("write a temporary file")
        .with("directory", place.display())
        .source(error)
        .hint("free space there: it needs as much as the stored embeddings take as f32")
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        bytes = &bytes[written..];
        at += written as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        at += read as u64;
    }
    Ok(())
}

/// One number for each stored row, by its position.
#[derive(Debug)]
pub(crate) struct ScratchColumn {
    scratch: Scratch,
}

/// Where a row has no cell.
pub(crate) const NO_CELL: u32 = u32::MAX;

impl ScratchColumn {
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        Ok(Self {
            scratch: Scratch::create(directory)?,
        })
    }

    /// Numbers of the rows that follow; NaN where a row has none.
    pub(crate) fn append(&mut self, values: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.scratch.append(&bytes).map(|_| ())
    }

    /// Cells of the rows that follow; [`NO_CELL`] where a row has none.
    pub(crate) fn append_cells(&mut self, cells: &[u32]) -> Result<()> {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        self.scratch.append(&bytes).map(|_| ())
    }

    pub(crate) fn set(&self, position: u64, value: f32) -> Result<()> {
        self.scratch.write_at(&value.to_le_bytes(), position * 4)
    }

    pub(crate) fn read(&self, positions: Range<u64>) -> Result<Vec<f32>> {
        self.read_as(positions, f32::from_le_bytes)
    }

    pub(crate) fn read_cells(&self, positions: Range<u64>) -> Result<Vec<u32>> {
        self.read_as(positions, u32::from_le_bytes)
    }

    fn read_as<T>(&self, positions: Range<u64>, number: fn([u8; 4]) -> T) -> Result<Vec<T>> {
        let rows = usize::try_from(positions.end - positions.start)
            .map_err(|error| Error::internal("read a temporary column").source(error))?;
        let mut bytes = vec![0; rows * 4];
        self.scratch.read_at(&mut bytes, positions.start * 4)?;
        let numbers = bytes.chunks_exact(4);
        Ok(numbers
            .map(|four| number([four[0], four[1], four[2], four[3]]))
            .collect())
    }
}
