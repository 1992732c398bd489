//! PNG through the `png` crate, samples untransformed, then Pillow's modes. What the crate does not read goes row by row.

use std::io::Cursor;

use png::{ColorType, Limits, Reader, Transformations};

use crate::fault::Fault;
use crate::png_chunks::Chunks;
use crate::png_metadata;
use crate::png_rows::{self, Ending};
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, Wanted, cleared, clip16, flatten, flatten_rgba};
use crate::spec::Alpha;

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let fields = Fields {
        format: "png",
        bytes,
    };
    if fields.array::<4>(12)? != *b"IHDR" {
        return Err(Fault::corrupt("png: first chunk is not IHDR"));
    }
    let (width, height) = (fields.u32_be(16)?, fields.u32_be(20)?);
    let [depth, color] = fields.array::<2>(24)?;
    let channels: u64 = match color {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let row = (u64::from(width) * channels * u64::from(depth)).div_ceil(8);
    // The samples, and the window of the inflater: four rows and a few times its 32 KiB.
    let samples = row.saturating_mul(u64::from(height));
    let held = samples.saturating_add(row * 4 + (1 << 18));
    let facts = ImageFacts::new(width, height, ImageKind::Png, held)?;
    Ok(facts.to_turn(png_metadata::turn(bytes)))
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    wanted: Wanted,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let length = |count: u64| {
        usize::try_from(count).map_err(|_| Fault::unsupported("png: larger than memory"))
    };
    let pixels = length(facts.pixels())?;
    cleared(&mut buffers.rgb, pixels * 3);
    let chunks = Chunks::read(bytes, wanted.truncated)?;
    let layout = match decode_whole(bytes, facts, wanted.alpha, buffers) {
        Some(None) => return Ok(()),
        Some(Some(layout)) => layout,
        None => {
            let bits = u64::from(chunks.bits) * u64::try_from(chunks.channels()).unwrap_or(1);
            let stride = length((u64::from(facts.width) * bits).div_ceil(8))?;
            let samples = cleared(&mut buffers.raw, stride * length(u64::from(facts.height))?);
            let ending = png_rows::read(&chunks, wanted.truncated, samples)?;
            buffers.is_filled = ending == Ending::Cut;
            Layout::of(&chunks, stride)
        }
    };
    let rgb = buffers.rgb.as_mut_slice();
    let samples = buffers.raw.as_slice();
    match (layout.color, layout.bits) {
        (ColorType::Grayscale, 16) => {
            for (out, value) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(2)) {
                out.fill(clip16(u16::from_be_bytes([value[0], value[1]])));
            }
        }
        (ColorType::Grayscale | ColorType::Indexed, bits) => {
            let rows = Rows {
                width: length(u64::from(facts.width))?,
                stride: layout.stride,
                bits,
            };
            layout.palette().expand(samples, rows, wanted.alpha, rgb);
        }
        _ => flatten_channels(samples, &layout, wanted.alpha, rgb),
    }
    Ok(())
}

/// Reads a picture that is whole; none where it is not. Its samples are packed in the raw buffer, those that are RGB
/// already in the other one, and have no layout.
fn decode_whole(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Option<Option<Layout>> {
    let mut reader = open(bytes, facts)?;
    let info = reader.info();
    let mut layout = Layout {
        color: info.color_type,
        bits: info.bit_depth as u8,
        stride: 0,
        colors: info.palette.as_deref().unwrap_or_default().to_vec(),
        transparency: info.trns.as_deref().map(<[u8]>::to_vec),
    };
    let is_plain = (layout.color, layout.bits) == (ColorType::Rgb, 8);
    if is_plain && (layout.key().is_none() || alpha == Alpha::Drop) {
        return reader.next_frame(&mut buffers.rgb).ok().map(|_| None);
    }
    let samples = cleared(&mut buffers.raw, reader.output_buffer_size()?);
    layout.stride = reader.next_frame(samples).ok()?.line_size;
    Some(Some(layout))
}

/// What packed samples are.
struct Layout {
    color: ColorType,
    bits: u8,
    /// Bytes of a row.
    stride: usize,
    /// The palette as RGB.
    colors: Vec<u8>,
    /// As the `png` crate has it: of a number of at most eight bits the low byte.
    transparency: Option<Vec<u8>>,
}

impl Layout {
    fn of(chunks: &Chunks<'_>, stride: usize) -> Self {
        let color = ColorType::from_u8(chunks.color).unwrap_or(ColorType::Grayscale);
        let is_wide = chunks.bits == 16 || color == ColorType::Indexed;
        let low = |number: &[u8]| number.iter().skip(1).step_by(2).copied().collect();
        Self {
            color,
            bits: chunks.bits,
            stride,
            colors: chunks.palette.to_vec(),
            transparency: chunks.transparency.map(|number| match is_wide {
                true => number.to_vec(),
                false => low(number),
            }),
        }
    }

    /// Colour of every sample of a palette or grey picture of at most eight bits.
    fn palette(&self) -> Palette {
        let transparency = self.transparency.as_deref();
        if self.color == ColorType::Indexed {
            let mut palette = Palette::from_rgb(&self.colors);
            for (entry, &alpha) in palette.0.iter_mut().zip(transparency.unwrap_or_default()) {
                entry[3] = alpha;
            }
            return palette;
        }
        let mut palette = Palette::grey(self.bits);
        if let Some(&[number]) = transparency {
            // Pillow compares the chunk's number with the grey it made of the sample, not with the sample.
            let key = if self.bits == 1 && number != 0 {
                255
            } else {
                number
            };
            palette
                .0
                .iter_mut()
                .filter(|entry| entry[0] == key)
                .for_each(|entry| entry[3] = 0);
        }
        palette
    }

    /// The colour of an RGB picture that is transparent: Pillow keeps the low bytes, also at 16 bits.
    fn key(&self) -> Option<[u8; 3]> {
        match (self.color, self.transparency.as_deref()) {
            (ColorType::Rgb, Some(&[r, g, b] | &[_, r, _, g, _, b])) => Some([r, g, b]),
            _ => None,
        }
    }
}

fn open<'a>(bytes: &'a [u8], facts: &ImageFacts) -> Option<Reader<Cursor<&'a [u8]>>> {
    /// For metadata and two rows; a picture is never allocated by the decoder.
    const OTHER_BYTES: usize = 8 << 20;
    let limits = Limits {
        bytes: OTHER_BYTES + 32 * usize::try_from(facts.width).unwrap_or(0),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().ok()
}

/// RGB, RGBA and grey with alpha; of 16 bits the high byte counts.
fn flatten_channels(samples: &[u8], layout: &Layout, alpha: Alpha, rgb: &mut [u8]) {
    let step = usize::from(layout.bits / 8);
    let key = layout.key();
    match layout.color {
        ColorType::Rgb => {
            for (out, pixel) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(3 * step)) {
                let [r, g, b] = [pixel[0], pixel[step], pixel[2 * step]];
                let opacity = if key == Some([r, g, b]) { 0 } else { 255 };
                out.copy_from_slice(&flatten([r, g, b, opacity], alpha));
            }
        }
        ColorType::Rgba if step == 1 => flatten_rgba(samples, alpha, rgb),
        ColorType::Rgba => {
            for (out, pixel) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(8)) {
                out.copy_from_slice(&flatten([pixel[0], pixel[2], pixel[4], pixel[6]], alpha));
            }
        }
        _ => {
            for (out, pixel) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(2 * step)) {
                let grey = pixel[0];
                out.copy_from_slice(&flatten([grey, grey, grey, pixel[step]], alpha));
            }
        }
    }
}
