//! Scores that a row has among the rows of its cell.
//!
//! Most cells are small: each is one thread's work, and threads work on several at a time. A cell that does not fit
//! in a thread's share of the memory, or is most of the work, is all threads' work. Scores are the same either way.

use clip_filter_vectors::{
    Budget, RowSource, descending_ranks, mean_of_cell, moderate, nearest_better, nearest_distances,
};

use super::{
    cell_file::{CellFile, CellInHand, CellRows},
    shared_cells::{SharedCells, worth_all_threads},
};
use crate::{error::Result, schema::ScoreColumn};

/// Neighbours that `sds` looks at: those of the published runs for cells of 5,000 and 500 rows.
const FEWEST_NEIGHBOURS: usize = 50;
const MOST_NEIGHBOURS: usize = 100;
const ROWS_PER_NEIGHBOUR: usize = 10;
/// Rows that are read at one time where a cell is not in memory.
const BLOCK_ROWS: usize = 4096;

/// Gets the scores of the rows at `positions`.
pub(super) type Give<'a> = &'a mut dyn FnMut(ScoreColumn, &[u64], &[f32]) -> Result<()>;

/// Scores of the rows of a cell, by column.
type CellScores = Vec<(ScoreColumn, Vec<f32>)>;

pub(super) struct CellScorer<'a> {
    pub(super) wanted: &'a [ScoreColumn],
    pub(super) neighbours: Option<u32>,
    pub(super) budget: Budget,
    pub(super) step: &'a dyn Fn(String),
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl CellScorer<'_> {
    /// Scores of adapted images.
    pub(super) fn diversity(&self, file: &CellFile, give: Give<'_>) -> Result<()> {
        let given = self.neighbours.map(|neighbours| neighbours as usize);
        let by_size =
            |rows: usize| (rows / ROWS_PER_NEIGHBOUR).clamp(FEWEST_NEIGHBOURS, MOST_NEIGHBOURS);
        let score = |cell: &CellInHand<'_>, budget: Budget| {
            let neighbours = given.unwrap_or_else(|| by_size(cell.len()));
            let distances = nearest_distances(cell, neighbours, budget)?.into_iter();
            let distances = distances.map(|distance| distance.unwrap_or(f32::NAN));
            Ok(vec![(ScoreColumn::SDS, distances.collect())])
        };
        self.each_cell(file, &score, give)
    }

    /// Scores of images as the model sees them.
    pub(super) fn others(&self, file: &CellFile, give: Give<'_>) -> Result<()> {
        let wanted = self.wanted;
        let score = |cell: &CellInHand<'_>, budget: Budget| {
            let mut scores = CellScores::new();
            if wanted.contains(&ScoreColumn::DUP_MAX_SIM) {
                let ranks = centre_ranks(cell, budget)?;
                scores.push((
                    ScoreColumn::DUP_MAX_SIM,
                    nearest_better(cell, &ranks, budget)?,
                ));
            }
            if wanted.contains(&ScoreColumn::MODERATE) {
                scores.push((ScoreColumn::MODERATE, moderate(cell, budget)?));
            }
            Ok(scores)
        };
        self.each_cell(file, &score, give)
    }

    fn each_cell(
        &self,
        file: &CellFile,
        score: &(dyn Fn(&CellInHand<'_>, Budget) -> Result<CellScores> + Sync),
        give: Give<'_>,
    ) -> Result<()> {
        let work = |rows: CellRows<'_>, budget: Budget| -> Result<(Vec<u64>, CellScores)> {
            let positions = rows.positions()?;
            Ok((positions, score(&CellInHand::of(rows, budget)?, budget)?))
        };
        let cells = file.len();
        let mut done = 0;
        let mut take = |(positions, scores): (Vec<u64>, CellScores)| -> Result<()> {
            (self.cancelled)()?;
            done += 1;
            (self.step)(format!("comparing the rows of cells: {done} of {cells}"));
            let mut columns = scores.iter();
            columns.try_for_each(|(name, values)| give(*name, &positions, values))
        };
        let (large, small) = worth_all_threads(file, self.budget);
        for rows in large {
            (self.cancelled)()?;
            take(work(rows, self.budget)?)?;
        }
        let shared = SharedCells {
            cells: small,
            budget: self.budget,
        };
        shared.for_each(&work, &mut take)
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
                .map(|row| clip_filter_vectors::dot(row, &mean)),
        );
    }
    Ok(descending_ranks(&closeness))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{cell_file::CellSpill, random::SplitMix},
        *,
    };

    /// Cells of 400, 60, 30, 3 and 1 rows, not in the order of their size.
    fn cells(directory: &std::path::Path) -> CellFile {
        let mut random = SplitMix(5);
        let mut spill = CellSpill::create(directory, 6, 1 << 10).unwrap();
        let mut order: Vec<u32> = [(3, 400), (0, 60), (1, 3), (2, 30), (4, 1)]
            .into_iter()
            .flat_map(|(cell, rows)| std::iter::repeat_n(cell, rows))
            .collect();
        random.shuffle(&mut order);
        for (position, cell) in (0..).zip(order) {
            let row: Vec<f32> = (0..6)
                .map(|value| f32::from(u8::try_from(position * 31 % (7 + value)).unwrap()) - 3.0)
                .collect();
            spill.push(cell, position, &row).unwrap();
        }
        spill.finish().unwrap()
    }

    type Bits = BTreeMap<(ScoreColumn, u64), u32>;

    fn scores(file: &CellFile, budget: Budget) -> Bits {
        let mut found = Bits::new();
        let mut give = |name: ScoreColumn, positions: &[u64], values: &[f32]| {
            let values = values.iter().map(|value| value.to_bits());
            let keys = positions.iter().map(|&position| (name, position));
            found.extend(keys.zip(values));
            Ok(())
        };
        let scorer = CellScorer {
            wanted: &[
                ScoreColumn::SDS,
                ScoreColumn::DUP_MAX_SIM,
                ScoreColumn::MODERATE,
            ],
            neighbours: None,
            budget,
            step: &|_| {},
            cancelled: &|| Ok(()),
        };
        scorer.diversity(file, &mut give).unwrap();
        scorer.others(file, &mut give).unwrap();
        found
    }

    #[test]
    fn scores_do_not_depend_on_threads_and_memory() {
        let directory = tempfile::tempdir().unwrap();
        let file = cells(directory.path());
        let bytes = 1 << 20;
        let expected = scores(&file, Budget { bytes, threads: 1 });
        assert_eq!(expected.len(), 3 * 494);
        for (bytes, threads) in [(1 << 20, 2), (1 << 20, 7), (4 << 10, 3), (100, 2)] {
            let budget = Budget { bytes, threads };
            assert!(scores(&file, budget) == expected, "{budget:?}");
        }
    }

    #[test]
    fn work_ends_when_it_is_cancelled() {
        let directory = tempfile::tempdir().unwrap();
        let file = cells(directory.path());
        for threads in [1, 3] {
            let mut given = 0;
            let scorer = CellScorer {
                wanted: &[ScoreColumn::SDS],
                neighbours: None,
                budget: Budget {
                    bytes: 1 << 20,
                    threads,
                },
                step: &|_| {},
                cancelled: &|| Err(crate::error::Error::input("go on")),
            };
            let mut give = |_: ScoreColumn, _: &[u64], _: &[f32]| {
                given += 1;
                Ok(())
            };
            assert!(scorer.diversity(&file, &mut give).is_err());
            assert_eq!(given, 0);
        }
    }
}
