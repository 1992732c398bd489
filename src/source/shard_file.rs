//! The bytes of a shard, wherever they lie: a seam of two methods, and what Parquet's readers want on top of it.

use std::{
    fmt,
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use bytes::{Buf, Bytes};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use crate::error::unreached;

/// Read first where it is not known how much follows: the header of a page.
const FIRST_BYTES: u64 = 8 << 10;
/// Read at a time after that: a column chunk that is copied as it lies.
const NEXT_BYTES: u64 = 64 << 10;

/// A file that is read in ranges, by several readers at once.
///
/// Making one need not reach the file: what is wrong with it may come out with the first range.
pub trait ShardFile: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    fn size_bytes(&self) -> u64;

    /// The bytes of `range`, neither fewer nor more; blocks.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before.
    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// Fills `out` with the bytes from `start` on; blocks.
    ///
    /// # Errors
    /// As [`ShardFile::read_at`].
    fn read_into(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.read_at(start..start + out.len() as u64)?;
        match bytes.len() == out.len() {
            true => out.copy_from_slice(&bytes),
            false => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    /// The first bytes of `range`, at least one: as many as are at hand.
    ///
    /// # Errors
    /// As [`ShardFile::read_at`].
    fn read_some(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.read_at(range)
    }

    /// Whether a plan is of use.
    fn is_planned(&self) -> bool {
        false
    }

    /// The same file for who will read `ranges` of it and little else, from front to back; `window_bytes` are asked for
    /// before they are needed. `None` where a plan is of no use.
    fn planned(&self, _ranges: &[Range<u64>], _window_bytes: u64) -> Option<Arc<dyn ShardFile>> {
        None
    }
}

/// A file that is open; a copy reads the same file.
#[derive(Debug, Clone)]
pub struct ShardBytes(Arc<dyn ShardFile>);

impl ShardBytes {
    /// The bytes of `file`.
    pub fn new(file: Arc<dyn ShardFile>) -> Self {
        Self(file)
    }

    /// How many there are.
    pub fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    /// The bytes of `range`; fewer where the file ends within.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let end = range.end.min(self.size_bytes());
        match range.start < end {
            true => self.0.read_at(range.start..end).map_err(unreached),
            false => Ok(Bytes::new()),
        }
    }
}

impl ShardBytes {
    /// Fills `out` with the bytes from `start` on.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before.
    pub fn read_into(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        match self.size_bytes().checked_sub(start) {
            Some(there) if there >= out.len() as u64 => {
                self.0.read_into(start, out).map_err(unreached)
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether a plan is of use.
    pub fn is_planned(&self) -> bool {
        self.0.is_planned()
    }

    /// As [`ShardFile::planned`]; this one where a plan is of no use.
    #[must_use]
    pub fn planned(&self, ranges: &[Range<u64>], window_bytes: u64) -> Self {
        let planned = self.0.planned(ranges, window_bytes);
        planned.map_or_else(|| self.clone(), Self)
    }

    fn read_some(&self, range: Range<u64>) -> io::Result<Bytes> {
        let end = range.end.min(self.size_bytes());
        match range.start < end {
            true => self.0.read_some(range.start..end).map_err(unreached),
            false => Ok(Bytes::new()),
        }
    }
}

impl Length for ShardBytes {
    fn len(&self) -> u64 {
        self.size_bytes()
    }
}

impl ChunkReader for ShardBytes {
    type T = FrontToBack;

    fn get_read(&self, start: u64) -> parquet::errors::Result<FrontToBack> {
        Ok(FrontToBack {
            file: self.clone(),
            position: start,
            ahead: Bytes::new(),
            next_bytes: FIRST_BYTES,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let there = self.size_bytes().saturating_sub(start);
        // Said before memory is taken for what a damaged footer may ask for.
        if there < length as u64 {
            return Err(ParquetError::EOF(format!(
                "Expected to read {length} bytes, read only {there}"
            )));
        }
        Ok(self.0.read_at(start..start + length as u64)?)
    }
}

/// Reads a file from one position on.
#[derive(Debug)]
pub struct FrontToBack {
    file: ShardBytes,
    /// Behind `ahead`.
    position: u64,
    /// What was read and not yet taken.
    ahead: Bytes,
    next_bytes: u64,
}

impl Read for FrontToBack {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            let end = self.position.saturating_add(self.next_bytes);
            self.ahead = self.file.read_some(self.position..end)?;
            self.position += self.ahead.len() as u64;
            self.next_bytes = NEXT_BYTES;
        }
        let len = out.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut out[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryFile;

    fn bytes(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    fn opened(len: usize) -> (Arc<MemoryFile>, ShardBytes) {
        let file = Arc::new(MemoryFile::new(bytes(len)));
        (Arc::clone(&file), ShardBytes::new(file))
    }

    #[test]
    fn reading_on_gives_every_byte_once_and_few_too_many() {
        let (file, opened) = opened(300_000);
        let mut read = Vec::new();
        let reader = opened.get_read(1_000).unwrap();
        reader.take(200_000).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes(300_000)[1_000..201_000]);
        assert!(file.bytes_read() <= 200_000 + NEXT_BYTES);
        let mut rest = Vec::new();
        let reader = opened.get_read(299_000);
        reader.unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes(300_000)[299_000..]);
    }

    #[test]
    fn a_range_beyond_the_end_is_an_error_that_reads_nothing() {
        let (file, opened) = opened(100);
        for (start, length) in [(90, 11), (101, 1), (u64::MAX, 1), (0, usize::MAX)] {
            let error = opened.get_bytes(start, length).unwrap_err().to_string();
            assert!(error.starts_with("EOF: Expected to read"), "{error}");
        }
        assert_eq!(file.bytes_read(), 0);
        assert_eq!(opened.get_bytes(90, 10).unwrap(), bytes(100)[90..]);
    }

    #[test]
    fn readers_of_one_file_do_not_disturb_each_other() {
        let (_, opened) = opened(200_000);
        let mut first = opened.get_read(0).unwrap();
        let mut second = opened.get_read(100_000).unwrap();
        let (all, mut one, mut other) = (bytes(200_000), [0; 3], [0; 3]);
        for at in (0..30_000).step_by(3) {
            first.read_exact(&mut one).unwrap();
            second.read_exact(&mut other).unwrap();
            assert_eq!(one, all[at..at + 3]);
            assert_eq!(other, all[100_000 + at..100_003 + at]);
        }
    }
}
