//! The centres of cells: k-means, or the means of classes.

use clip_filter_vectors::{Centroids, KMeans, Rows, normalise};

use super::{
    Groups,
    scratch::NO_CELL,
    stored_rows::{Sides, StoredRows},
};
use crate::{error::Result, schema::ScoreColumn};

/// Rows of an average cell, where the number of cells is not given.
const CELL_ROWS: u64 = 1000;
/// Cells beyond this share of the square root of the rows cost more to find than they save.
const MOST_CELLS_PER_ROOT: f64 = 4.0;

/// The number of clusters for so many rows.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rule of thumb"
)]
pub(super) fn cells_for(rows: u64) -> u32 {
    let most = ((rows as f64).sqrt() * MOST_CELLS_PER_ROOT) as u64;
    u32::try_from((rows / CELL_ROWS).min(most).max(1)).unwrap_or(u32::MAX)
}

/// Which clusters are learnt.
pub(super) struct Clusters {
    pub(super) cells: u32,
    pub(super) dim: usize,
    pub(super) seed: u64,
    pub(super) threads: usize,
}

/// Learns clusters in one pass over rows in random order.
pub(super) fn clusters(
    rows: &StoredRows<'_>,
    wanted: Clusters,
    cancelled: &dyn Fn() -> Result<()>,
) -> Result<Centroids> {
    let Clusters {
        cells,
        dim,
        seed,
        threads,
    } = wanted;
    let mut means = KMeans::new(cells as usize, dim, seed, threads);
    let mut stretches = rows.stretches()?;
    super::random::SplitMix(seed).shuffle(&mut stretches);
    rows.for_each_in(Sides::Images, &stretches, &mut |block| {
        cancelled()?;
        if let Some(rows) = Rows::new(&block.images, dim).filter(|_| block.dim == dim) {
            means.push(rows);
        }
        Ok(())
    })?;
    Ok(means.finish())
}

/// The unit means of the images of each class; a class without rows has a mean of zeros.
pub(super) fn class_means(
    rows: &StoredRows<'_>,
    classes: &Groups,
    dim: usize,
    cancelled: &dyn Fn() -> Result<()>,
) -> Result<Centroids> {
    let mut sums = vec![0.0f64; classes.names.len() * dim];
    rows.for_each(Sides::Images, &mut |block| {
        cancelled()?;
        let of_rows = classes
            .of_rows
            .read_cells(block.first..block.first + block.len as u64)?;
        for (row, &offset) in block.offsets.iter().enumerate() {
            let class = of_rows[offset];
            if class != NO_CELL {
                let sum = &mut sums[class as usize * dim..][..dim];
                for (sum, value) in sum.iter_mut().zip(block.image(row)) {
                    *sum += f64::from(*value);
                }
            }
        }
        Ok(())
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "to the precision of embeddings"
    )]
    let mut means: Vec<f32> = sums
        .chunks_exact(dim.max(1))
        .flat_map(|sum| {
            let norm = sum
                .iter()
                .map(|value| value * value)
                .sum::<f64>()
                .sqrt()
                .max(f64::MIN_POSITIVE);
            sum.iter().map(move |value| (value / norm) as f32)
        })
        .collect();
    normalise(&mut means, dim);
    Centroids::from_values(means, dim)
        .ok_or_else(|| crate::error::Error::internal("put class means in rows"))
}

/// Whether centres are needed for these columns.
pub(super) fn are_wanted(columns: &[ScoreColumn], labelled: bool) -> bool {
    columns.contains(&ScoreColumn::PROTO_DIST)
        || (!labelled && columns.contains(&ScoreColumn::CELL))
}
