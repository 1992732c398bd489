//! JPEG through `zune-jpeg`, colour as Pillow has it from libjpeg.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::fault::Fault;
use crate::jpeg_stream::{Frame, Model};
use crate::probe::{ImageFacts, ImageKind};
use crate::samples::{Buffers, cleared, cmyk_to_rgb, low8};

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let frame = Frame::parse(bytes)?;
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let copy = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 2);
    ImageFacts::new(width, height, ImageKind::Jpeg, copy + decoder_bytes(&frame))
}

/// Sample rows or, for several scans, all coefficients, both as 16-bit numbers, and the four samples of a CMYK pixel.
fn decoder_bytes(frame: &Frame) -> u64 {
    let largest = |pick: fn(&crate::jpeg_stream::Component) -> u8| {
        u64::from(frame.components.iter().map(pick).max().unwrap_or(1))
    };
    let (across, down) = (largest(|c| c.across), largest(|c| c.down));
    let blocks_wide = u64::from(frame.width).div_ceil(8 * across);
    let blocks_high = u64::from(frame.height).div_ceil(8 * down);
    let factors: u64 = frame
        .components
        .iter()
        .map(|c| u64::from(c.across) * u64::from(c.down))
        .sum();
    let count = frame.components.len().max(3);
    // Per component: samples, their upsampled rows twice, scratch.
    let rows = blocks_wide * across * 8 * down * 8 * 2 * 8 * u64::try_from(count).unwrap_or(4);
    let coefficients = if frame.is_multi_scan() {
        blocks_wide * blocks_high * factors * 64 * 2
    } else {
        0
    };
    let inks = if frame.components.len() == 4 {
        u64::from(frame.width) * u64::from(frame.height) * 4
    } else {
        0
    };
    rows + coefficients + inks
}

pub(crate) fn decode(bytes: &[u8], facts: &ImageFacts, buffers: &mut Buffers) -> Result<(), Fault> {
    let frame = Frame::parse(bytes)?;
    let mut stream = std::mem::take(&mut buffers.stream);
    let result = frame
        .rewrite(bytes, &mut stream)
        .and_then(|()| decode_stream(&frame, &stream, facts, buffers));
    buffers.stream = stream;
    result
}

fn decode_stream(
    frame: &Frame,
    stream: &[u8],
    facts: &ImageFacts,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let pixels = usize::try_from(facts.pixels())
        .map_err(|_| Fault::unsupported("jpeg: larger than memory"))?;
    let model = frame.model();
    let space = match model {
        Model::Grey | Model::YCbCr => ColorSpace::RGB,
        // The decoder takes three components for YCbCr unless they are named R, G, B; asked for its own input it
        // hands the samples over as they are.
        Model::Rgb if frame.has_rgb_ids() => ColorSpace::RGB,
        Model::Rgb => ColorSpace::YCbCr,
        Model::Cmyk | Model::Ycck => ColorSpace::CMYK,
    };
    let samples = if space == ColorSpace::CMYK {
        cleared(&mut buffers.raw, pixels * 4)
    } else {
        cleared(&mut buffers.rgb, pixels * 3)
    };
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(stream), options);
    decoder.decode_into(samples).map_err(fault)?;
    if space == ColorSpace::CMYK {
        let rgb = cleared(&mut buffers.rgb, pixels * 3);
        for (out, ink) in rgb.chunks_exact_mut(3).zip(buffers.raw.chunks_exact(4)) {
            out.copy_from_slice(&inks_to_rgb(model, [ink[0], ink[1], ink[2], ink[3]]));
        }
    }
    Ok(())
}

/// Pillow takes every four-component JPEG for Adobe's, where 255 is no ink.
fn inks_to_rgb(model: Model, samples: [u8; 4]) -> [u8; 3] {
    let [a, b, c, k] = samples;
    let [c, m, y] = if model == Model::Ycck {
        ycc_to_rgb([a, b, c])
    } else {
        [!a, !b, !c]
    };
    cmyk_to_rgb([c, m, y, !k])
}

/// # Source
///
/// libjpeg's `ycck_cmyk_convert`: 16-bit fixed point, rounded. It complements the result, and so does Pillow after it.
fn ycc_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    let red = y + ((91_881 * cr + half) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + half) >> 16);
    let blue = y + ((116_130 * cb + half) >> 16);
    [red, green, blue].map(|value| low8(value.clamp(0, 255).unsigned_abs()))
}

fn fault(error: DecodeErrors) -> Fault {
    let message = format!("jpeg: {error:?}");
    match error {
        DecodeErrors::Unsupported(_) => Fault::unsupported(message),
        DecodeErrors::ExhaustedData => Fault::truncated("jpeg: picture data ends early"),
        DecodeErrors::FormatStatic("Premature end of buffer") => {
            Fault::truncated("jpeg: picture data ends early")
        }
        _ => Fault::corrupt(message),
    }
}
