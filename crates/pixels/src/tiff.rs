//! TIFF, read here: the first page's directory and what its samples mean, by Pillow's table of modes.

use crate::fault::Fault;
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, cleared, clip16, cmyk_to_rgb, flatten, low8};
use crate::spec::Alpha;
use crate::tiff_strips::read_samples;

/// The tags that are read.
mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_COUNTS: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_COUNTS: u16 = 325;
    pub(super) const EXTRA: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
}

/// The first page's directory.
pub(crate) struct Directory {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) bits: u8,
    pub(crate) samples: usize,
    pub(crate) big_endian: bool,
    pub(crate) compression: u32,
    pub(crate) reversed_bits: bool,
    pub(crate) planar: bool,
    pub(crate) predictor: u32,
    /// Columns and rows of a strip or tile.
    pub(crate) chunk: (usize, usize),
    pub(crate) offsets: Vec<u32>,
    pub(crate) counts: Vec<u32>,
    photometric: u32,
    extra: Vec<u32>,
    color_map: Vec<u32>,
}

impl Directory {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let entries = Entries::locate(bytes)?;
        let size = |tag| {
            let value = entries.number(tag, 0)?;
            usize::try_from(value).map_err(|_| Fault::corrupt("tiff: size out of range"))
        };
        let (width, height) = (size(tag::WIDTH)?, size(tag::HEIGHT)?);
        let bits = entries.list(tag::BITS)?;
        let depth = bits.first().copied().unwrap_or(1);
        if bits.iter().any(|&other| other != depth) {
            return Err(Fault::unsupported("tiff: samples of different depths"));
        }
        if entries
            .list(tag::SAMPLE_FORMAT)?
            .iter()
            .any(|&format| format != 1)
        {
            return Err(Fault::unsupported("tiff: signed or floating-point samples"));
        }
        let tile = (size(tag::TILE_WIDTH)?, size(tag::TILE_HEIGHT)?);
        let rows =
            usize::try_from(entries.number(tag::ROWS_PER_STRIP, u32::MAX)?).unwrap_or(usize::MAX);
        let tiled = tile.0 > 0 && tile.1 > 0;
        let (offsets, counts) = match tiled {
            true => (tag::TILE_OFFSETS, tag::TILE_COUNTS),
            false => (tag::STRIP_OFFSETS, tag::STRIP_COUNTS),
        };
        Ok(Self {
            width,
            height,
            bits: u8::try_from(depth)
                .map_err(|_| Fault::unsupported("tiff: more than 255 bits a sample"))?,
            samples: usize::try_from(entries.number(tag::SAMPLES, 1)?).unwrap_or(usize::MAX),
            big_endian: entries.big_endian,
            compression: entries.number(tag::COMPRESSION, 1)?,
            reversed_bits: entries.number(tag::FILL_ORDER, 1)? == 2,
            planar: entries.number(tag::PLANAR, 1)? == 2,
            predictor: entries.number(tag::PREDICTOR, 1)?,
            chunk: if tiled {
                tile
            } else {
                (width, rows.clamp(1, height.max(1)))
            },
            offsets: entries.list(offsets)?,
            counts: entries.list(counts)?,
            photometric: entries.number(tag::PHOTOMETRIC, 0)?,
            extra: entries.list(tag::EXTRA)?,
            color_map: entries.list(tag::COLOR_MAP)?,
        })
    }

    /// Bytes of one row of interleaved samples.
    pub(crate) fn stride(&self) -> usize {
        (self.width * self.samples * usize::from(self.bits)).div_ceil(8)
    }

    fn meaning(&self) -> Result<Meaning, Fault> {
        let alpha = match self.extra.first() {
            Some(0) => Opacity::None,
            Some(1) => Opacity::Premultiplied,
            _ => Opacity::Straight,
        };
        let meaning = match (self.photometric, self.samples, self.bits) {
            (0 | 1, 1, 16) => Meaning::Grey16,
            (0 | 1, 1, 1 | 2 | 4 | 8) => Meaning::Indexed,
            (1, 2, 8) if alpha != Opacity::Premultiplied => Meaning::GreyAlpha(alpha),
            (3, 1, 1 | 2 | 4 | 8) => Meaning::Indexed,
            (3, 2, 8) if alpha != Opacity::Premultiplied => Meaning::IndexedAlpha(alpha),
            (2, 3, 8 | 16) => Meaning::Rgb(Opacity::None),
            (2, 4, 8 | 16) | (2, 5 | 6, 8) => Meaning::Rgb(alpha),
            (5, 4, 8 | 16) | (5, 5 | 6, 8) => Meaning::Cmyk,
            (photometric, samples, bits) => {
                let found = format!("photometric {photometric}, {samples} samples of {bits} bits");
                return Err(Fault::unsupported(format!("tiff: {found}")));
            }
        };
        if self.planar && self.bits < 8 {
            return Err(Fault::unsupported("tiff: planes of less than eight bits"));
        }
        Ok(meaning)
    }

    /// Colour of every sample of at most eight bits.
    fn palette(&self) -> Palette {
        let mut palette = match self.photometric {
            3 => {
                let size = self.color_map.len() / 3;
                let high = |index: usize| {
                    self.color_map
                        .get(index)
                        .map_or(0, |value| low8(value >> 8))
                };
                let triples: Vec<u8> = (0..size.min(256))
                    .flat_map(|i| [high(i), high(i + size), high(i + 2 * size)])
                    .collect();
                Palette::from_rgb(&triples)
            }
            _ => Palette::grey(self.bits),
        };
        if self.photometric == 0 {
            palette.0.iter_mut().for_each(|entry| {
                entry[..3]
                    .iter_mut()
                    .for_each(|channel| *channel = !*channel)
            });
        }
        palette
    }
}

