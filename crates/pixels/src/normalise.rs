//! Bytes of a resized picture to the numbers a model takes.

use crate::spec::PixelSpec;

/// The number of every byte of every channel.
#[derive(Debug, Clone)]
pub struct Normaliser {
    table: Box<[[f32; 256]; 3]>,
}

impl Normaliser {
    /// The normalisation of one model.
    #[must_use]
    pub fn new(spec: &PixelSpec) -> Self {
        Self {
            table: Box::new(table(spec)),
        }
    }

    /// Interleaved bytes to planes of floats.
    ///
    /// # Shape
    ///
    /// `rgb` is `[height, width, 3]`, `out` `[3, height, width]`, each value `(byte * rescale - mean) / std`. Where the
    /// lengths differ, what has no partner is left alone.
    pub fn run(&self, rgb: &[u8], out: &mut [f32]) {
        let plane = out.len() / 3;
        for (channel, (values, table)) in out
            .chunks_exact_mut(plane.max(1))
            .zip(self.table.iter())
            .enumerate()
        {
            for (value, pixel) in values.iter_mut().zip(rgb.chunks_exact(3)) {
                *value = table[usize::from(pixel[channel])];
            }
        }
    }

    /// The number of `byte` in `channel`.
    pub(crate) fn of(&self, channel: usize) -> &[f32; 256] {
        &self.table[channel]
    }
}

/// # Source
///
/// transformers: `rescale` in f64 rounded to f32, then `normalize` in f32.
fn table(spec: &PixelSpec) -> [[f32; 256]; 3] {
    let mut table = [[0.0; 256]; 3];
    for (channel, row) in table.iter_mut().enumerate() {
        for (byte, value) in (0..=255u8).zip(row) {
            *value = (rescale(byte, spec.rescale) - spec.mean[channel]) / spec.std[channel];
        }
    }
    table
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the rounding to f32 is the one that transformers does"
)]
fn rescale(byte: u8, factor: f32) -> f32 {
    (f64::from(byte) * f64::from(factor)) as f32
}
