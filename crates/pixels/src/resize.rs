//! Where the model's picture lies in the decoded one, and its resampling.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::fault::Fault;
use crate::spec::{Filter, PixelSpec};

/// Resize and centre crop as one step: only what the crop keeps is ever computed.
///
/// A crop of the resized picture is the resize of a part of the source, at the same scale and with the same pixels under
/// the filter, so that the result is the one of resizing first. Without this an image of 2 x 6000 would be resized to
/// 224 x 672000 before its crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// Part of the source: left, top, width, height.
    pub(crate) source: [f64; 4],
    /// Columns and rows computed.
    pub(crate) size: (u32, u32),
    /// Where they lie in the output: columns from the left, rows from the top.
    pub(crate) offset: (u32, u32),
}

impl Window {
    pub(crate) fn new(spec: &PixelSpec, width: u32, height: u32) -> Self {
        let (rows, columns) = spec.resized_size(width, height);
        let (out_height, out_width) = spec.output_size();
        let across = Span::new(width, columns, out_width);
        let down = Span::new(height, rows, out_height);
        Self {
            source: [across.from, down.from, across.length, down.length],
            size: (across.count, down.count),
            offset: (across.offset, down.offset),
        }
    }
}

/// One dimension of a [`Window`].
struct Span {
    from: f64,
    length: f64,
    count: u32,
    offset: u32,
}

impl Span {
    /// `source` pixels become `resized`, of which the middle `wanted` are kept.
    fn new(source: u32, resized: u64, wanted: u32) -> Self {
        // transformers' center_crop: (size - crop) // 2 rounds down, also below zero.
        let start = (i64::try_from(resized).unwrap_or(i64::MAX) - i64::from(wanted)).div_euclid(2);
        let offset = u32::try_from(-start).unwrap_or(0);
        let first = u64::try_from(start).unwrap_or(0);
        let count = u32::try_from(resized.min(u64::from(wanted))).unwrap_or(wanted);
        if u64::from(count) == resized {
            return Self { from: 0.0, length: f64::from(source), count, offset };
        }
        let scale = f64::from(source) / exact(resized);
        let length = f64::from(count) * scale;
        // Rounding must not lead over the edge.
        let from = (exact(first) * scale).min(f64::from(source) - length);
        Self { from, length, count, offset }
    }
}

/// A length in pixels as a float; lengths stay far below 2^53.
fn exact(length: u64) -> f64 {
    let low = u32::try_from(length & 0xffff_ffff).unwrap_or(u32::MAX);
    let high = u32::try_from(length >> 32).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// Resamples the window of an RGB picture into `out`, rows of `window.size`.
pub(crate) fn resample(
    resizer: &mut Resizer,
    rgb: &[u8],
    (width, height): (u32, u32),
    window: &Window,
    filter: Filter,
    out: &mut [u8],
) -> Result<(), Fault> {
    let broken = |error: &dyn std::fmt::Display| Fault::corrupt(format!("resize: {error}"));
    let source = ImageRef::new(width, height, rgb, PixelType::U8x3).map_err(|e| broken(&e))?;
    let (columns, rows) = window.size;
    let mut target = Image::from_slice_u8(columns, rows, out, PixelType::U8x3).map_err(|e| broken(&e))?;
    let [left, top, part_width, part_height] = window.source;
    let options = ResizeOptions::new()
        .resize_alg(algorithm(filter))
        .crop(left, top, part_width, part_height)
        .use_alpha(false);
    resizer.resize(&source, &mut target, &options).map_err(|e| broken(&e))
}

fn algorithm(filter: Filter) -> ResizeAlg {
    ResizeAlg::Convolution(match filter {
        Filter::Nearest => return ResizeAlg::Nearest,
        Filter::Box => FilterType::Box,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Hamming => FilterType::Hamming,
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Lanczos => FilterType::Lanczos3,
    })
}
