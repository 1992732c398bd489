//! The second moment of a target set, and how rows stand to it.

use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};

use crate::{
    parallel::share,
    rows::{Rows, ranges},
};

/// Rows that are added or measured at a time.
const STRIP: usize = 256;

/// Sum of t t' over the rows t of a target set, in double precision.
///
/// Rows are added in portions of a fixed size, so that the sum does not depend on how they are pushed.
#[derive(Debug, Clone)]
pub struct MomentSum {
    pending: Vec<f32>,
    sum: Array2<f64>,
    count: u64,
}

impl MomentSum {
    /// An empty set of rows of `dim` values.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "rows have values");
        Self {
            pending: Vec::new(),
            sum: Array2::zeros((dim, dim)),
            count: 0,
        }
    }

    /// Adds rows, of unit length.
    ///
    /// # Panics
    /// If their width is another one.
    pub fn push(&mut self, rows: Rows<'_>) {
        let dim = self.sum.nrows();
        assert_eq!(rows.dim(), dim, "rows of one width");
        self.count += rows.len() as u64;
        let mut values = rows.values();
        while !values.is_empty() {
            let room = STRIP * dim - self.pending.len();
            let (head, tail) = values.split_at(values.len().min(room));
            self.pending.extend_from_slice(head);
            values = tail;
            if self.pending.len() == STRIP * dim {
                self.add_pending();
            }
        }
    }

    /// The moment of all rows.
    pub fn finish(mut self) -> Moment {
        self.add_pending();
        Moment {
            sum: self.sum,
            count: self.count,
        }
    }

    fn add_pending(&mut self) {
        let rows = double(&self.pending, self.sum.nrows());
        general_mat_mul(1.0, &rows.t(), &rows, 1.0, &mut self.sum);
        self.pending.clear();
    }
}

/// M = sum of t t' over the rows t of a target set T, and their number.
#[derive(Debug, Clone)]
pub struct Moment {
    sum: Array2<f64>,
    count: u64,
}

impl Moment {
    /// For each row f the length of the vector of its products with all target rows, sqrt(f' M f) (`normsim_2`).
    ///
    /// # Source
    /// arXiv 2405.19547, NormSim with p = 2.
    ///
    /// # Panics
    /// If the width of the rows is another one.
    pub fn norm2(&self, rows: Rows<'_>, threads: usize) -> Vec<f32> {
        self.map(rows, threads, |form| form.max(0.0).sqrt())
    }

    /// For each row f the mean of its squared products with the target rows, f' (M / |T|) f (`vas`); 0 without target
    /// rows.
    ///
    /// # Source
    /// arXiv 2402.02055, variance alignment score.
    ///
    /// # Panics
    /// If the width of the rows is another one.
    pub fn variance_alignment(&self, rows: Rows<'_>, threads: usize) -> Vec<f32> {
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let count = self.count.max(1) as f64;
        self.map(rows, threads, |form| form / count)
    }

    /// A function of f' M f for each row f.
    #[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
    fn map(&self, rows: Rows<'_>, threads: usize, of: impl Fn(f64) -> f64 + Sync) -> Vec<f32> {
        let dim = self.sum.nrows();
        assert_eq!(rows.dim(), dim, "rows of one width");
        let mut result = vec![0.0; rows.len()];
        let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
        let jobs = result.chunks_mut(STRIP).zip(strips);
        share(
            threads,
            jobs,
            || (),
            |(result, strip), ()| {
                let rows = double(rows.slice(strip).values(), dim);
                let mapped = rows.dot(&self.sum);
                let pairs = rows.rows().into_iter().zip(mapped.rows());
                for ((row, mapped), result) in pairs.zip(result) {
                    let form: f64 = row.iter().zip(mapped).map(|(a, b)| a * b).sum();
                    *result = of(form) as f32;
                }
            },
        );
        result
    }
}

/// Rows in double precision.
fn double(values: &[f32], dim: usize) -> Array2<f64> {
    match ArrayView2::from_shape((values.len() / dim, dim), values) {
        Ok(rows) => rows.mapv(f64::from),
        Err(_) => unreachable!("whole rows"),
    }
}
