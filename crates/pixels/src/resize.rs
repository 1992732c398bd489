//! Where the model's picture lies in the resized one, and the two passes that make it.

use std::ops::Range;

use crate::resample::{Axis, STEP, Weights, resample_rows, resample_strip};
use crate::spec::{Corner, Filter, PixelSpec, Resize};
use crate::strip::{Lanes, Strip, strips_of_rgb, transpose};
use crate::turn::{Mirrored, Turned};

/// Resize and centre crop as one step: only what the crop keeps is ever computed.
///
/// Without this an image of 2 x 6000 would be resized to 224 x 672000 before its crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    across: Span,
    down: Span,
    /// Columns and rows computed.
    pub(crate) size: (u32, u32),
    /// Where they lie in the output: columns from the left, rows from the top.
    pub(crate) offset: (u32, u32),
    /// The height is resized first, and rounded, before the width is.
    pub(crate) is_height_first: bool,
}

impl Window {
    /// The window in a picture that is stored in full, or that a decoder will reduce.
    pub(crate) fn new(spec: &PixelSpec, picture: Source) -> Self {
        let (rows, columns) = spec.resized_size(picture.width, picture.height);
        let (out_height, out_width) = match spec.resize {
            // All of it, and its own size.
            Some(Resize::Patches(_)) => (side(rows), side(columns)),
            _ => spec.output_size(),
        };
        let edge = |pixels, is_mirrored| Edge {
            pixels,
            reduction: picture.reduction,
            is_mirrored,
        };
        let columns_of = edge(picture.width, picture.mirrored.across);
        let rows_of = edge(picture.height, picture.mirrored.down);
        let across = Span::new(columns_of, columns, out_width, spec.corner);
        let down = Span::new(rows_of, rows, out_height, spec.corner);
        Self {
            across,
            down,
            size: (across.count, down.count),
            offset: (across.offset, down.offset),
            is_height_first: loses_more_rows(picture, columns, rows),
        }
    }

    /// That of the same picture with rows for columns.
    pub(crate) fn transposed(&self) -> Self {
        Self {
            across: self.down,
            down: self.across,
            size: (self.size.1, self.size.0),
            offset: (self.offset.1, self.offset.0),
            is_height_first: false,
        }
    }
}

fn side(pixels: u64) -> u32 {
    u32::try_from(pixels).unwrap_or(u32::MAX)
}

/// Whether the height loses more than twice as many pixels as the width, which may gain some.
///
/// # Source
///
/// Pillow 13.0.0, found by resizing pictures of 1,485 sizes; earlier releases take the width first whatever the size.
fn loses_more_rows(picture: Source, columns: u64, rows: u64) -> bool {
    let lost = |from: u32, to: u64| i128::from(from) - i128::from(to);
    let (width, height) = (lost(picture.width, columns), lost(picture.height, rows));
    height > 0 && height > 2 * width
}

/// The picture that is resized, in the position in which it is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// By how much it is reduced when it is decoded.
    pub(crate) reduction: u32,
    pub(crate) mirrored: Mirrored,
}

/// One dimension of a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct Edge {
    pixels: u32,
    reduction: u32,
    is_mirrored: bool,
}

/// One dimension of a [`Window`]: the pixels of `source` become `resized`, of which `count` from `first` on are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    source: Edge,
    resized: u64,
    first: u64,
    count: u32,
    offset: u32,
}

impl Span {
    fn new(source: Edge, resized: u64, wanted: u32, corner: Corner) -> Self {
        let rest = i64::try_from(resized).unwrap_or(i64::MAX) - i64::from(wanted);
        let half = rest.div_euclid(2);
        let start = match corner {
            Corner::Floor => half,
            // A half goes to the even neighbour; a picture that is padded has its smaller margin first.
            Corner::HalfToEven if rest < 0 => rest / 2,
            Corner::HalfToEven => half + (rest & half & 1),
        };
        Self {
            source,
            resized,
            first: u64::try_from(start).unwrap_or(0),
            count: u32::try_from(resized.min(u64::from(wanted))).unwrap_or(wanted),
            offset: u32::try_from(-start).unwrap_or(0),
        }
    }

