//! What a page holds, decompressed as it is read: never more of it in memory than the codec looks back.

use std::io::{self, BufRead, BufReader, Read};

use parquet::{basic::Compression, errors::ParquetError};

use super::{
    blocks::{Block, Format},
    buffer::Room,
    header::invalid,
};
use crate::source::ShardBytes;

/// Most that is read of the file at a time.
const AHEAD_BYTES: usize = 256 << 10;
/// Read first, and wherever something was left out before: the next length may be all that is wanted.
const FIRST_BYTES: usize = 4 << 10;
/// From this size on a value that is stored as it is goes straight to where it is wanted.
const DIRECT_BYTES: usize = 16 << 10;

/// Whether pages of a codec can be decompressed as a stream; LZ4 of Hadoop cannot, as its framing has to be guessed.
pub(super) fn is_streamed(codec: Compression) -> bool {
    !matches!(codec, Compression::LZ4 | Compression::LZO)
}

/// A stretch of a file, front to back.
#[derive(Debug)]
pub(super) struct Stretch {
    file: ShardBytes,
    /// Behind what was read.
    position: u64,
    end: u64,
    ahead: Vec<u8>,
    /// Position in `ahead` of the first byte that was not given away, and the end of what was read.
    taken: usize,
    there: usize,
    next_bytes: usize,
}

impl Stretch {
    pub(super) fn new(file: ShardBytes, position: u64, end: u64) -> Self {
        Self {
            file,
            position,
            end,
            ahead: Vec::new(),
            taken: 0,
            there: 0,
            next_bytes: FIRST_BYTES,
        }
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.position) + (self.there - self.taken) as u64
    }

    /// Leaves out `len` bytes, or as many as there are; how many.
    fn pass(&mut self, len: u64) -> u64 {
        let len = len.min(self.left());
        let at_hand = usize::try_from(len)
            .unwrap_or(usize::MAX)
            .min(self.there - self.taken);
        self.taken += at_hand;
        let rest = len - at_hand as u64;
        if rest > 0 {
            self.position += rest;
            self.next_bytes = FIRST_BYTES;
        }
        len
    }
}

impl BufRead for Stretch {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.there && self.position < self.end {
            let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
            let len = self.next_bytes.min(left);
            if self.ahead.len() < len {
                self.ahead.resize(len, 0);
            }
            self.file.read_into(self.position, &mut self.ahead[..len])?;
            self.position += len as u64;
            (self.taken, self.there) = (0, len);
            self.next_bytes = (self.next_bytes * 8).min(AHEAD_BYTES);
        }
        Ok(&self.ahead[self.taken..self.there])
    }

    fn consume(&mut self, len: usize) {
        self.taken = (self.taken + len).min(self.there);
    }
}

impl Read for Stretch {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        if self.taken == self.there && left.min(out.len()) >= DIRECT_BYTES {
            let len = left.min(out.len());
            self.file.read_into(self.position, &mut out[..len])?;
            self.position += len as u64;
            self.next_bytes = FIRST_BYTES;
            return Ok(len);
        }
        let there = self.fill_buf()?;
        let len = there.len().min(out.len());
        out[..len].copy_from_slice(&there[..len]);
        self.consume(len);
        Ok(len)
    }
}

/// Gives what a page holds.
enum Decoder {
    /// As it is stored.
    Stored(Stretch),
    Unpacked(Box<dyn BufRead + Send>),
}

impl Decoder {
    /// Of `page`; `keeps_all` is for a block that looks back further than usual.
    fn of(page: &StoredPage, keeps_all: bool) -> Result<Self, ParquetError> {
        fn buffered(decoder: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
            Box::new(BufReader::with_capacity(64 << 10, decoder))
        }
        let input = Stretch::new(page.file.clone(), page.start, page.end);
        Ok(Self::Unpacked(match page.codec {
            Compression::UNCOMPRESSED => return Ok(Self::Stored(input)),
            Compression::ZSTD(_) => buffered(zstd::stream::read::Decoder::with_buffer(input)?),
            Compression::GZIP(_) => buffered(flate2::bufread::MultiGzDecoder::new(input)),
            Compression::BROTLI(_) => buffered(brotli::Decompressor::new(input, 64 << 10)),
            Compression::SNAPPY => Box::new(Block::new(input, Format::Snappy, keeps_all)),
            Compression::LZ4_RAW => Box::new(Block::new(input, Format::Lz4, keeps_all)),
            Compression::LZ4 | Compression::LZO => {
                return Err(invalid("a codec that is not read in parts"));
            }
        }))
    }

