//! The first page of a TIFF, as the `tiff` crate reads it.
//!
//! The crate gives no samples of palettes, LAB, unusual extra samples or subsampled chroma, and inverts white-is-zero
//! where Pillow does not. So it is shown every page as grey samples, and what they mean is decided in `tiff.rs`.

use std::io::{Cursor, Read, Result as IoResult, Seek, SeekFrom};

use tiff::decoder::{ChunkType, Decoder, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use crate::fault::Fault;
use crate::tiff_directory::Directory;

/// Compressions by their number in the file.
pub(crate) mod compression {
    pub(crate) const NONE: u16 = 1;
    pub(crate) const JPEG: u16 = 7;

    /// Those that the crate undoes for us.
    pub(crate) const SAMPLES: [u16; 6] = [NONE, 4, 5, 8, 32_946, 32_773];

    pub(crate) fn name(number: u16) -> &'static str {
        match number {
            2 => "CCITT run-length",
            3 => "CCITT group 3",
            6 => "old-style JPEG",
            JPEG => "JPEG",
            9 | 10 | 34_661 => "JBIG",
            34_712 => "JPEG 2000",
            34_887 => "LERC",
            34_925 => "LZMA",
            50_000 => "Zstandard",
            50_001 => "WebP",
            50_002 => "JPEG XL",
            _ => "unknown",
        }
    }
}

/// What the directory says of the samples.
pub(crate) struct Page<'a> {
    pub(crate) decoder: Decoder<Shown<'a>>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bits: u8,
    pub(crate) samples: u16,
    /// 1: unsigned, 2: signed, 3: floating point.
    pub(crate) format: u16,
    pub(crate) photometric: u16,
    pub(crate) compression: u16,
    pub(crate) extra: Vec<u16>,
    /// Upper bound of the memory for the values of its directory.
    pub(crate) directory_bytes: u64,
}

impl<'a> Page<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let directory = Directory::read(bytes)?;
        let shown = Shown {
            cursor: Cursor::new(bytes),
            at: directory.photometric_at,
            big_endian: bytes.starts_with(b"MM"),
        };
        let mut limits = Limits::default();
        limits.intermediate_buffer_size = bytes.len();
        let mut decoder = Decoder::new(shown).map_err(fault)?.with_limits(limits);
        let (width, height) = decoder.dimensions().map_err(fault)?;
        let (bits, samples) = match decoder.colortype().map_err(fault)? {
            ColorType::Gray(bits) => (bits, 1),
            ColorType::Multiband {
                bit_depth,
                num_samples,
            } => (bit_depth, num_samples),
            other => return Err(Fault::unsupported(format!("tiff: {other:?}"))),
        };
        let mut page = Self {
            decoder,
            width,
            height,
            bits,
            samples,
            format: 1,
            photometric: directory.photometric,
            directory_bytes: directory.held_bytes,
            compression: compression::NONE,
            extra: Vec::new(),
        };
        page.format = page.number(Tag::SampleFormat, 1)?;
        page.compression = page.number(Tag::Compression, compression::NONE)?;
        page.extra = page.numbers(Tag::ExtraSamples)?;
        Ok(page)
    }

    /// All values of a tag, none where it is absent.
    pub(crate) fn numbers<T: TryFrom<u64>>(&mut self, tag: Tag) -> Result<Vec<T>, Fault> {
        let found = self.decoder.find_tag_unsigned_vec(tag);
        Ok(found.map_err(fault)?.unwrap_or_default())
    }

    pub(crate) fn number(&mut self, tag: Tag, default: u16) -> Result<u16, Fault> {
        Ok(self.numbers(tag)?.first().copied().unwrap_or(default))
    }

    /// Offset and length of every strip or tile.
    pub(crate) fn strips(&mut self, file: &[u8]) -> Result<Vec<(usize, usize)>, Fault> {
        let tags = match self.decoder.get_chunk_type() {
            ChunkType::Strip => (Tag::StripOffsets, Tag::StripByteCounts),
            ChunkType::Tile => (Tag::TileOffsets, Tag::TileByteCounts),
        };
        let (offsets, lengths): (_, Vec<usize>) = (self.numbers(tags.0)?, self.numbers(tags.1)?);
        let append = |sum: usize, &length: &usize| sum.saturating_add(length);
        if lengths.iter().fold(0, append) > file.len().saturating_mul(2) {
            return Err(Fault::corrupt("tiff: strips larger than the file"));
        }
        Ok(offsets.into_iter().zip(lengths).collect())
    }

    /// Bytes of one row of samples, or of one row of one plane.
    pub(crate) fn stride(&self) -> u64 {
        (u64::from(self.width) * u64::from(self.samples) * u64::from(self.bits)).div_ceil(8)
    }

    /// Columns and rows of a tile or strip.
    pub(crate) fn chunk(&self) -> (u32, u32) {
        let (columns, rows) = self.decoder.chunk_dimensions();
        match self.decoder.get_chunk_type() {
            ChunkType::Strip => (columns, rows.min(self.height)),
            ChunkType::Tile => (columns, rows),
        }
    }

    /// A tile may be larger than a small page, but not without bound.
    pub(crate) fn check_tiles(&self) -> Result<(), Fault> {
        let (columns, rows) = self.chunk();
        let tile = u64::from(columns) * u64::from(rows);
        let page = u64::from(self.width) * u64::from(self.height);
        if tile > page.saturating_mul(4).max(1 << 20) {
            let message = format!("tiff: a tile of {columns} x {rows} pixels");
            return Err(Fault::corrupt(message));
        }
        Ok(())
    }
}

/// The file as the crate is to see it: two bytes of it say that the samples are grey.
pub(crate) struct Shown<'a> {
    cursor: Cursor<&'a [u8]>,
    at: usize,
    big_endian: bool,
}

impl Read for Shown<'_> {
    fn read(&mut self, out: &mut [u8]) -> IoResult<usize> {
        const BLACK_IS_ZERO: u16 = 1;
        let from = usize::try_from(self.cursor.position()).unwrap_or(usize::MAX);
        let count = self.cursor.read(out)?;
        let value = match self.big_endian {
            true => BLACK_IS_ZERO.to_be_bytes(),
            false => BLACK_IS_ZERO.to_le_bytes(),
        };
        for (place, byte) in [self.at, self.at.saturating_add(1)].into_iter().zip(value) {
            let within = place.checked_sub(from).filter(|&index| index < count);
            if let Some(index) = within {
                out[index] = byte;
            }
        }
        Ok(count)
    }
}

impl Seek for Shown<'_> {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.cursor.seek(to)
    }
}

pub(crate) fn fault(error: TiffError) -> Fault {
    match error {
        TiffError::IoError(error) => Fault::from_io("tiff", &error),
        TiffError::UnsupportedError(error) => Fault::unsupported(format!("tiff: {error}")),
        TiffError::LimitsExceeded => Fault::truncated("tiff: a strip is longer than the file"),
        error => Fault::corrupt(format!("tiff: {error}")),
    }
}
