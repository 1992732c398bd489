//! Products, lengths and differences of rows.
//!
//! An element of [`products`] is a sum in the order of the columns, whatever the block it is computed in.

use ndarray::{ArrayView2, ArrayViewMut2, linalg::general_mat_mul};

use crate::rows::Rows;

/// Enough independent sums to fill the vector registers; fixed, so that a sum has one order everywhere.
const LANES: usize = 16;

/// Every row of `left` times every row of `right`.
///
/// # Shape
/// `into`: `left.len()` rows of `right.len()` values.
pub(crate) fn products(left: Rows<'_>, right: Rows<'_>, into: &mut [f32]) {
    let (m, n, k) = (left.len(), right.len(), left.dim());
    assert_eq!(k, right.dim(), "rows of one width");
    assert_eq!(into.len(), m * n, "one value per pair of rows");
    let views = (
        ArrayView2::from_shape((m, k), left.values()),
        ArrayView2::from_shape((n, k), right.values()),
        ArrayViewMut2::from_shape((m, n), into),
    );
    let (Ok(left), Ok(right), Ok(mut into)) = views else {
        unreachable!("the lengths are checked above")
    };
    general_mat_mul(1.0, &left, &right.t(), 0.0, &mut into);
}

/// Sum over the columns of a function of both values, in an order that depends on the width only.
#[inline(always)]
fn sum(left: &[f32], right: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (left, right) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f32 = rest.map(|(l, r)| of(*l, *r)).sum();
    for (left, right) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += of(left[lane], right[lane]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Sum of the products, in an order that depends on the length only.
///
/// # Shape
/// Both of one length; the longer one is cut.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    sum(left, right, |l, r| l * r)
}

/// The squared Euclidean distance of two rows, by their differences.
pub(crate) fn squared_distance(left: &[f32], right: &[f32]) -> f32 {
    sum(left, right, |l, r| (l - r) * (l - r))
}

/// The squared length of a row, rounded once.
#[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
pub(crate) fn squared_length(row: &[f32]) -> f32 {
    let sum: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    sum as f32
}

/// The largest of some values, `NEG_INFINITY` for none; NaN is never the largest.
pub(crate) fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder().iter();
    let rest = rest.fold(f32::NEG_INFINITY, |a, b| larger(a, *b));
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    lanes.iter().fold(rest, |a, b| larger(a, *b))
}
