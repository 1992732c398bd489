//! How far a squared distance by products may be from the true one.

use crate::{product::squared_length, rows::Rows};

/// Half the distance between 1 and the next number: the largest relative error of one rounding.
const ROUNDING: f32 = f32::EPSILON / 2.0;

/// Squared lengths of the rows of a block, lowered so far that `floor + floor - 2 product` is never above the true
/// squared distance.
///
/// A product of `dim` terms is off by at most `dim` roundings of half the sum of both squared lengths (Higham, Accuracy
/// and Stability of Numerical Algorithms, section 3.1); the lengths, the sums and what is lowered add a few.
pub(super) struct Bounds {
    floors: Vec<f32>,
    error: f32,
}

impl Bounds {
    pub(super) fn of(rows: Rows<'_>) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an embedding is shorter than 2^24"
        )]
        let error = (rows.dim() as f32 + 32.0) * ROUNDING;
        let floor = |row| (1.0 - error) * squared_length(row);
        let floors = rows.values().chunks_exact(rows.dim()).map(floor).collect();
        Self { floors, error }
    }

    /// The lowered squared lengths.
    pub(super) fn floors(&self) -> &[f32] {
        &self.floors
    }

    /// A value that the true squared distance is never above, from the one it is never below.
    pub(super) fn highest(&self, lowest: f32, query_floor: f32, key_floor: f32) -> f32 {
        lowest + 2.5 * self.error * (query_floor + key_floor)
    }

    /// What a lowest value must be under so that the measured distance can be under `measured`, which has roundings of
    /// its own.
    pub(super) fn bar(&self, measured: f32) -> f32 {
        measured + 3.0 * self.error * measured.abs()
    }
}
