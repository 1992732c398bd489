//! Adapters applied: a linear layer on every row, and rows of unit length.

use crate::{
    parallel::share,
    product::products,
    rows::{Rows, ranges},
};

/// Rows that one thread maps at a time.
const STRIP: usize = 256;

/// Every row x as W x + b, at unit length.
///
/// # Shape
/// `weight` has one row of `rows.dim()` values per output, row after row; `bias` one value per output, at least one.
/// The result has `bias.len()` values per row. A row that is mapped to zero stays zero.
///
/// # Panics
/// If `weight` is not `bias.len()` x `rows.dim()`, or `bias` is empty.
pub fn apply_linear(rows: Rows<'_>, weight: &[f32], bias: &[f32], threads: usize) -> Vec<f32> {
    assert!(!bias.is_empty(), "at least one output");
    assert_eq!(
        weight.len(),
        bias.len() * rows.dim(),
        "one row of weights per output"
    );
    let mut mapped = vec![0.0; rows.len() * bias.len()];
    let Some(weight) = Rows::new(weight, rows.dim()) else {
        unreachable!("the length is checked above")
    };
    let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
    let jobs = mapped.chunks_mut(STRIP * bias.len()).zip(strips);
    share(
        threads,
        jobs,
        || (),
        |(mapped, strip), ()| {
            products(rows.slice(strip), weight, mapped);
            for row in mapped.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(value, b)| *value += b);
            }
            normalise(mapped, bias.len());
        },
    );
    mapped
}

/// Brings rows of `dim` values to unit length. A row of zeros stays as it is.
#[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
pub fn normalise(values: &mut [f32], dim: usize) {
    for row in values.chunks_mut(dim.max(1)) {
        let squares: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        if squares > 0.0 {
            let length = squares.sqrt();
            for value in row {
                *value = (f64::from(*value) / length) as f32;
            }
        }
    }
}
