//! Pillow's resampling, to the last bit.
//!
//! An int8 image tower turns one changed grey level in a thousand pixels into another embedding, so close is not
//! enough: weights have 22 fractional bits, columns are resampled before rows, and the picture between the two passes
//! is rounded to bytes, all as Pillow does. Only the outputs that the crop keeps are computed, and only the source
//! rows they depend on.

use std::f64::consts::PI;
use std::ops::Range;

use multiversion::multiversion;

use crate::spec::Filter;
use crate::strip::Lanes;

/// Fractional bits of a weight: 32, less 8 of the pixel and 2 for sign and overshoot.
const WEIGHT_BITS: u32 = 22;
/// Half of the last place of a byte.
const ROUND: i32 = 1 << (WEIGHT_BITS - 1);

/// Samples that the column pass takes at once; rows are padded to a multiple.
pub(crate) const STEP: usize = 32;

/// What the weights of one dimension follow from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    pub(crate) filter: Filter,
    /// Pixels of the stored picture.
    pub(crate) source: u32,
    /// How many of them became one when it was decoded.
    pub(crate) reduction: u32,
    /// Whether the picture was turned so that it ends where it was stored to begin.
    pub(crate) is_mirrored: bool,
    /// Pixels after the resize.
    pub(crate) resized: u64,
    /// Of those, the ones from `first` on.
    pub(crate) first: u64,
    pub(crate) count: u32,
}

/// For each output of one dimension, the sources it is a weighted sum of.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    axis: Option<Axis>,
    /// First source and number of sources, per output.
    spans: Vec<(usize, usize)>,
    /// `stride` weights per output.
    weights: Vec<i32>,
    stride: usize,
    /// Weights of one output before they are rounded.
    row: Vec<f64>,
}

impl Weights {
    /// Computes the weights, unless they are those at hand.
    pub(crate) fn set(&mut self, axis: Axis) {
        if self.axis == Some(axis) {
            return;
        }
        self.axis = None;
        // The stored picture's own length, also where the decoded one ends in a pixel that stands for fewer.
        let length = f64::from(axis.source) / f64::from(axis.reduction);
        let pixels = axis.source.div_ceil(axis.reduction) as usize;
        let scale = length / exact(axis.resized);
        // Where the pixel that stands for fewer comes first, it reaches out of the picture.
        let margin = match axis.is_mirrored {
            true => f64::from(axis.source.div_ceil(axis.reduction)) - length,
            false => 0.0,
        };
        let stretch = scale.max(1.0);
        let support = radius(axis.filter) * stretch;
        self.stride = index(support.ceil()) * 2 + 1;
        self.spans.clear();
        self.weights.clear();
        for output in 0..axis.count {
            let center = (exact(axis.first + u64::from(output)) + 0.5) * scale + margin;
            self.row.clear();
            if axis.filter == Filter::Nearest {
                self.row.push(1.0);
                self.push(index(center).min(pixels.saturating_sub(1)));
                continue;
            }
            let from = index(center - support + 0.5);
            let to = index(center + support + 0.5).min(pixels);
            let value = |x| value(axis.filter, (exact(x as u64) - center + 0.5) / stretch);
            self.row.extend((from..to).map(value));
            self.push(from);
        }
        // Last, so that half of them are never taken for all.
        self.axis = Some(axis);
    }

    /// Takes `row` as the weights of the next output.
    fn push(&mut self, from: usize) {
        let sum: f64 = self.row.iter().sum();
        let share = |weight: &f64| fixed(if sum == 0.0 { *weight } else { weight / sum });
        self.spans.push((from, self.row.len()));
        self.weights.extend(self.row.iter().map(share));
        self.weights
            .resize(self.spans.len() * self.stride.max(self.row.len()), 0);
    }

    /// Outputs.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The sources that any output depends on.
    pub(crate) fn sources(&self) -> Range<usize> {
        let ends = self.spans.iter().map(|span| span.0 + span.1);
        let first = self.spans.iter().map(|span| span.0).min();
        first.unwrap_or(0)..ends.max().unwrap_or(0)
    }

    fn of(&self, output: usize) -> (usize, &[i32]) {
        let (from, length) = self.spans[output];
        (from, &self.weights[output * self.stride..][..length])
    }
}

/// Resamples the columns of a strip that starts at column `left`, one output per entry of `weights`.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn resample_strip(source: &[Lanes], left: usize, weights: &Weights, out: &mut [Lanes]) {
    for (output, lanes) in out.iter_mut().enumerate().take(weights.len()) {
        let (from, weights) = weights.of(output);
        let mut sums = [ROUND; 8];
        for (column, weight) in source[from - left..].iter().zip(weights) {
            for lane in 0..8 {
                sums[lane] += i32::from(column[lane]) * weight;
            }
        }
        *lanes = sums.map(byte);
    }
}

