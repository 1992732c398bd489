//! Where the model's picture lies in the resized one, and the two passes that make it.

use crate::resample::{Rgbx, Weights, resample_column, resample_row};
use crate::spec::{Corner, Filter, PixelSpec};

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
}

impl Window {
    pub(crate) fn new(spec: &PixelSpec, width: u32, height: u32) -> Self {
        let (rows, columns) = spec.resized_size(width, height);
        let (out_height, out_width) = spec.output_size();
        let across = Span::new(width, columns, out_width, spec.corner);
        let down = Span::new(height, rows, out_height, spec.corner);
        Self {
            across,
            down,
            size: (across.count, down.count),
            offset: (across.offset, down.offset),
        }
    }
}

/// One dimension of a [`Window`]: `source` pixels become `resized`, of which `count` from `first` on are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    source: u32,
    resized: u64,
    first: u64,
    count: u32,
    offset: u32,
}

impl Span {
    fn new(source: u32, resized: u64, wanted: u32, corner: Corner) -> Self {
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

    fn weights(&self, filter: Filter) -> Weights {
        Weights::new(filter, self.source, self.resized, self.first, self.count)
    }
}

/// Resampling of one thread.
#[derive(Default)]
pub(crate) struct Resampler {
    /// One source row.
    row: Vec<Rgbx>,
    /// The window's columns at their final width, rows still those of the source.
    narrowed: Vec<Rgbx>,
    /// One output row.
    out: Vec<Rgbx>,
    sums: Vec<i32>,
}

impl Resampler {
    /// Resamples the window of an RGB picture into `out`, rows of `window.size`.
    pub(crate) fn resample(&mut self, rgb: &[u8], window: &Window, filter: Filter, out: &mut [u8]) {
        let (across, down) = (window.across.weights(filter), window.down.weights(filter));
        let (columns, width) = (across.len(), window.across.source as usize);
        let (first, end) = down.sources();
        self.narrowed.clear();
        self.narrowed.resize(columns * (end - first), [0; 4]);
        let sources = rgb.chunks_exact((width * 3).max(1)).skip(first);
        for (source, narrow) in sources.zip(self.narrowed.chunks_exact_mut(columns.max(1))) {
            self.row.clear();
            self.row.extend(
                source
                    .chunks_exact(3)
                    .map(|pixel| [pixel[0], pixel[1], pixel[2], 0]),
            );
            resample_row(&self.row, &across, narrow);
        }
        self.out.resize(columns, [0; 4]);
        for (row, line) in out.chunks_exact_mut((columns * 3).max(1)).enumerate() {
            resample_column(
                &self.narrowed,
                first,
                (&down, row),
                &mut self.sums,
                &mut self.out,
            );
            for (pixel, value) in line.chunks_exact_mut(3).zip(&self.out) {
                pixel.copy_from_slice(&value[..3]);
            }
        }
    }

    /// Gives memory back after an image that needed more than `kept_bytes`.
    pub(crate) fn release(&mut self, kept_bytes: usize) {
        if self.narrowed.capacity() * size_of::<Rgbx>() > kept_bytes {
            self.narrowed = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_those_of_transformers_and_torchvision() {
        let first = |resized, corner| Span::new(300, resized, 224, corner).first;
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
        let offset = |corner| Span::new(300, 221, 224, corner).offset;
        assert_eq!((offset(Corner::Floor), offset(Corner::HalfToEven)), (2, 1));
    }
}
