//! Mini-batch spherical k-means over a stream of rows.

mod seeding;

use crate::{centroids::Centroids, linear::normalise, random::Random, rows::Rows};

/// Rows per batch and cell; a batch has at least [`LEAST_BATCH`].
const BATCH_PER_CELL: usize = 4;
const LEAST_BATCH: usize = 1024;
/// Passes over the first batch, which the centroids are taken from.
const FIRST_PASSES: usize = 10;
/// Batches without a row after which a centroid is moved elsewhere.
const PATIENCE: u32 = 4;
/// A row this close to a centroid is no place for another one.
const COVERED: f32 = 1.0 - 1e-6;

/// Mini-batch k-means by cosine, seeded: rows are pushed once, in any portions, and never kept beyond a batch.
///
/// The result depends on the rows, their order and the seed, not on the portions or the number of threads.
///
/// # Source
/// Sculley, Web-scale k-means clustering (2010), with unit centroids; k-means++ on the first batch.
#[derive(Debug)]
pub struct KMeans {
    cells: usize,
    dim: usize,
    threads: usize,
    random: Random,
    /// Rows of the batch that is not full yet.
    pending: Vec<f32>,
    centroids: Vec<f32>,
    /// Mean of the rows that each centroid has won, and how many.
    means: Vec<f64>,
    won: Vec<u64>,
    /// Batches since a centroid has won a row.
    idle: Vec<u32>,
}

impl KMeans {
    /// At most `cells` cells of rows of `dim` values; fewer if there are fewer different rows at the beginning.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(cells: usize, dim: usize, seed: u64, threads: usize) -> Self {
        assert!(dim > 0, "rows have values");
        Self {
            cells: cells.max(1),
            dim,
            threads,
            random: Random::new(seed),
            pending: Vec::new(),
            centroids: Vec::new(),
            means: Vec::new(),
            won: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Rows that are held until they fill a batch; four bytes times `dim` each.
    pub fn batch_rows(&self) -> usize {
        self.cells.saturating_mul(BATCH_PER_CELL).max(LEAST_BATCH)
    }

    /// Learns from more rows, of unit length.
    ///
    /// # Panics
    /// If their width is not the one that was told.
    pub fn push(&mut self, rows: Rows<'_>) {
        assert_eq!(rows.dim(), self.dim, "rows of one width");
        let full = self.batch_rows().saturating_mul(self.dim);
        let mut values = rows.values();
        while !values.is_empty() {
            let (head, tail) = values.split_at(values.len().min(full - self.pending.len()));
            self.pending.extend_from_slice(head);
            values = tail;
            if self.pending.len() == full {
                self.learn_pending();
            }
        }
    }

    /// The centroids, unit vectors; none if no row was pushed.
    pub fn finish(mut self) -> Centroids {
        self.learn_pending();
        match Centroids::from_values(self.centroids, self.dim) {
            Some(centroids) => centroids,
            None => unreachable!("whole centroids"),
        }
    }

    fn learn_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if let Some(rows) = Rows::new(&pending, self.dim).filter(|rows| !rows.is_empty()) {
            if self.centroids.is_empty() {
                self.seed(rows);
            } else {
                self.learn(rows, PATIENCE);
            }
        }
        self.pending = pending;
        self.pending.clear();
    }

    /// Takes centroids from the first batch and improves them on it, each pass from the start.
    fn seed(&mut self, rows: Rows<'_>) {
        let chosen = seeding::choose(rows, self.cells, &mut self.random, self.threads);
        for row in &chosen {
            self.centroids.extend_from_slice(rows.row(*row));
        }
        normalise(&mut self.centroids, self.dim);
        self.idle = vec![0; chosen.len()];
        for _ in 0..FIRST_PASSES {
            self.means = vec![0.0; self.centroids.len()];
            self.won = vec![0; chosen.len()];
            let before = self.centroids.clone();
            self.learn(rows, 1);
            if before == self.centroids {
                break;
            }
        }
    }

    /// One pass: every row to its nearest centroid, every centroid to the mean of all it has won.
    fn learn(&mut self, rows: Rows<'_>, patience: u32) {
        let centroids = std::mem::take(&mut self.centroids);
        let Some(centroids) = Centroids::from_values(centroids, self.dim) else {
            unreachable!("whole centroids")
        };
        let nearest = centroids.nearest(rows, self.threads);
        self.centroids = centroids.values().to_vec();
        self.idle.iter_mut().for_each(|idle| *idle += 1);
        for (row, (cell, _)) in nearest.iter().enumerate() {
            self.win(index(*cell), rows.row(row));
        }
        for cell in 0..self.idle.len() {
            if self.idle[cell] == 0 {
                self.centre(cell);
            }
        }
        self.reseed(rows, &nearest, patience);
    }

    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 rows")]
    fn win(&mut self, cell: usize, row: &[f32]) {
        self.won[cell] += 1;
        self.idle[cell] = 0;
        let share = 1.0 / self.won[cell] as f64;
        let mean = &mut self.means[cell * self.dim..][..self.dim];
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += (f64::from(*value) - *mean) * share;
        }
    }

    /// Puts a centroid where the mean of its rows points; rows that cancel out leave it where it is.
    #[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
    fn centre(&mut self, cell: usize) {
        let mean = &self.means[cell * self.dim..][..self.dim];
        let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length > 1e-9 {
            let centroid = &mut self.centroids[cell * self.dim..][..self.dim];
            for (value, mean) in centroid.iter_mut().zip(mean) {
                *value = (mean / length) as f32;
            }
        }
    }

    /// Moves centroids that win nothing to the rows that fit worst where they are.
    fn reseed(&mut self, rows: Rows<'_>, nearest: &[(u32, f32)], patience: u32) {
        let idle = (0..self.idle.len()).filter(|cell| self.idle[*cell] >= patience);
        let idle: Vec<usize> = idle.collect();
        if idle.is_empty() {
            return;
        }
        let mut worst: Vec<usize> = (0..rows.len())
            .filter(|row| nearest[*row].1 < COVERED)
            .collect();
        worst.sort_by(|a, b| nearest[*a].1.total_cmp(&nearest[*b].1));
        for (cell, row) in idle.into_iter().zip(worst) {
            self.means[cell * self.dim..][..self.dim].fill(0.0);
            self.won[cell] = 0;
            self.win(cell, rows.row(row));
            self.centre(cell);
        }
    }
}

fn index(cell: u32) -> usize {
    usize::try_from(cell).unwrap_or(usize::MAX)
}