    fn set(&self, weights: &mut Weights, filter: Filter) {
        weights.set(Axis {
            filter,
            source: self.source.pixels,
            reduction: self.source.reduction,
            is_mirrored: self.source.is_mirrored,
            resized: self.resized,
            first: self.first,
            count: self.count,
        });
    }
}

/// Resampling of one thread: rows come in eight at a time and leave their columns at the final width; the rows are
/// resampled at the end.
#[derive(Default)]
pub(crate) struct Resampler {
    across: Weights,
    down: Weights,
    size: (usize, usize),
    channels: usize,
    /// Samples from one row to the next, here and in the result.
    stride: usize,
    /// Rows of the picture that the result depends on.
    rows: Range<usize>,
    /// One strip at its final width.
    strip: Vec<Lanes>,
    /// The window's columns at their final width, rows still those of the picture; one plane per channel.
    narrowed: Vec<u8>,
    /// The window, one plane per channel.
    out: Vec<u8>,
    /// Strips of a picture that is there as a whole.
    pictures: [Vec<Lanes>; 3],
    /// Eight rows of a picture that is turned.
    turned: Vec<u8>,
}

impl Resampler {
    /// Makes ready for the window of a picture with 1 or 3 channels.
    pub(crate) fn begin(&mut self, window: &Window, filter: Filter, channels: usize) {
        window.across.set(&mut self.across, filter);
        window.down.set(&mut self.down, filter);
        self.size = (self.across.len(), self.down.len());
        self.channels = channels;
        self.stride = self.size.0.next_multiple_of(STEP);
        self.rows = self.down.sources();
        self.strip.resize(self.stride, [0; 8]);
        let planes = channels * self.stride;
        self.narrowed.resize(planes * self.rows.len(), 0);
        self.out.resize(planes * self.size.1, 0);
    }

    /// Columns of the picture that the result depends on.
    pub(crate) fn source_columns(&self) -> Range<usize> {
        self.across.sources()
    }

    /// Rows of the picture that the result depends on.
    pub(crate) fn source_rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Takes the next rows of one channel; rows that nothing depends on may be among them, or be left out.
    pub(crate) fn narrow(&mut self, channel: usize, strip: Strip<'_>) {
        resample_strip(strip.columns, strip.left, &self.across, &mut self.strip);
        let plane = channel * self.rows.len();
        let places: [Option<usize>; 8] = std::array::from_fn(|lane| {
            let row = strip.top + lane * strip.step;
            let is_needed = self.rows.contains(&row);
            is_needed.then(|| (plane + row - self.rows.start) * self.stride)
        });
        for (group, block) in self.strip.as_chunks::<8>().0.iter().enumerate() {
            for (place, row) in places.iter().zip(transpose(*block)) {
                if let Some(place) = place {
                    self.narrowed[place + group * 8..][..8].copy_from_slice(&row);
                }
            }
        }
    }

    /// Takes a whole picture of three channels.
    pub(crate) fn narrow_rgb(&mut self, picture: &Turned<'_>) {
        let columns = self.source_columns();
        let length = columns.len() * 3;
        let mut pictures = std::mem::take(&mut self.pictures);
        let mut turned = std::mem::take(&mut self.turned);
        turned.resize(8 * length, 0);
        for top in self.rows.clone().step_by(8) {
            // Past the last row its lane holds a row again that nothing looks at.
            let last = self.rows.end - 1;
            let row = |lane: usize| (top + lane).min(last);
            let stored = |lane| picture.stored_row(row(lane), columns.clone());
            let rows: [Option<&[u8]>; 8] = std::array::from_fn(stored);
            if rows[0].is_none() {
                for (lane, line) in turned.chunks_exact_mut(length.max(1)).enumerate() {
                    picture.copy_row(row(lane), columns.clone(), line);
                }
            }
            let copied = |lane: usize| &turned[lane * length..][..length];
            let rows: [&[u8]; 8] =
                std::array::from_fn(|lane| rows[lane].unwrap_or_else(|| copied(lane)));
            strips_of_rgb(&rows, &mut pictures);
            for (channel, picture) in pictures.iter().enumerate() {
                let strip = Strip {
                    columns: picture,
                    left: columns.start,
                    top,
                    step: 1,
                };
                self.narrow(channel, strip);
            }
        }
        (self.pictures, self.turned) = (pictures, turned);
    }

