//! JPEG through a port of libjpeg-turbo, whose arithmetic Pillow's pixels come from.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat, ScalingFactor};

use crate::fault::Fault;
use crate::jpeg_stream::Frame;
use crate::probe::{ImageFacts, ImageKind};
use crate::samples::{Buffers, cleared, cmyk_to_rgb};

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let frame = Frame::parse(bytes)?;
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let copy = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 2);
    ImageFacts::new(width, height, ImageKind::Jpeg, copy + decoder_bytes(&frame))
}

/// Scans of a progressive picture; an encoder makes about ten, and each goes over all coefficients again.
const MAX_SCANS: usize = 500;

/// Sample rows or, for several scans, all coefficients, both as 16-bit numbers, and the four samples of a CMYK pixel.
fn decoder_bytes(frame: &Frame) -> u64 {
    let largest = |pick: fn(&crate::jpeg_stream::Component) -> u8| {
        u64::from(frame.components().iter().map(pick).max().unwrap_or(1))
    };
    let (across, down) = (largest(|c| c.across), largest(|c| c.down));
    let blocks_wide = u64::from(frame.width).div_ceil(8 * across);
    let blocks_high = u64::from(frame.height).div_ceil(8 * down);
    let factors: u64 = frame
        .components()
        .iter()
        .map(|c| u64::from(c.across) * u64::from(c.down))
        .sum();
    let count = frame.components().len().max(3);
    // Per component: samples, their upsampled rows twice, scratch.
    let rows = blocks_wide * across * 8 * down * 8 * 2 * 8 * u64::try_from(count).unwrap_or(4);
    let coefficients = if frame.is_multi_scan() {
        blocks_wide * blocks_high * factors * 64 * 2
    } else {
        0
    };
    let inks = if frame.components().len() == 4 {
        u64::from(frame.width) * u64::from(frame.height) * 4
    } else {
        0
    };
    rows + coefficients + inks
}

/// Refuses a file that was cut short.
pub(crate) fn check_end(bytes: &[u8]) -> Result<(), Fault> {
    Frame::parse(bytes)?.check_end(bytes)
}

/// Decodes to RGB at one part in `reduction` of the width and height, rounded up.
pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    reduction: u32,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let frame = Frame::parse(bytes)?;
    frame.check_end(bytes)?;
    let edge = |length: u32| u64::from(length.div_ceil(reduction));
    let pixels = usize::try_from(edge(facts.width) * edge(facts.height))
        .map_err(|_| Fault::unsupported("jpeg: larger than memory"))?;
    let inks = frame.components().len() == 4;
    let (format, samples) = if inks {
        (PixelFormat::Cmyk, cleared(&mut buffers.raw, pixels * 4))
    } else {
        (PixelFormat::Rgb, cleared(&mut buffers.rgb, pixels * 3))
    };
    let limits = DecodeLimits {
        max_pixels: facts.pixels(),
        max_scans: MAX_SCANS,
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(fault)?;
    decoder.set_output_format(format);
    decoder.set_scale(ScalingFactor::try_new(1, reduction).map_err(fault)?);
    decoder.decode_image_into(samples).map_err(fault)?;
    if inks {
        let rgb = cleared(&mut buffers.rgb, pixels * 3);
        // Pillow takes every four-component JPEG for Adobe's, where 255 is no ink.
        for (out, ink) in rgb.chunks_exact_mut(3).zip(buffers.raw.chunks_exact(4)) {
            out.copy_from_slice(&cmyk_to_rgb([!ink[0], !ink[1], !ink[2], !ink[3]]));
        }
    }
    Ok(())
}

fn fault(error: JpegError) -> Fault {
    match error {
        JpegError::Unsupported(what) => Fault::unsupported(format!("jpeg: {what}")),
        JpegError::UnexpectedEof => Fault::truncated("jpeg: picture data ends early"),
        other => Fault::corrupt(format!("jpeg: {other}")),
    }
}
