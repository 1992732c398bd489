//! A dictionary that does not fit into memory: writers look at its size once per thousand rows, and of pictures that
//! is a gigabyte.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    sync::Mutex,
};

use parquet::{basic::Compression, errors::ParquetError};

use super::{
    buffer::{PartBuffer, Room},
    header::invalid,
    stream::{PageStream, StoredPage},
};
use crate::source::ShardBytes;

/// Values between two of which the place is known, where they are so small that all places would be many.
const SPARSE: usize = 64;
/// From this average on the place of every value is known.
const LARGE_VALUE_BYTES: u64 = 512;

/// Gives values by their index: front to back as they are decompressed, as long as they are asked for in that order, which
/// is the one that they first stand in in a page; then from where they lie.
pub(super) struct LargeDictionary {
    page: StoredPage,
    values: u32,
    state: Mutex<State>,
}

enum State {
    /// What follows, and the index of its first value.
    Ahead(PageStream, u32),
    AnyOrder(Placed),
}

impl LargeDictionary {
    pub(super) fn open(page: StoredPage, values: u32) -> Result<Self, ParquetError> {
        Ok(Self {
            state: Mutex::new(State::Ahead(PageStream::open(page.clone())?, 0)),
            page,
            values,
        })
    }

    /// Appends the value at `index`, behind its length.
    pub(super) fn append(&self, index: u32, out: &mut PartBuffer) -> Result<(), ParquetError> {
        if index >= self.values {
            return Err(invalid("an index beyond its dictionary"));
        }
        let state = &mut *self
            .state
            .lock()
            .map_err(|_| invalid("a reader that panicked"))?;
        if let State::Ahead(_, next) = state
            && index < *next
        {
            *state = State::AnyOrder(Placed::read(self.page.clone(), self.values)?);
        }
        match state {
            State::Ahead(stream, next) => {
                while *next < index {
                    let length = u32::from_le_bytes(stream.array()?);
                    stream.pass(u64::from(length))?;
                    *next += 1;
                }
                let prefix = stream.array::<4>()?;
                out.push(&prefix)?;
                *next += 1;
                stream.append(u64::from(u32::from_le_bytes(prefix)), out)
            }
            State::AnyOrder(placed) => placed.append(index, out),
        }
    }
}

/// Gives values by their index, from where they lie.
#[derive(Debug)]
struct Placed {
    bytes: Place,
    /// Where every `stride`th value begins.
    places: Vec<u64>,
    stride: usize,
}

#[derive(Debug)]
enum Place {
    /// In the shard, from this position on: a page that is not compressed.
    Shard(ShardBytes, u64),
    /// Decompressed into a file without a name.
    Unpacked(Mutex<File>),
}

impl Placed {
    /// Reads through the page once; decompresses it into a temporary file where it is compressed.
    fn read(page: StoredPage, values: u32) -> Result<Self, ParquetError> {
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
            match &mut unpacked {
                None => stream.pass(length)?,
                Some(file) => {
                    value.clear();
                    stream.append(length, &mut value)?;
                    file.write_all(&prefix)?;
                    file.write_all(&value)?;
                }
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
        })
    }

    fn append(&self, index: u32, out: &mut PartBuffer) -> Result<(), ParquetError> {
        let index = index as usize;
        let place = self.places.get(index / self.stride);
        let mut at = *place.ok_or_else(|| invalid("an index beyond its dictionary"))?;
        let mut length = self.length(at)?;
        for _ in 0..index % self.stride {
            at += 4 + u64::from(length);
            length = self.length(at)?;
        }
        out.push(&length.to_le_bytes())?;
        self.fill(at + 4, out.room(length as usize)?)
    }

    fn length(&self, at: u64) -> Result<u32, ParquetError> {
        let mut prefix = [0; 4];
        self.fill(at, &mut prefix)?;
        Ok(u32::from_le_bytes(prefix))
    }

    fn fill(&self, at: u64, out: &mut [u8]) -> Result<(), ParquetError> {
        match &self.bytes {
            Place::Shard(shard, start) => Ok(shard.read_into(start + at, out)?),
            Place::Unpacked(file) => {
                let mut file = file.lock().map_err(|_| invalid("a reader that panicked"))?;
                file.seek(SeekFrom::Start(at))?;
                Ok(file.read_exact(out)?)
            }
        }
    }
}
