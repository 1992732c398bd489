//! PNG through the `png` crate, samples untransformed, then Pillow's modes.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodingError, Limits, Reader, Transformations};

use crate::fault::{Fault, FaultKind};
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, cleared, clip16, flatten, flatten_rgba};
use crate::spec::Alpha;

/// The empty last chunk.
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

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
    let copy = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 4);
    // The samples, a copy of an unfinished file, and the window of the inflater: four rows and a few times its 32 KiB.
    let samples = row.saturating_mul(u64::from(height));
    ImageFacts::new(
        width,
        height,
        ImageKind::Png,
        samples.saturating_add(copy + row * 4 + (1 << 18)),
    )
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let result = decode_closed(bytes, facts, alpha, buffers);
    match result {
        // The decoder wants to see the chunk behind the picture. Pillow does not, so give it one and see.
        Err(fault) if fault.kind == FaultKind::Truncated && !bytes.ends_with(&END) => {
            let mut stream = std::mem::take(&mut buffers.stream);
            stream.clear();
            stream.extend_from_slice(bytes);
            stream.extend_from_slice(&END);
            let closed = decode_closed(&stream, facts, alpha, buffers);
            buffers.stream = stream;
            closed.map_err(|_| fault)
        }
        result => result,
    }
}

fn decode_closed(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let mut reader = open(bytes, facts)?;
    let too_large = || Fault::unsupported("png: larger than memory");
    let size = reader.output_buffer_size().ok_or_else(too_large)?;
    let pixels = usize::try_from(facts.pixels()).map_err(|_| too_large())?;
    let rgb = cleared(&mut buffers.rgb, pixels * 3);
    let key = transparent_color(&reader);
    let plain = reader.output_color_type() == (ColorType::Rgb, BitDepth::Eight);
    if plain && (key.is_none() || alpha == Alpha::Drop) {
        reader.next_frame(rgb).map_err(fault)?;
        return Ok(());
    }
    let samples = cleared(&mut buffers.raw, size);
    let frame = reader.next_frame(samples).map_err(fault)?;
    let width = usize::try_from(facts.width).map_err(|_| too_large())?;
    let bits = frame.bit_depth as u8;
    match (frame.color_type, bits) {
        (ColorType::Grayscale, 16) => {
            for (out, value) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(2)) {
                out.fill(clip16(u16::from_be_bytes([value[0], value[1]])));
            }
        }
        (ColorType::Grayscale | ColorType::Indexed, _) => {
            let rows = Rows {
                width,
                stride: frame.line_size,
                bits,
            };
            palette(&reader, bits).expand(samples, rows, alpha, rgb);
        }
        (color, depth) => flatten_channels(samples, (color, depth), key, alpha, rgb),
    }
    Ok(())
}

fn open<'a>(bytes: &'a [u8], facts: &ImageFacts) -> Result<Reader<Cursor<&'a [u8]>>, Fault> {
    /// For metadata and two rows; a picture is never allocated by the decoder.
    const OTHER_BYTES: usize = 8 << 20;
    let limits = Limits {
        bytes: OTHER_BYTES + 32 * usize::try_from(facts.width).unwrap_or(0),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(fault)
}

/// Colour of every sample of a palette or grey picture of at most eight bits.
fn palette(reader: &Reader<Cursor<&[u8]>>, bits: u8) -> Palette {
    let info = reader.info();
    let transparency = info.trns.as_deref();
    if info.color_type == ColorType::Indexed {
        let mut palette = Palette::from_rgb(info.palette.as_deref().unwrap_or_default());
        for (entry, &alpha) in palette.0.iter_mut().zip(transparency.unwrap_or_default()) {
            entry[3] = alpha;
        }
        return palette;
    }
    let mut palette = Palette::grey(bits);
    if let Some(&[number]) = transparency {
        // Pillow compares the chunk's number with the grey it made of the sample, not with the sample.
        let key = if bits == 1 && number != 0 {
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
fn transparent_color(reader: &Reader<Cursor<&[u8]>>) -> Option<[u8; 3]> {
    let info = reader.info();
    match (info.color_type, info.trns.as_deref()) {
        (ColorType::Rgb, Some(&[r, g, b] | &[_, r, _, g, _, b])) => Some([r, g, b]),
        _ => None,
    }
}

/// RGB, RGBA and grey with alpha; of 16 bits the high byte counts.
fn flatten_channels(
    samples: &[u8],
    (color, bits): (ColorType, u8),
    key: Option<[u8; 3]>,
    alpha: Alpha,
    rgb: &mut [u8],
) {
    let step = usize::from(bits / 8);
    match color {
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

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) => Fault::from_io("png", &error),
        error => Fault::corrupt(format!("png: {error}")),
    }
}