    /// Resamples the rows of all that came in.
    pub(crate) fn finish(&mut self) {
        let (plane, rows) = (self.rows.len() * self.stride, self.size.1);
        for channel in 0..self.channels {
            let narrowed = &self.narrowed[channel * plane..][..plane];
            let out = &mut self.out[channel * rows * self.stride..][..rows * self.stride];
            for (row, line) in out.chunks_exact_mut(self.stride.max(1)).enumerate() {
                resample_rows(narrowed, self.rows.start, &self.down, row, line);
            }
        }
    }

    /// Makes rows of the result's columns.
    pub(crate) fn transpose(&mut self) {
        let (columns, rows) = self.size;
        let stride = rows.next_multiple_of(STEP);
        let mut turned = vec![0; self.channels * columns * stride];
        for channel in 0..self.channels {
            let plane = &mut turned[channel * columns * stride..][..columns * stride];
            for row in 0..rows {
                for (column, value) in self.row(channel, row).iter().enumerate() {
                    plane[column * stride + row] = *value;
                }
            }
        }
        (self.out, self.size, self.stride) = (turned, (rows, columns), stride);
    }

    /// One row of the result; a grey picture has the same in all channels.
    pub(crate) fn row(&self, channel: usize, row: usize) -> &[u8] {
        let channel = channel.min(self.channels.saturating_sub(1));
        &self.out[(channel * self.size.1 + row) * self.stride..][..self.size.0]
    }

    /// Gives memory back after an image that needed more than `kept_bytes`.
    pub(crate) fn release(&mut self, kept_bytes: usize) {
        for buffer in [&mut self.narrowed, &mut self.turned] {
            if buffer.capacity() > kept_bytes {
                *buffer = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_those_of_transformers_and_torchvision() {
        let source = Edge {
            pixels: 300,
            reduction: 1,
            is_mirrored: false,
        };
        let first = |resized, corner| Span::new(source, resized, 224, corner).first;
        let cases = [
            (224, 0, 0),
            (225, 0, 0),
            (226, 1, 1),
            (227, 1, 2),
            (229, 2, 2),
            (231, 3, 4),
            (298, 37, 37),
        ];
        for (resized, floor, even) in cases {
            assert_eq!(
                (
                    first(resized, Corner::Floor),
                    first(resized, Corner::HalfToEven)
                ),
                (floor, even),
                "{resized}"
            );
        }
        let offset = |corner| Span::new(source, 221, 224, corner).offset;
        assert_eq!((offset(Corner::Floor), offset(Corner::HalfToEven)), (2, 1));
    }

    #[test]
    fn the_height_is_first_where_pillow_takes_it_first() {
        // (width, height) of the picture and of what it becomes: Pillow 13.0.0.
        let cases = [
            ((1000, 3000), (224, 672), true),
            ((1000, 2000), (224, 448), false),
            ((300, 900), (224, 224), true),
            ((1000, 1500), (224, 224), false),
            ((1000, 2000), (224, 224), true),
            ((100, 1000), (224, 224), true),
            ((100, 1000), (224, 2240), false),
            ((3000, 1000), (224, 224), false),
            ((300, 600), (224, 448), false),
        ];
        for ((width, height), (columns, rows), expected) in cases {
            let picture = Source {
                width,
                height,
                reduction: 1,
                mirrored: Mirrored::default(),
            };
            let found = loses_more_rows(picture, columns, rows);
            assert_eq!(found, expected, "{width} x {height}");
        }
    }
}
