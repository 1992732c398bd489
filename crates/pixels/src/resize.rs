//! Where the model's picture lies in the decoded one, and its resampling.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::fault::Fault;
use crate::samples::cleared;
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
            return Self {
                from: 0.0,
                length: f64::from(source),
                count,
                offset,
            };
        }
        let scale = f64::from(source) / exact(resized);
        let length = f64::from(count) * scale;
        // Rounding must not lead over the edge.
        let from = (exact(first) * scale).min(f64::from(source) - length);
        Self {
            from,
            length,
            count,
            offset,
        }
    }
}

/// A length in pixels as a float; lengths stay far below 2^53.
fn exact(length: u64) -> f64 {
    let low = u32::try_from(length & 0xffff_ffff).unwrap_or(u32::MAX);
    let high = u32::try_from(length >> 32).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// Resampling of one thread.
#[derive(Default)]
pub(crate) struct Resampler {
    resizer: Resizer,
    /// The window's columns at their final width, rows still those of the source.
    narrowed: Vec<u8>,
}

impl Resampler {
    /// Resamples the window of an RGB picture into `out`, rows of `window.size`.
    ///
    /// Columns first, then rows, rounded to bytes in between: the order is Pillow's. The resizer's own is the opposite,
    /// which costs up to 26 of 255 on black and white pictures.
    pub(crate) fn resample(
        &mut self,
        rgb: &[u8],
        (width, height): (u32, u32),
        window: &Window,
        filter: Filter,
        out: &mut [u8],
    ) -> Result<(), Fault> {
        let [left, top, part_width, part_height] = window.source;
        let (columns, rows) = window.size;
        let source = view(rgb, width, height)?;
        let whole =
            |length: f64, from: f64, count: u32| length == f64::from(count) && from.fract() == 0.0;
        let one_pass = whole(part_width, left, columns) || whole(part_height, top, rows);
        if one_pass || filter == Filter::Nearest {
            return self.pass(&source, filter, window.source, (columns, rows, out));
        }
        let reach = lobes(filter) * (part_height / f64::from(rows)).max(1.0) + 1.0;
        let first = floor(top - reach);
        let last = floor(top + part_height + reach)
            .saturating_add(1)
            .min(height);
        let count = last - first;
        let mut narrowed = std::mem::take(&mut self.narrowed);
        let area = 3 * usize::try_from(u64::from(columns) * u64::from(count)).unwrap_or(usize::MAX);
        let columns_only = [left, f64::from(first), part_width, f64::from(count)];
        let rows_only = [0.0, top - f64::from(first), f64::from(columns), part_height];
        let result = self
            .pass(
                &source,
                filter,
                columns_only,
                (columns, count, cleared(&mut narrowed, area)),
            )
            .and_then(|()| {
                self.pass(
                    &view(&narrowed, columns, count)?,
                    filter,
                    rows_only,
                    (columns, rows, out),
                )
            });
        self.narrowed = narrowed;
        result
    }

    fn pass(
        &mut self,
        source: &ImageRef<'_>,
        filter: Filter,
        [left, top, width, height]: [f64; 4],
        (columns, rows, out): (u32, u32, &mut [u8]),
    ) -> Result<(), Fault> {
        let mut target =
            Image::from_slice_u8(columns, rows, out, PixelType::U8x3).map_err(broken)?;
        let options = ResizeOptions::new()
            .resize_alg(algorithm(filter))
            .crop(left, top, width, height)
            .use_alpha(false);
        self.resizer
            .resize(source, &mut target, &options)
            .map_err(broken)
    }

    /// Gives memory back after an image that needed more than `kept_bytes`.
    pub(crate) fn release(&mut self, kept_bytes: usize) {
        if self.narrowed.capacity() > kept_bytes {
            self.narrowed = Vec::new();
        }
        if self.resizer.size_of_internal_buffers() > kept_bytes {
            self.resizer.reset_internal_buffers();
        }
    }
}

fn view(rgb: &[u8], width: u32, height: u32) -> Result<ImageRef<'_>, Fault> {
    ImageRef::new(width, height, rgb, PixelType::U8x3).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Fault {
    Fault::corrupt(format!("resize: {error}"))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float to integer cast saturates; lengths are below 2^32"
)]
#[expect(clippy::cast_sign_loss, reason = "clamped to zero")]
fn floor(length: f64) -> u32 {
    length.max(0.0) as u32
}

/// Half the filter's width at scale one.
fn lobes(filter: Filter) -> f64 {
    match filter {
        Filter::Nearest | Filter::Box => 0.5,
        Filter::Bilinear | Filter::Hamming => 1.0,
        Filter::Bicubic => 2.0,
        Filter::Lanczos => 3.0,
    }
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
