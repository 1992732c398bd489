//! Near-duplicates within a cell: the best stays (SemDeDup, arXiv 2303.09540, keeps the row farthest from the centre).

use clip_filter_vectors::{Budget, descending_ranks, nearest_better};

use super::candidates::{Candidates, row_key, row_of_key};
use crate::{
    error::Result,
    schema::ScoreColumn,
    score::{CellInHand, CellSpill, NO_CELL, Sides, StoredRows},
    selection::Selection,
};

impl Candidates<'_> {
    /// The candidates without those that a better row of their cell resembles with a cosine above `1 - distance`. Equal
    /// scores go by row order; of a shard that is given twice the second copy goes.
    pub(crate) fn without_duplicates(
        &self,
        distance: f32,
        budget: Budget,
        cancelled: &dyn Fn() -> Result<()>,
    ) -> Result<Selection> {
        let directory = self.store.scratch_directory();
        let candidates = self.rows()?;
        let mut columns = vec![ScoreColumn::CELL];
        columns.extend(self.order);
        let rows = StoredRows::new(self.store, self.shards, Some(&candidates)).along(&columns);
        let mut kept = self.no_rows();
        let mut spills: Option<[CellSpill; 2]> = None;
        rows.for_each(Sides::Images, &mut |block| {
            cancelled()?;
            let spills = match &mut spills {
                Some(spills) => spills,
                none if block.rows.is_empty() => {
                    *none = None;
                    return Ok(());
                }
                none => {
                    let spill = |dim| CellSpill::create(&directory, dim, budget.bytes / 8);
                    none.insert([spill(block.dim)?, spill(1)?])
                }
            };
            let scores = block.along.get(1).unwrap_or(&block.scores);
            for (row, &number) in block.rows.iter().enumerate() {
                let cell = block.along[0][row].to_bits();
                let key = row_key(block.shard, number);
                if cell == NO_CELL {
                    let (shard, row) = row_of_key(key);
                    kept.select(shard, row);
                    continue;
                }
                spills[0].push(cell, key, block.image(row))?;
                spills[1].push(cell, key, &scores[row..=row])?;
            }
            Ok(())
        })?;
        let Some([images, scores]) = spills else {
            return Ok(kept.finish());
        };
        let (images, scores) = (images.finish()?, scores.finish()?);
        for ((_, images), (_, scores)) in images.cells().zip(scores.cells()) {
            cancelled()?;
            let keys = images.positions()?;
            let ranks = descending_ranks(&scores.load()?);
            let nearest = nearest_better(&CellInHand::of(images, budget)?, &ranks, budget)?;
            for (key, nearest) in keys.into_iter().zip(nearest) {
                if nearest <= 1.0 - distance {
                    let (shard, row) = row_of_key(key);
                    kept.select(shard, row);
                }
            }
        }
        Ok(kept.finish())
    }
}
