//! The nearest row of a target set.

use crate::{
    parallel::share,
    product::{largest, products},
    rows::{Rows, ranges},
};

/// Rows that one thread compares at a time.
const STRIP: usize = 128;
/// Target rows they are compared with at a time.
const TILE: usize = 2048;

/// Rows of a target set, kept in memory.
#[derive(Debug, Clone)]
pub struct TargetRows {
    values: Vec<f32>,
    dim: usize,
}

impl TargetRows {
    /// An empty set of rows of `dim` values.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "rows have values");
        Self {
            values: Vec::new(),
            dim,
        }
    }

    /// Adds rows, of unit length.
    ///
    /// # Panics
    /// If their width is another one.
    pub fn push(&mut self, rows: Rows<'_>) {
        assert_eq!(rows.dim(), self.dim, "rows of one width");
        self.values.extend_from_slice(rows.values());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// For each row its largest product with a target row (`normsim_inf`); `NEG_INFINITY` without target rows.
    ///
    /// # Source
    /// arXiv 2405.19547, NormSim with p = infinity.
    ///
    /// # Panics
    /// If their width is another one.
    pub fn largest(&self, rows: Rows<'_>, threads: usize) -> Vec<f32> {
        assert_eq!(rows.dim(), self.dim, "rows of one width");
        let Some(target) = Rows::new(&self.values, self.dim) else {
            unreachable!("whole rows")
        };
        let mut best = vec![f32::NEG_INFINITY; rows.len()];
        let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
        let jobs = best.chunks_mut(STRIP).zip(strips);
        share(threads, jobs, Vec::new, |(best, strip), tile| {
            let rows = rows.slice(strip);
            for range in ranges(target.len(), TILE) {
                let width = range.len();
                tile.resize(rows.len() * width, 0.0);
                products(rows, target.slice(range), tile);
                for (products, best) in tile.chunks_exact(width).zip(&mut *best) {
                    *best = best.max(largest(products));
                }
            }
        });
        best
    }
}
