//! Symmetric positive definite systems, solved block by block.

use ndarray::{Array2, Axis, Slice, linalg::general_mat_mul};

use crate::rows::ranges;

/// Columns that are eliminated at a time; all else is products.
const BLOCK: usize = 48;

/// A = L L', L lower triangular.
pub(crate) struct Cholesky {
    lower: Array2<f64>,
}

impl Cholesky {
    /// The factor of a symmetric matrix, of which the lower half is read; `None` if it is not positive definite.
    pub(crate) fn of(mut matrix: Array2<f64>) -> Option<Self> {
        let n = matrix.nrows();
        assert_eq!(n, matrix.ncols(), "a square");
        for block in ranges(n, BLOCK) {
            let (done, mut rest) = matrix.view_mut().split_at(Axis(1), block.start);
            if block.start > 0 {
                let left = done.slice_axis(Axis(0), Slice::from(block.start..));
                let top = done.slice_axis(Axis(0), Slice::from(block.clone()));
                let mut panel = rest.slice_axis_mut(Axis(0), Slice::from(block.start..));
                panel.slice_axis_inplace(Axis(1), Slice::from(..block.len()));
                general_mat_mul(-1.0, &left, &top.t(), 1.0, &mut panel);
            }
            for column in block.clone() {
                let above = matrix.row(column);
                let above: Vec<f64> = block
                    .clone()
                    .map(|at| above[at])
                    .take(column - block.start)
                    .collect();
                let pivot = matrix[[column, column]] - dot(&above, above.iter());
                if !(pivot > 0.0 && pivot.is_finite()) {
                    return None;
                }
                let root = pivot.sqrt();
                matrix[[column, column]] = root;
                let mut below = matrix.slice_axis_mut(Axis(0), Slice::from(column + 1..));
                for mut row in below.rows_mut() {
                    let before = row.iter().skip(block.start);
                    let before = dot(&above, before);
                    row[column] = (row[column] - before) / root;
                }
            }
        }
        for (row, mut values) in matrix.rows_mut().into_iter().enumerate() {
            values
                .slice_axis_mut(Axis(0), Slice::from(row + 1..))
                .fill(0.0);
        }
        Some(Self { lower: matrix })
    }

    /// L^-1 B.
    pub(crate) fn solve_lower(&self, mut b: Array2<f64>) -> Array2<f64> {
        let n = self.lower.nrows();
        for block in ranges(n, BLOCK) {
            let (done, mut rest) = b.view_mut().split_at(Axis(0), block.start);
            let mut panel = rest.slice_axis_mut(Axis(0), Slice::from(..block.len()));
            if block.start > 0 {
                let mut left = self.lower.slice_axis(Axis(0), Slice::from(block.clone()));
                left.slice_axis_inplace(Axis(1), Slice::from(..block.start));
                general_mat_mul(-1.0, &left, &done, 1.0, &mut panel);
            }
            for row in 0..block.len() {
                let (above, mut below) = panel.view_mut().split_at(Axis(0), row);
                let mut values = below.row_mut(0);
                for (other, above) in above.rows().into_iter().enumerate() {
                    values.scaled_add(
                        -self.lower[[block.start + row, block.start + other]],
                        &above,
                    );
                }
                let pivot = self.lower[[block.start + row, block.start + row]];
                values.mapv_inplace(|value| value / pivot);
            }
        }
        b
    }

    /// L'^-1 B.
    fn solve_upper(&self, mut b: Array2<f64>) -> Array2<f64> {
        let n = self.lower.nrows();
        let blocks: Vec<_> = ranges(n, BLOCK).collect();
        for block in blocks.into_iter().rev() {
            let (mut rest, done) = b.view_mut().split_at(Axis(0), block.end);
            let mut panel = rest.slice_axis_mut(Axis(0), Slice::from(block.start..));
            if block.end < n {
                let mut below = self.lower.slice_axis(Axis(0), Slice::from(block.end..));
                below.slice_axis_inplace(Axis(1), Slice::from(block.clone()));
                general_mat_mul(-1.0, &below.t(), &done, 1.0, &mut panel);
            }
            for row in (0..block.len()).rev() {
                let (mut above, below) = panel.view_mut().split_at(Axis(0), row + 1);
                let mut values = above.row_mut(row);
                for (other, below) in below.rows().into_iter().enumerate() {
                    let other = block.start + row + 1 + other;
                    values.scaled_add(-self.lower[[other, block.start + row]], &below);
                }
                let pivot = self.lower[[block.start + row, block.start + row]];
                values.mapv_inplace(|value| value / pivot);
            }
        }
        b
    }

    /// A^-1 B.
    pub(crate) fn solve(&self, b: Array2<f64>) -> Array2<f64> {
        self.solve_upper(self.solve_lower(b))
    }
}

fn dot<'a>(left: &[f64], right: impl Iterator<Item = &'a f64>) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn made_up(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
        let mut random = Random::new(seed);
        Array2::from_shape_fn((rows, columns), |_| random.unit() - 0.5)
    }

    fn largest(values: &Array2<f64>) -> f64 {
        values.iter().fold(0.0, |most, value| value.abs().max(most))
    }

    #[test]
    fn solutions_solve_across_blocks() {
        for n in [1, 2, 47, 48, 49, 130] {
            let root = made_up(n, n, 3);
            let matrix = root.dot(&root.t()) + Array2::<f64>::eye(n) * 0.1;
            let factor = Cholesky::of(matrix.clone()).unwrap();
            let whole = factor.lower.dot(&factor.lower.t());
            assert!(largest(&(whole - &matrix)) < 1e-10, "{n}");
            let b = made_up(n, 7, 4);
            let solved = matrix.dot(&factor.solve(b.clone()));
            assert!(largest(&(solved - &b)) < 1e-9, "{n}");
            let inverse = factor.solve_lower(Array2::eye(n));
            let one = factor.lower.dot(&inverse) - Array2::<f64>::eye(n);
            assert!(largest(&one) < 1e-10, "{n}");
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        let mut matrix = Array2::<f64>::eye(60);
        matrix[[55, 55]] = 0.0;
        assert!(Cholesky::of(matrix.clone()).is_none());
        matrix[[55, 55]] = f64::NAN;
        assert!(Cholesky::of(matrix).is_none());
        assert!(Cholesky::of(Array2::zeros((3, 3))).is_none());
    }
}
