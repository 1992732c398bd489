//! The nearest of many centroids.

use crate::{
    parallel::share,
    product::{largest, products},
    rows::{Rows, ranges},
};

/// Rows that one thread compares at a time.
const STRIP: usize = 256;
/// Centroids they are compared with at a time.
const TILE: usize = 1024;

/// Unit vectors, each the centre of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Centroids {
    values: Vec<f32>,
    dim: usize,
}

impl Centroids {
    /// Centroids of `dim` values each, row after row; `None` if `dim` is zero or `values` ends within a centroid.
    pub fn from_values(values: Vec<f32>, dim: usize) -> Option<Self> {
        Rows::new(&values, dim)?;
        Some(Self { values, dim })
    }

    /// All values, centroid after centroid.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of centroids.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// True if there is no centroid.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values per centroid.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// For each row the centroid with the largest product and that product; of equal ones the first.
    ///
    /// One less the product is `proto_dist`. Without centroids, or for a row that is not finite, the answer is
    /// `(0, NEG_INFINITY)`.
    ///
    /// # Panics
    /// If rows and centroids differ in width.
    pub fn nearest(&self, rows: Rows<'_>, threads: usize) -> Vec<(u32, f32)> {
        assert_eq!(rows.dim(), self.dim, "rows of one width");
        let Some(centroids) = Rows::new(&self.values, self.dim) else {
            unreachable!("the length was checked")
        };
        let mut nearest = vec![(0, f32::NEG_INFINITY); rows.len()];
        let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
        let jobs = nearest.chunks_mut(STRIP).zip(strips);
        share(threads, jobs, Vec::new, |(nearest, strip), tile| {
            let rows = rows.slice(strip);
            for range in ranges(centroids.len(), TILE) {
                let count = rows.len() * range.len();
                tile.resize(count, 0.0);
                let width = range.len();
                let first = range.start;
                products(rows, centroids.slice(range), &mut tile[..count]);
                let products = tile[..count].chunks_exact(width);
                for (products, nearest) in products.zip(&mut *nearest) {
                    take_nearer(products, first, nearest);
                }
            }
        });
        nearest
    }
}

fn take_nearer(products: &[f32], first: usize, nearest: &mut (u32, f32)) {
    let best = largest(products);
    if best > nearest.1
        && let Some(offset) = products.iter().position(|product| *product == best)
    {
        let index = u32::try_from(first + offset).unwrap_or(u32::MAX);
        *nearest = (index, best);
    }
}