/// What an alpha sample is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opacity {
    None,
    Premultiplied,
    Straight,
}

/// What the samples of a pixel are.
enum Meaning {
    Indexed,
    IndexedAlpha(Opacity),
    Grey16,
    GreyAlpha(Opacity),
    Rgb(Opacity),
    Cmyk,
}

/// The entries of the first directory, still in the file.
struct Entries<'a> {
    fields: Fields<'a>,
    big_endian: bool,
    start: usize,
    count: usize,
}

impl<'a> Entries<'a> {
    fn locate(bytes: &'a [u8]) -> Result<Self, Fault> {
        let fields = Fields {
            format: "tiff",
            bytes,
        };
        let big_endian = bytes.starts_with(b"MM");
        let mut entries = Self {
            fields,
            big_endian,
            start: 0,
            count: 0,
        };
        if entries.u16(2)? == 43 {
            return Err(Fault::unsupported("tiff: 64-bit offsets"));
        }
        entries.start = offset(entries.u32(4)?)?;
        entries.count = usize::from(entries.u16(entries.start)?);
        Ok(entries)
    }

    fn u16(&self, at: usize) -> Result<u16, Fault> {
        if self.big_endian {
            self.fields.u16_be(at)
        } else {
            self.fields.u16_le(at)
        }
    }

    fn u32(&self, at: usize) -> Result<u32, Fault> {
        if self.big_endian {
            self.fields.u32_be(at)
        } else {
            self.fields.u32_le(at)
        }
    }

    fn number(&self, tag: u16, default: u32) -> Result<u32, Fault> {
        Ok(self.list(tag)?.first().copied().unwrap_or(default))
    }

    /// All values of a tag, none where it is absent. A list cannot be longer than the file.
    fn list(&self, tag: u16) -> Result<Vec<u32>, Fault> {
        for index in 0..self.count {
            let at = self.start + 2 + 12 * index;
            if self.u16(at)? != tag {
                continue;
            }
            let width = match self.u16(at + 2)? {
                1 => 1,
                3 => 2,
                4 => 4,
                _ => return Err(Fault::corrupt(format!("tiff: tag {tag} is not a number"))),
            };
            let count = offset(self.u32(at + 4)?)?;
            let size = count
                .checked_mul(width)
                .ok_or_else(|| Fault::corrupt("tiff: endless list"))?;
            let from = if size <= 4 {
                at + 8
            } else {
                offset(self.u32(at + 8)?)?
            };
            if from
                .checked_add(size)
                .is_none_or(|end| end > self.fields.bytes.len())
            {
                return Err(Fault::truncated(format!("tiff: ends within tag {tag}")));
            }
            return (0..count)
                .map(|i| self.value(from + i * width, width))
                .collect();
        }
        Ok(Vec::new())
    }