/// Resamples one row of one channel: a weighted sum of the rows of `narrowed`, which start at source row `first`.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn resample_rows(
    narrowed: &[u8],
    first: usize,
    weights: &Weights,
    output: usize,
    out: &mut [u8],
) {
    let (from, weights) = weights.of(output);
    let stride = out.len();
    let rows = &narrowed[(from - first) * stride..];
    for (step, values) in out.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
        let mut sums = [ROUND; STEP];
        let columns = rows.get(step * STEP..).unwrap_or_default();
        for (row, weight) in columns.chunks(stride).zip(weights) {
            let Some(row) = row.first_chunk::<STEP>() else {
                break;
            };
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        *values = sums.map(byte);
    }
}

/// A sum without its fractional bits, held to the range of a byte.
fn byte(sum: i32) -> u8 {
    u8::try_from((sum >> WEIGHT_BITS).clamp(0, 255)).unwrap_or(u8::MAX)
}

/// Rounds half away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << WEIGHT_BITS);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "truncation is the rounding; weights are at most a few units"
    )]
    let rounded = (scaled + 0.5f64.copysign(scaled)) as i32;
    rounded
}

/// Where a filter ends, in source pixels when enlarging.
fn radius(filter: Filter) -> f64 {
    match filter {
        Filter::Nearest | Filter::Box => 0.5,
        Filter::Bilinear | Filter::Hamming => 1.0,
        Filter::Bicubic => 2.0,
        Filter::Lanczos => 3.0,
    }
}

fn value(filter: Filter, x: f64) -> f64 {
    let distance = x.abs();
    match filter {
        // Half open, as Pillow's: a source on the border counts once.
        Filter::Nearest | Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
        Filter::Bilinear => (1.0 - distance).max(0.0),
        Filter::Hamming if distance == 0.0 => 1.0,
        Filter::Hamming if distance >= 1.0 => 0.0,
        Filter::Hamming => {
            (PI * distance).sin() / (PI * distance) * (0.54 + 0.46 * (PI * distance).cos())
        }
        Filter::Bicubic => bicubic(distance),
        Filter::Lanczos if distance < 3.0 => sinc(x) * sinc(x / 3.0),
        Filter::Lanczos => 0.0,
    }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (x * PI).sin() / (x * PI)
    }
}

/// A non-negative position as an index; below zero is zero.
fn index(position: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "truncation is meant, and saturates"
    )]
    let index = position as usize;
    index
}

/// A length in pixels; lengths stay far below 2^53.
fn exact(length: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "lengths stay far below 2^53")]
    let exact = length as f64;
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(filter: Filter, source: u32, resized: u64, first: u64, count: u32) -> Weights {
        let mut weights = Weights::default();
        weights.set(Axis {
            filter,
            source,
            reduction: 1,
            is_mirrored: false,
            resized,
            first,
            count,
        });
        weights
    }

    #[test]
    fn weights_of_an_output_add_up_to_one() {
        for filter in [
            Filter::Box,
            Filter::Bilinear,
            Filter::Hamming,
            Filter::Bicubic,
            Filter::Lanczos,
        ] {
            for (source, resized) in [(1u32, 1u32), (7, 7), (512, 260), (3, 224), (6000, 2)] {
                let weights = weights(filter, source, resized.into(), 0, resized);
                for output in 0..weights.len() {
                    let sum: i32 = weights.of(output).1.iter().sum();
                    assert!(
                        (sum - (1 << WEIGHT_BITS)).abs() < 2000,
                        "{filter:?} {source} to {resized}: {sum}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let strip: Vec<Lanes> = (0..50u8)
            .map(|x| [x * 5, 255 - x, x, 0, 255, x / 2, 128, 7])
            .collect();
        let weights = weights(Filter::Bicubic, 50, 50, 0, 50);
        let mut out = vec![[0; 8]; 50];
        resample_strip(&strip, 0, &weights, &mut out);
        assert_eq!(out, strip);
    }

    #[test]
    fn a_part_of_the_outputs_equals_that_part_of_all() {
        let all = weights(Filter::Bicubic, 347, 260, 0, 260);
        let part = weights(Filter::Bicubic, 347, 260, 100, 7);
        for output in 0..7 {
            assert_eq!(part.of(output), all.of(100 + output));
        }
    }

    #[test]
    fn weights_that_change_are_computed_again() {
        let mut used = weights(Filter::Lanczos, 900, 260, 20, 200);
        let fresh = weights(Filter::Bicubic, 347, 260, 0, 260);
        used.set(fresh.axis.unwrap());
        assert_eq!((&used.spans, &used.weights), (&fresh.spans, &fresh.weights));
    }
}
