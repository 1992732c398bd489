//! The bytes of a tar from front to back: as they lie, or out of a stream that is compressed as a whole.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::file::reader::ChunkReader;

use crate::source::ShardBytes;

/// How files begin that are compressed as a whole.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Read along with a header, which is all that is wanted of most members.
const AHEAD_BYTES: u64 = 4 << 10;
/// Of a file that is read by a plan so much is asked for at a time.
pub(super) const WINDOW_BYTES: u64 = 8 << 20;
/// A stream may become so many times as large as its file, and
const MOST_EXPANSION: u64 = 100;
/// so much larger: pictures do not shrink, and headers and text no more than that.
const FREE_BYTES: u64 = 64 << 20;
/// Dropped at a time.
const DROPPED_BYTES: u64 = 1 << 20;

/// The bytes of a tar, from front to back.
pub(super) enum TarStream {
    /// As they lie: what is passed over is not read.
    Plain(Plain),
    /// Unpacked: what is passed over is unpacked all the same.
    Packed(Packed),
}

pub(super) struct Plain {
    file: ShardBytes,
    position: u64,
    /// What was read along.
    ahead: Bytes,
    ahead_at: u64,
}

pub(super) struct Packed {
    stream: Box<dyn Read + Send>,
    position: u64,
    most_bytes: u64,
}

/// Whether a file is compressed as a whole.
pub(super) fn is_packed(file: &ShardBytes) -> io::Result<bool> {
    let start = file.read_at(0..4)?;
    Ok(start.starts_with(&GZIP) || start.starts_with(&ZSTD))
}

impl TarStream {
    /// The bytes of `file`, which is compressed as a whole if it `is_packed`.
    pub(super) fn of(file: &ShardBytes, is_packed: bool) -> io::Result<Self> {
        let size = file.size_bytes();
        let file = file.planned(std::slice::from_ref(&(0..size)), WINDOW_BYTES);
        if !is_packed {
            return Ok(Self::Plain(Plain {
                file,
                position: 0,
                ahead: Bytes::new(),
                ahead_at: 0,
            }));
        }
        let is_gzip = file.read_at(0..2)?.starts_with(&GZIP);
        let packed = file.get_read(0).map_err(io::Error::other)?;
        Ok(Self::Packed(Packed {
            stream: match is_gzip {
                true => Box::new(MultiGzDecoder::new(packed)),
                false => Box::new(zstd::stream::read::Decoder::new(packed)?),
            },
            position: 0,
            most_bytes: size
                .saturating_mul(MOST_EXPANSION)
                .saturating_add(FREE_BYTES),
        }))
    }

    /// What was read before.
    pub(super) fn held(bytes: Bytes) -> Self {
        Self::Packed(Packed {
            most_bytes: bytes.len() as u64,
            stream: Box::new(io::Cursor::new(bytes)),
            position: 0,
        })
    }

    /// The next `length` bytes; fewer at the end.
    pub(super) fn read(&mut self, length: u64) -> io::Result<Bytes> {
        match self {
            Self::Plain(plain) => plain.read(length),
            Self::Packed(packed) => packed.read(length),
        }
    }

    /// Goes on at `position`, which lies ahead.
    ///
    /// # Errors
    /// When the bytes end before.
    pub(super) fn skip_to(&mut self, position: u64) -> io::Result<()> {
        match self {
            Self::Plain(plain) if position > plain.file.size_bytes() => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Self::Plain(plain) => {
                plain.position = position;
                Ok(())
            }
            Self::Packed(packed) => packed.skip_to(position),
        }
    }

    /// Goes to the end, where a stream that is compressed says whether it is whole.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Packed(packed) => packed.finish(),
        }
    }

    /// Where the next byte lies in the tar.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Plain(plain) => plain.position,
            Self::Packed(packed) => packed.position,
        }
    }
}

impl Plain {
    fn read(&mut self, length: u64) -> io::Result<Bytes> {
        let start = self.position;
        let end = start.saturating_add(length);
        let has = self.ahead_at..self.ahead_at + self.ahead.len() as u64;
        if start < has.start || end > has.end {
            let wanted = length.max(AHEAD_BYTES);
            self.ahead = self.file.read_at(start..start.saturating_add(wanted))?;
            self.ahead_at = start;
        }
        let within = |position: u64| {
            let place = usize::try_from(position - self.ahead_at).unwrap_or(usize::MAX);
            place.min(self.ahead.len())
        };
        let bytes = self.ahead.slice(within(start)..within(end));
        self.position += bytes.len() as u64;
        Ok(bytes)
    }
}

impl Packed {
    fn read(&mut self, length: u64) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        self.stream.by_ref().take(length).read_to_end(&mut bytes)?;
        self.passed(bytes.len() as u64)?;
        Ok(bytes.into())
    }

    fn skip_to(&mut self, position: u64) -> io::Result<()> {
        while self.position < position {
            let length = (position - self.position).min(DROPPED_BYTES);
            let dropped = io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())?;
            self.passed(dropped)?;
            if dropped < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        loop {
            let length = DROPPED_BYTES;
            let dropped = io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())?;
            self.passed(dropped)?;
            if dropped < length {
                return Ok(());
            }
        }
    }

    fn passed(&mut self, bytes: u64) -> io::Result<()> {
        self.position += bytes;
        if self.position > self.most_bytes {
            return Err(io::Error::other(format!(
                "it unpacks to more than {} bytes, which is {MOST_EXPANSION} times its size and {} MiB",
                self.most_bytes,
                FREE_BYTES >> 20
            )));
        }
        Ok(())
    }
}
