//! What a page holds, decompressed as it is read: never more of it in memory than the codec looks back.

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes};
use parquet::{basic::Compression, errors::ParquetError};

use super::{
    blocks::{Block, Format},
    header::invalid,
};
use crate::source::ShardBytes;

/// Read of the file at a time.
const AHEAD_BYTES: u64 = 256 << 10;

/// Whether pages of a codec can be decompressed as a stream; LZ4 of Hadoop cannot, as its framing has to be guessed.
pub(super) fn is_streamed(codec: Compression) -> bool {
    !matches!(codec, Compression::LZ4 | Compression::LZO)
}

/// A stretch of a file, front to back.
#[derive(Debug)]
pub(super) struct Stretch {
    file: ShardBytes,
    position: u64,
    end: u64,
    ahead: Bytes,
}

impl Stretch {
    pub(super) fn new(file: ShardBytes, position: u64, end: u64) -> Self {
        Self {
            file,
            position,
            end,
            ahead: Bytes::new(),
        }
    }
}

impl BufRead for Stretch {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead.is_empty() && self.position < self.end {
            let end = self.end.min(self.position.saturating_add(AHEAD_BYTES));
            self.ahead = self.file.read_at(self.position..end)?;
            self.position += self.ahead.len() as u64;
        }
        Ok(&self.ahead)
    }

    fn consume(&mut self, len: usize) {
        self.ahead.advance(len);
    }
}

impl Read for Stretch {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let len = there.len().min(out.len());
        out[..len].copy_from_slice(&there[..len]);
        self.consume(len);
        Ok(len)
    }
}

/// Reads what `page` holds; `keeps_all` is for a block that looks back further than usual.
fn decoder(page: &StoredPage, keeps_all: bool) -> Result<Box<dyn Read + Send>, ParquetError> {
    fn buffered(decoder: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        Box::new(BufReader::with_capacity(64 << 10, decoder))
    }
    let input = Stretch::new(page.file.clone(), page.start, page.end);
    Ok(match page.codec {
        Compression::UNCOMPRESSED => Box::new(input),
        Compression::ZSTD(_) => buffered(zstd::stream::read::Decoder::with_buffer(input)?),
        Compression::GZIP(_) => buffered(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::BROTLI(_) => buffered(brotli::Decompressor::new(input, 64 << 10)),
        Compression::SNAPPY => Box::new(Block::new(input, Format::Snappy, keeps_all)),
        Compression::LZ4_RAW => Box::new(Block::new(input, Format::Lz4, keeps_all)),
        Compression::LZ4 | Compression::LZO => {
            return Err(invalid("a codec that is not read in parts"));
        }
    })
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
    decoder: Box<dyn Read + Send>,
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
            decoder: decoder(&page, false)?,
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
    pub(super) fn append(&mut self, len: u64, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        let from = out.len();
        // Said before memory is taken for what a damaged page may ask for.
        let len = match usize::try_from(len) {
            Ok(known) if len <= self.left() => known,
            _ => return Err(short()),
        };
        let reserved = out.try_reserve_exact(len);
        reserved.map_err(|error| ParquetError::External(error.into()))?;
        out.resize(from + len, 0);
        self.fill(&mut out[from..])
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), ParquetError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.decoder.read(&mut out[filled..]) {
                Ok(0) => return Err(short()),
                Ok(len) => {
                    filled += len;
                    self.position += len as u64;
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
        self.decoder = decoder(&self.page, true)?;
        let mut passed = (&mut self.decoder).take(self.position);
        match io::copy(&mut passed, &mut io::sink())? == self.position {
            true => Ok(()),
            false => Err(short()),
        }
    }
}

fn short() -> ParquetError {
    ParquetError::EOF("a page holds less than it says".to_owned())
}
