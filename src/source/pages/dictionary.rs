//! A dictionary that does not fit into memory: writers look at its size once per thousand rows, and of pictures that
//! is a gigabyte.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    sync::Mutex,
};

use parquet::{basic::Compression, errors::ParquetError};

use super::{
    header::invalid,
    stream::{PageStream, StoredPage},
};
use crate::source::ShardBytes;

/// Values between two of which the place is known, where they are so small that all places would be many.
const SPARSE: usize = 64;
/// From this average on the place of every value is known.
const LARGE_VALUE_BYTES: u64 = 512;

/// Gives values by their index, from where they lie.
#[derive(Debug)]
pub(super) struct LargeDictionary {
    bytes: Place,
    /// Where every `stride`th value begins.
    places: Vec<u64>,
    stride: usize,
    values: u32,
}

#[derive(Debug)]
enum Place {
    /// In the shard, from this position on: a page that is not compressed.
    Shard(ShardBytes, u64),
    /// Decompressed into a file without a name.
    Unpacked(Mutex<File>),
}

impl LargeDictionary {
    /// Reads through the page once; decompresses it into a temporary file where it is compressed.
    pub(super) fn read(page: StoredPage, values: u32) -> Result<Self, ParquetError> {
        let average = page.bytes / u64::from(values.max(1));
        let stride = match average < LARGE_VALUE_BYTES {
            true => SPARSE,
            false => 1,
        };
        let is_plain = page.codec == Compression::UNCOMPRESSED;
        let shard = (page.file.clone(), page.start);
        let mut stream = PageStream::open(page)?;
        let mut unpacked = match is_plain {
            true => None,
            false => Some(std::io::BufWriter::new(tempfile::tempfile()?)),
        };
        let (mut places, mut at, mut value) = (Vec::new(), 0u64, Vec::new());
        for index in 0..values as usize {
            if index % stride == 0 {
                places.push(at);
            }
            let prefix = stream.array::<4>()?;
            let length = u64::from(u32::from_le_bytes(prefix));
            value.clear();
            stream.append(length, &mut value)?;
            if let Some(file) = &mut unpacked {
                file.write_all(&prefix)?;
                file.write_all(&value)?;
            }
            at += 4 + length;
        }
        let bytes = match unpacked {
            None => Place::Shard(shard.0, shard.1),
            Some(file) => {
                let file = file.into_inner().map_err(|error| error.into_error())?;
                Place::Unpacked(Mutex::new(file))
            }
        };
        Ok(Self {
            bytes,
            places,
            stride,
            values,
        })
    }

    /// Appends the value at `index`, behind its length.
    pub(super) fn append(&self, index: u32, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        if index >= self.values {
            return Err(invalid("an index beyond its dictionary"));
        }
        let index = index as usize;
        let place = self.places.get(index / self.stride);
        let mut at = *place.ok_or_else(|| invalid("an index beyond its dictionary"))?;
        let mut length = self.length(at)?;
        for _ in 0..index % self.stride {
            at += 4 + u64::from(length);
            length = self.length(at)?;
        }
        out.extend(length.to_le_bytes());
        self.read_at(at + 4, length as usize, out)
    }

    fn length(&self, at: u64) -> Result<u32, ParquetError> {
        let mut prefix = Vec::with_capacity(4);
        self.read_at(at, 4, &mut prefix)?;
        let prefix = prefix
            .try_into()
            .map_err(|_| invalid("a dictionary that has changed"))?;
        Ok(u32::from_le_bytes(prefix))
    }

    fn read_at(&self, at: u64, len: usize, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        match &self.bytes {
            Place::Shard(shard, start) => {
                let from = start + at;
                let bytes = shard.read_at(from..from + len as u64)?;
                out.extend_from_slice(&bytes);
                match bytes.len() == len {
                    true => Ok(()),
                    false => Err(invalid("a dictionary that has changed")),
                }
            }
            Place::Unpacked(file) => {
                let mut file = file.lock().map_err(|_| invalid("a reader that panicked"))?;
                file.seek(SeekFrom::Start(at))?;
                let from = out.len();
                out.resize(from + len, 0);
                std::io::Read::read_exact(&mut *file, &mut out[from..])?;
                Ok(())
            }
        }
    }
}
