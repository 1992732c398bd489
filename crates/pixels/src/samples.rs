//! Samples to RGB with Pillow's integer arithmetic: palettes, grey ramps, alpha over white, CMYK.

use crate::jpeg_blocks::Block;
use crate::spec::{Alpha, Truncated};

/// Buffers that live from image to image.
#[derive(Default)]
pub(crate) struct Buffers {
    /// The decoded picture: RGB, rows from the top.
    pub(crate) rgb: Vec<u8>,
    /// What a decoder writes before it is RGB.
    pub(crate) raw: Vec<u8>,
    /// The encoded picture, rewritten for its decoder.
    pub(crate) stream: Vec<u8>,
    /// Whether the file ended early and what it lacks was made up.
    pub(crate) is_filled: bool,
    /// Coefficients of a JPEG.
    pub(crate) blocks: Vec<Block>,
}

/// What a decoder has to do besides decoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) alpha: Alpha,
    pub(crate) truncated: Truncated,
}

/// Zeroed, so that no decoder can show a rest of the picture before.
pub(crate) fn cleared(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    buffer.clear();
    buffer.resize(len, 0);
    buffer
}

/// Lowest eight bits, for values known to be below 256.
pub(crate) fn low8(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

/// Colour and alpha of every value of a sample of at most eight bits.
pub(crate) struct Palette(pub(crate) [[u8; 4]; 256]);

impl Palette {
    /// Grey by value.
    pub(crate) fn ramp() -> Self {
        let mut table = [[255; 4]; 256];
        for (value, entry) in (0..=255u8).zip(&mut table) {
            entry[..3].fill(value);
        }
        Self(table)
    }

    /// Grey of samples of 1, 2, 4 or 8 bits, black at zero.
    pub(crate) fn grey(bits: u8) -> Self {
        let mut palette = Self::ramp();
        let scale = match bits {
            1 => 255,
            2 => 85,
            4 => 17,
            _ => 1,
        };
        for (value, entry) in (0..=255u8).zip(&mut palette.0) {
            entry[..3].fill(value.wrapping_mul(scale));
        }
        palette
    }

    /// Packed RGB triples; entries they do not reach are black.
    pub(crate) fn from_rgb(triples: &[u8]) -> Self {
        let mut palette = Self([[0, 0, 0, 255]; 256]);
        for (entry, triple) in palette.0.iter_mut().zip(triples.chunks_exact(3)) {
            entry[..3].copy_from_slice(triple);
        }
        palette
    }

    fn flattened(&self, alpha: Alpha) -> [[u8; 3]; 256] {
        self.0.map(|entry| flatten(entry, alpha))
    }

    /// Maps rows of packed samples, most significant bits first, each row padded to `stride` bytes.
    pub(crate) fn expand(&self, samples: &[u8], layout: Rows, alpha: Alpha, rgb: &mut [u8]) {
        let table = self.flattened(alpha);
        let per_byte = 8 / usize::from(layout.bits);
        let mask = low8((1u32 << layout.bits) - 1);
        for (row, out) in samples
            .chunks(layout.stride)
            .zip(rgb.chunks_exact_mut(layout.width * 3))
        {
            if layout.bits == 8 {
                for (pixel, &sample) in out.chunks_exact_mut(3).zip(row) {
                    pixel.copy_from_slice(&table[usize::from(sample)]);
                }
                continue;
            }
            for (group, &byte) in out.chunks_mut(per_byte * 3).zip(row) {
                let mut shift = 8;
                for pixel in group.chunks_exact_mut(3) {
                    shift -= layout.bits;
                    pixel.copy_from_slice(&table[usize::from((byte >> shift) & mask)]);
                }
            }
        }
    }
}

/// How packed samples lie in memory.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// Pixels in a row.
    pub(crate) width: usize,
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
    /// Bits of a sample: 1, 2, 4 or 8.
    pub(crate) bits: u8,
}

/// One RGBA pixel without its alpha, as Pillow does it.
pub(crate) fn flatten(pixel: [u8; 4], alpha: Alpha) -> [u8; 3] {
    let [r, g, b, a] = pixel;
    match alpha {
        Alpha::Drop => [r, g, b],
        Alpha::OverWhite => [r, g, b].map(|channel| over_white(channel, a)),
    }
}

/// # Source
///
/// Pillow's `alpha_composite` onto an opaque white pixel: seven extra bits, division by 255 with shifts.
fn over_white(channel: u8, alpha: u8) -> u8 {
    let source = u32::from(alpha) << 7;
    let white = (255 << 7) - source;
    let sum = u32::from(channel) * source + 255 * white + (0x80 << 7);
    low8((((sum >> 8) + sum) >> 8) >> 7)
}

/// RGBA to RGB, pixel by pixel.
pub(crate) fn flatten_rgba(rgba: &[u8], alpha: Alpha, rgb: &mut [u8]) {
    for (out, pixel) in rgb.chunks_exact_mut(3).zip(rgba.chunks_exact(4)) {
        out.copy_from_slice(&flatten([pixel[0], pixel[1], pixel[2], pixel[3]], alpha));
    }
}

/// Pillow's conversion of one CMYK pixel, 255 being full ink.
pub(crate) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let paper = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * paper + 128;
        low8(paper - (((product >> 8) + product) >> 8))
    })
}

/// 16-bit grey as Pillow converts `I;16` to RGB: values over 255 are white.
pub(crate) fn clip16(value: u16) -> u8 {
    u8::try_from(value).unwrap_or(255)
}