    fn value(&self, at: usize, width: usize) -> Result<u32, Fault> {
        match width {
            1 => self.fields.array::<1>(at).map(|[byte]| u32::from(byte)),
            2 => self.u16(at).map(u32::from),
            _ => self.u32(at),
        }
    }
}

fn offset(value: u32) -> Result<usize, Fault> {
    usize::try_from(value).map_err(|_| Fault::corrupt("tiff: offset out of range"))
}

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let directory = Directory::parse(bytes)?;
    directory.meaning()?;
    let edge =
        |length| u32::try_from(length).map_err(|_| Fault::corrupt("tiff: size out of range"));
    // The samples, a tile or strip of at most four times as many, and the compressed bytes with their bits turned.
    let samples = u64::try_from(directory.stride())
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(edge(directory.height)?));
    let copy = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 4);
    let held = samples
        .saturating_mul(5)
        .saturating_add(copy)
        .saturating_add(1 << 23);
    ImageFacts::new(
        edge(directory.width)?,
        edge(directory.height)?,
        ImageKind::Tiff,
        held,
    )
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let directory = Directory::parse(bytes)?;
    let meaning = directory.meaning()?;
    read_samples(bytes, &directory, buffers)?;
    let pixels = usize::try_from(facts.pixels())
        .map_err(|_| Fault::unsupported("tiff: larger than memory"))?;
    let rgb = cleared(&mut buffers.rgb, pixels * 3);
    let samples = buffers.raw.as_slice();
    if matches!(meaning, Meaning::Indexed) {
        let rows = Rows {
            width: directory.width,
            stride: directory.stride(),
            bits: directory.bits,
        };
        directory.palette().expand(samples, rows, alpha, rgb);
        return Ok(());
    }
    let step = usize::from(directory.bits / 8);
    // Of 16 bits the high byte counts.
    let high = if directory.big_endian { 0 } else { step - 1 };
    let palette = directory.palette();
    for (out, pixel) in rgb
        .chunks_exact_mut(3)
        .zip(samples.chunks_exact(directory.samples * step))
    {
        let at = |index: usize| pixel[index * step + high];
        let color = match meaning {
            Meaning::Indexed => palette.0[usize::from(pixel[0])],
            Meaning::IndexedAlpha(opacity) => {
                let [r, g, b, _] = palette.0[usize::from(pixel[0])];
                straight([r, g, b, at(1)], opacity)
            }
            Meaning::Grey16 => {
                let grey = clip16(u16::from_le_bytes([pixel[1 - high], pixel[high]]));
                [grey, grey, grey, 255]
            }
            Meaning::GreyAlpha(opacity) => straight([at(0), at(0), at(0), at(1)], opacity),
            Meaning::Rgb(Opacity::None) => [at(0), at(1), at(2), 255],
            Meaning::Rgb(opacity) => straight([at(0), at(1), at(2), at(3)], opacity),
            Meaning::Cmyk => {
                let [r, g, b] = cmyk_to_rgb([at(0), at(1), at(2), at(3)]);
                [r, g, b, 255]
            }
        };
        out.copy_from_slice(&flatten(color, alpha));
    }
    Ok(())
}

/// Colour as if it had never been multiplied by alpha, with Pillow's truncating division.
fn straight([r, g, b, a]: [u8; 4], opacity: Opacity) -> [u8; 4] {
    match (opacity, a) {
        (Opacity::None, _) => [r, g, b, 255],
        (Opacity::Straight, _) | (Opacity::Premultiplied, 255) => [r, g, b, a],
        (Opacity::Premultiplied, 0) => [0; 4],
        (Opacity::Premultiplied, _) => {
            let [r, g, b] =
                [r, g, b].map(|channel| low8((u32::from(channel) * 255 / u32::from(a)).min(255)));
            [r, g, b, a]
        }
    }
}