    /// Leaves out up to `len` bytes; how many, none where there are no more.
    fn pass(&mut self, len: u64) -> io::Result<u64> {
        match self {
            Self::Stored(stretch) => Ok(stretch.pass(len)),
            Self::Unpacked(decoder) => {
                let there = decoder.fill_buf()?.len();
                let passed = usize::try_from(len).map_or(there, |len| len.min(there));
                decoder.consume(passed);
                Ok(passed as u64)
            }
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(stretch) => stretch.read(out),
            Self::Unpacked(decoder) => decoder.read(out),
        }
    }
}

/// The bytes of a page as they lie in the file.
#[derive(Debug, Clone)]
pub(super) struct StoredPage {
    pub(super) file: ShardBytes,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) codec: Compression,
    /// What it decompresses to.
    pub(super) bytes: u64,
}

/// Reads what a page holds, from its first byte on.
pub(super) struct PageStream {
    page: StoredPage,
    decoder: Decoder,
    position: u64,
    keeps_all: bool,
}

impl PageStream {
    pub(super) fn open(page: StoredPage) -> Result<Self, ParquetError> {
        let page = match page.bytes {
            // Of nothing there need not be a compressed form.
            0 => StoredPage {
                codec: Compression::UNCOMPRESSED,
                ..page
            },
            _ => page,
        };
        Ok(Self {
            decoder: Decoder::of(&page, false)?,
            page,
            position: 0,
            keeps_all: false,
        })
    }

    /// Bytes that are still to come, as the page's header has it.
    pub(super) fn left(&self) -> u64 {
        self.page.bytes - self.position
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ParquetError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Appends the next `len` bytes to `out`.
    pub(super) fn append(&mut self, len: u64, out: &mut impl Room) -> Result<(), ParquetError> {
        // Said before memory is taken for what a damaged page may ask for.
        match usize::try_from(len) {
            Ok(known) if len <= self.left() => self.fill(out.room(known)?),
            _ => Err(short()),
        }
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), ParquetError> {
        let mut filled = 0;
        self.each(out.len() as u64, |decoder, _| {
            let read = decoder.read(&mut out[filled..])?;
            filled += read;
            Ok(read as u64)
        })
    }

    /// Leaves out the next `len` bytes, which are not read where they are stored as they are.
    pub(super) fn pass(&mut self, len: u64) -> Result<(), ParquetError> {
        match len <= self.left() {
            true => self.each(len, |decoder, left| decoder.pass(left)),
            false => Err(short()),
        }
    }

    /// Goes on by `len` bytes; `step` is given how many are left and says how many of them it took.
    fn each(
        &mut self,
        len: u64,
        mut step: impl FnMut(&mut Decoder, u64) -> io::Result<u64>,
    ) -> Result<(), ParquetError> {
        let mut left = len;
        while left > 0 {
            match step(&mut self.decoder, left) {
                Ok(0) => return Err(short()),
                Ok(taken) => {
                    left -= taken;
                    self.position += taken;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported && !self.keeps_all => {
                    self.begin_again()?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// From the start to where it was, with all in memory: what comes looks back further than usual.
    fn begin_again(&mut self) -> Result<(), ParquetError> {
        self.keeps_all = true;
        self.decoder = Decoder::of(&self.page, true)?;
        let mut left = self.position;
        while left > 0 {
            match self.decoder.pass(left)? {
                0 => return Err(short()),
                passed => left -= passed,
            }
        }
        Ok(())
    }
}

fn short() -> ParquetError {
    ParquetError::EOF("a page holds less than it says".to_owned())
}
