//! Pillow's resampling, to the last bit.
//!
//! An int8 image tower turns one changed grey level in a thousand pixels into another embedding, so close is not
//! enough: weights have 22 fractional bits, columns are resampled before rows, and the picture between the two passes
//! is rounded to bytes, all as Pillow does. Only the outputs that the crop keeps are computed, and only the source
//! rows they depend on.

use std::f64::consts::PI;

use multiversion::multiversion;

use crate::spec::Filter;

/// Fractional bits of a weight: 32, less 8 of the pixel and 2 for sign and overshoot.
const WEIGHT_BITS: u32 = 22;
/// Half of the last place of a byte.
const ROUND: i32 = 1 << (WEIGHT_BITS - 1);

/// A pixel of the working picture: red, green, blue and a byte that makes it a machine word.
pub(crate) type Rgbx = [u8; 4];

/// For each output of one dimension, the sources it is a weighted sum of.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Weights {
    /// First source and number of sources, per output.
    spans: Vec<(usize, usize)>,
    /// `stride` weights per output.
    weights: Vec<i32>,
    stride: usize,
}

impl Weights {
    /// Weights of the outputs `first..first + count` of a resize from `source` to `resized` pixels.
    pub(crate) fn new(filter: Filter, source: u32, resized: u64, first: u64, count: u32) -> Self {
        let scale = f64::from(source) / exact(resized);
        let stretch = scale.max(1.0);
        let support = radius(filter) * stretch;
        let mut weights = Self {
            stride: index(support.ceil()) * 2 + 1,
            ..Self::default()
        };
        let mut row = Vec::new();
        for output in 0..count {
            let center = (exact(first + u64::from(output)) + 0.5) * scale;
            if filter == Filter::Nearest {
                weights.push(
                    index(center).min(source.saturating_sub(1) as usize),
                    &[1 << WEIGHT_BITS],
                );
                continue;
            }
            let from = index(center - support + 0.5);
            let to = index(center + support + 0.5).min(source as usize);
            row.clear();
            row.extend(
                (from..to).map(|x| value(filter, (exact(x as u64) - center + 0.5) / stretch)),
            );
            let sum: f64 = row.iter().sum();
            let fixed: Vec<i32> = row
                .iter()
                .map(|weight| fixed(if sum == 0.0 { *weight } else { weight / sum }))
                .collect();
            weights.push(from, &fixed);
        }
        weights
    }

    fn push(&mut self, from: usize, weights: &[i32]) {
        self.spans.push((from, weights.len()));
        self.weights.extend_from_slice(weights);
        self.weights
            .resize(self.spans.len() * self.stride.max(weights.len()), 0);
    }

    /// Outputs.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// First and one past the last source that any output depends on.
    pub(crate) fn sources(&self) -> (usize, usize) {
        let first = self.spans.iter().map(|span| span.0).min().unwrap_or(0);
        let end = self
            .spans
            .iter()
            .map(|span| span.0 + span.1)
            .max()
            .unwrap_or(0);
        (first, end)
    }

    fn of(&self, output: usize) -> (usize, &[i32]) {
        let (from, length) = self.spans[output];
        (from, &self.weights[output * self.stride..][..length])
    }
}

/// Resamples one row: `source` holds the whole row, `out` one pixel per output of `weights`.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn resample_row(source: &[Rgbx], weights: &Weights, out: &mut [Rgbx]) {
    for (output, pixel) in out.iter_mut().enumerate() {
        let (from, weights) = weights.of(output);
        let mut sum = [ROUND; 4];
        for (source, weight) in source[from..].iter().zip(weights) {
            for channel in 0..4 {
                sum[channel] += i32::from(source[channel]) * weight;
            }
        }
        *pixel = sum.map(byte);
    }
}

/// Resamples one row of the column pass: the weighted sum of the rows of `narrowed`, which start at source row `first`.
///
/// `sums` is scratch space.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn resample_column(
    narrowed: &[Rgbx],
    first: usize,
    (weights, output): (&Weights, usize),
    sums: &mut Vec<i32>,
    out: &mut [Rgbx],
) {
    let (from, weights) = weights.of(output);
    sums.clear();
    sums.resize(out.len() * 4, ROUND);
    let rows = narrowed.chunks_exact(out.len().max(1)).skip(from - first);
    for (row, weight) in rows.zip(weights) {
        for (sum, value) in sums.iter_mut().zip(row.as_flattened()) {
            *sum += i32::from(*value) * weight;
        }
    }
    for (value, sum) in out.as_flattened_mut().iter_mut().zip(sums) {
        *value = byte(*sum);
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
                let weights = Weights::new(filter, source, resized.into(), 0, resized);
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
        let row: Vec<Rgbx> = (0..50u8).map(|x| [x * 5, 255 - x, x, 0]).collect();
        let weights = Weights::new(Filter::Bicubic, 50, 50, 0, 50);
        let mut out = vec![[0; 4]; 50];
        resample_row(&row, &weights, &mut out);
        assert_eq!(out, row);
    }

    #[test]
    fn a_part_of_the_outputs_equals_that_part_of_all() {
        let all = Weights::new(Filter::Bicubic, 347, 260, 0, 260);
        let part = Weights::new(Filter::Bicubic, 347, 260, 100, 7);
        for output in 0..7 {
            assert_eq!(part.of(output), all.of(100 + output));
        }
    }
}
