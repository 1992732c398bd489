//! `s_cliploss`: a pair against the other pairs of random batches, arXiv 2405.19547.

use clip_filter_vectors::{Budget, contrast};

use super::{
    cell_file::{CellInHand, CellSpill},
    random::hash,
    scratch::ScratchColumn,
    stored_rows::{Sides, StoredRows},
};
use crate::error::Result;

/// Published settings: temperature, rows per batch, batches that each pair is part of.
const TEMPERATURE: f32 = 0.01;
const BATCH_ROWS: u64 = 32_768;
const REPETITIONS: u32 = 10;

pub(super) struct Contrast<'a> {
    pub(super) rows: &'a StoredRows<'a>,
    pub(super) directory: &'a std::path::Path,
    pub(super) seed: u64,
    pub(super) budget: Budget,
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Contrast<'_> {
    /// `s_ii - (t/2) mean over batches of [logsumexp_j(s_ij / t) + logsumexp_j(s_ji / t)]`; fewer rows than a batch are
    /// one batch.
    pub(super) fn score(&self, counted: u64) -> Result<ScratchColumn> {
        let mut column = ScratchColumn::create(self.directory)?;
        self.rows.for_each(Sides::None, &mut |block| {
            column.append(&block.spread(&block.scores, f32::NAN))
        })?;
        let batches = counted.div_ceil(BATCH_ROWS).max(1);
        let repetitions = if batches == 1 { 1 } else { REPETITIONS };
        for repetition in 0..repetitions {
            self.repeat(repetition, batches, &|position, lost| {
                let before = column.read(position..position + 1)?[0];
                column.set(position, before - lost / repetitions as f32)
            })?;
        }
        Ok(column)
    }

    fn repeat(
        &self,
        repetition: u32,
        batches: u64,
        lose: &dyn Fn(u64, f32) -> Result<()>,
    ) -> Result<()> {
        let mut spills: Option<[CellSpill; 2]> = None;
        let seed = hash(self.seed ^ hash(u64::from(repetition)));
        self.rows.for_each(Sides::Both, &mut |block| {
            (self.cancelled)()?;
            let spills = match &mut spills {
                Some(spills) => spills,
                none => {
                    let bytes = self.budget.bytes / 8;
                    let spill = || CellSpill::create(self.directory, block.dim, bytes);
                    none.insert([spill()?, spill()?])
                }
            };
            for (row, position) in block.positions().enumerate() {
                // Below the number of batches, which is far below 2^32.
                let batch = u32::try_from(hash(seed ^ position) % batches).unwrap_or(0);
                spills[0].push(batch, position, block.image(row))?;
                spills[1].push(batch, position, block.text(row))?;
            }
            Ok(())
        })?;
        let Some([images, texts]) = spills else {
            return Ok(());
        };
        let (images, texts) = (images.finish()?, texts.finish()?);
        for ((_, images), (_, texts)) in images.cells().zip(texts.cells()) {
            (self.cancelled)()?;
            let positions = images.positions()?;
            let half = Budget {
                bytes: self.budget.bytes / 2,
                ..self.budget
            };
            let images = CellInHand::of(images, half)?;
            let texts = CellInHand::of(texts, half)?;
            let found = contrast(&images, &texts, TEMPERATURE, half)?;
            let both = found.of_images.iter().zip(&found.of_texts);
            for (position, (of_image, of_text)) in positions.into_iter().zip(both) {
                lose(position, (of_image + of_text) / 2.0)?;
            }
        }
        Ok(())
    }
}
