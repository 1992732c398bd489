//! Scores that a row has among the rows of its cell: one cell after another.

use clip_filter_vectors::{
    Budget, RowSource, descending_ranks, mean_of_cell, moderate, nearest_better, nearest_distances,
};

use super::cell_file::{CellFile, CellInHand};
use crate::{error::Result, schema::Derived};

/// Neighbours that `sds` looks at: those of the published runs for cells of 5,000 and 500 rows.
const FEWEST_NEIGHBOURS: usize = 50;
const MOST_NEIGHBOURS: usize = 100;
const ROWS_PER_NEIGHBOUR: usize = 10;
/// Rows that are read at one time where a cell is not in memory.
const BLOCK_ROWS: usize = 4096;

/// Gets the scores of the rows at `positions`.
pub(super) type Give<'a> = &'a mut dyn FnMut(Derived, &[u64], &[f32]) -> Result<()>;

pub(super) struct CellScorer<'a> {
    pub(super) wanted: &'a [Derived],
    pub(super) neighbours: Option<u32>,
    pub(super) budget: Budget,
    pub(super) step: &'a dyn Fn(String),
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl CellScorer<'_> {
    /// Scores of adapted images.
    pub(super) fn diversity(&self, file: &CellFile, give: Give<'_>) -> Result<()> {
        self.each_cell(file, &mut |positions, cell| {
            let neighbours = self.neighbours.map_or_else(
                || (cell.len() / ROWS_PER_NEIGHBOUR).clamp(FEWEST_NEIGHBOURS, MOST_NEIGHBOURS),
                |neighbours| neighbours as usize,
            );
            let distances = nearest_distances(cell, neighbours, self.budget)?.into_iter();
            let distances: Vec<f32> = distances
                .map(|distance| distance.unwrap_or(f32::NAN))
                .collect();
            give(Derived::Sds, positions, &distances)
        })
    }

    /// Scores of images as the model sees them.
    pub(super) fn others(&self, file: &CellFile, give: Give<'_>) -> Result<()> {
        self.each_cell(file, &mut |positions, cell| {
            if self.wanted.contains(&Derived::DupMaxSim) {
                let ranks = centre_ranks(cell, self.budget)?;
                let largest = nearest_better(cell, &ranks, self.budget)?;
                give(Derived::DupMaxSim, positions, &largest)?;
            }
            if self.wanted.contains(&Derived::Moderate) {
                give(Derived::Moderate, positions, &moderate(cell, self.budget)?)?;
            }
            Ok(())
        })
    }

    fn each_cell(
        &self,
        file: &CellFile,
        work: &mut dyn FnMut(&[u64], &CellInHand<'_>) -> Result<()>,
    ) -> Result<()> {
        let cells = file.len();
        for (number, (_, rows)) in file.cells().enumerate() {
            (self.cancelled)()?;
            (self.step)(format!("comparing the rows of cells: {number} of {cells}"));
            let positions = rows.positions()?;
            work(&positions, &CellInHand::of(rows, self.budget)?)?;
        }
        Ok(())
    }
}

/// Ranks by closeness to the mean of the cell; equally close rows in their order.
fn centre_ranks(cell: &CellInHand<'_>, budget: Budget) -> Result<Vec<u32>> {
    let mean = mean_of_cell(cell, budget)?;
    let mut closeness = Vec::with_capacity(cell.len());
    let mut values = Vec::new();
    for start in (0..cell.len()).step_by(BLOCK_ROWS) {
        cell.read(start..cell.len().min(start + BLOCK_ROWS), &mut values)?;
        closeness.extend(
            values
                .chunks_exact(cell.dim())
                .map(|row| crate::score::dot(row, &mean)),
        );
    }
    Ok(descending_ranks(&closeness))
}
