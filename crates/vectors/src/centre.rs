//! Means of cells, distances to them and medians of these.

use crate::{
    budget::Budget,
    parallel::share,
    product::squared_distance,
    rows::{RowSource, Rows, load, ranges},
};

/// Rows that are measured by one thread at a time.
const STRIP: usize = 1024;

/// The mean of rows, not normalised; zeros if there is none. Sums are in double precision.
pub fn mean(rows: Rows<'_>) -> Vec<f32> {
    let mut sum = Sum::new(rows.dim());
    sum.add(rows);
    sum.mean()
}

/// The mean of the rows of a cell, as [`mean`].
///
/// # Errors
/// When the source cannot be read.
pub fn mean_of_cell<S: RowSource>(cell: &S, budget: Budget) -> Result<Vec<f32>, S::Error> {
    let (mut sum, mut buffer) = (Sum::new(cell.dim()), Vec::new());
    for range in ranges(cell.len(), step(cell, budget)) {
        sum.add(load(cell, range, &mut buffer)?);
    }
    Ok(sum.mean())
}

/// The Euclidean distance of every row to a point.
///
/// # Panics
/// If the width of the point is another one.
pub fn distances_to(rows: Rows<'_>, point: &[f32], threads: usize) -> Vec<f32> {
    assert_eq!(rows.dim(), point.len(), "rows of one width");
    let mut distances = vec![0.0; rows.len()];
    let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
    let jobs = distances.chunks_mut(STRIP).zip(strips);
    share(
        threads,
        jobs,
        || (),
        |(distances, strip), ()| {
            for (distance, row) in distances.iter_mut().zip(strip) {
                *distance = squared_distance(rows.row(row), point).sqrt();
            }
        },
    );
    distances
}

/// The middle value, or the mean of the two middle ones; `None` if there is no value.
pub fn median(values: &[f32]) -> Option<f32> {
    let mut values = values.to_vec();
    if values.is_empty() {
        return None;
    }
    let (middle, even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    if !even {
        return Some(*upper);
    }
    let lower = below.iter().copied().max_by(f32::total_cmp)?;
    Some(f32::midpoint(lower, *upper))
}

/// For each row of a cell how far its distance to the mean of the cell is from the median of these distances.
///
/// # Source
/// Moderate coreset (Xia et al., ICLR 2023).
///
/// # Errors
/// When the source cannot be read.
pub fn moderate<S: RowSource>(cell: &S, budget: Budget) -> Result<Vec<f32>, S::Error> {
    let centre = mean_of_cell(cell, budget)?;
    let mut buffer = Vec::new();
    let mut distances = Vec::with_capacity(cell.len());
    for range in ranges(cell.len(), step(cell, budget)) {
        let rows = load(cell, range, &mut buffer)?;
        distances.extend(distances_to(rows, &centre, budget.threads));
    }
    let middle = median(&distances).unwrap_or(0.0);
    for distance in &mut distances {
        *distance = (*distance - middle).abs();
    }
    Ok(distances)
}

/// Rows to read at a time.
fn step<S: RowSource>(cell: &S, budget: Budget) -> usize {
    match cell.in_memory(0..0) {
        Some(_) => cell.len(),
        None => budget.bytes / (cell.dim() * 4),
    }
}

/// Sum of rows, each column in the order of the rows.
struct Sum {
    sums: Vec<f64>,
    count: usize,
}

impl Sum {
    fn new(dim: usize) -> Self {
        Self {
            sums: vec![0.0; dim],
            count: 0,
        }
    }

    fn add(&mut self, rows: Rows<'_>) {
        self.count += rows.len();
        for row in rows.values().chunks_exact(rows.dim()) {
            for (sum, value) in self.sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "rounded to f32"
    )]
    fn mean(&self) -> Vec<f32> {
        let count = self.count.max(1) as f64;
        self.sums.iter().map(|sum| (sum / count) as f32).collect()
    }
}
