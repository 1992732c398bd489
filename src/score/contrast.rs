//! `s_cliploss`: a pair against a pool of other pairs, arXiv 2405.19547.

use clip_filter_vectors::{SoftPool, paired_products, row_hash};

use super::{
    fold_adapters::FoldAdapters,
    pool_pairs::{Pool, PoolPairs},
    random::hash,
    row_scores::rows,
    scratch::ScratchColumn,
    stored_rows::{Block, Sides, StoredRows},
};
use crate::{error::Result, schema::Side};

/// As published.
const TEMPERATURE: f32 = 0.01;
/// Both sides of the pool: 8,192 pairs of 512 numbers.
const POOL_BYTES: usize = 32 << 20;
/// As many of fewer numbers: more would take longer and tell hardly more.
const POOL_PAIRS: usize = 8192;
/// Rows that are adapted and compared at a time.
const ROWS: usize = 2048;

pub(super) struct Contrast<'a> {
    pub(super) rows: &'a StoredRows<'a>,
    pub(super) directory: &'a std::path::Path,
    /// Of captions.
    pub(super) adapters: FoldAdapters<'a>,
    pub(super) seed: u64,
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Contrast<'_> {
    /// `s_ii - (t/2) [logsumexp_j(s_ij / t) + logsumexp_j(s_ji / t)]` over the pair itself and a pool j: all pairs where
    /// there is room for them, and else those whose hash is lowest, each once.
    pub(super) fn score(&self, counted: u64) -> Result<ScratchColumn> {
        let pool = self.pool(counted)?;
        let mut column = ScratchColumn::create(self.directory)?;
        self.rows.for_each(Sides::Both, &mut |block| {
            let mut values = Vec::with_capacity(block.rows.len());
            for first in (0..block.rows.len()).step_by(ROWS) {
                (self.cancelled)()?;
                let some = first..block.rows.len().min(first + ROWS);
                values.extend(self.compared(block, some, &pool)?);
            }
            column.append(&block.spread(&values, f32::NAN))
        })?;
        Ok(column)
    }

    fn compared(
        &self,
        block: &Block,
        some: std::ops::Range<usize>,
        pool: &Pool,
    ) -> Result<Vec<f32>> {
        let dim = block.dim;
        let values = some.start * dim..some.end * dim;
        let (images, texts) = (&block.images[values.clone()], &block.texts[values]);
        let adapted = self.adapters.images(images)?;
        let adapted_texts = self.adapters.of_all(Side::Text, texts)?;
        let is_adapted = adapted.is_some() || adapted_texts.is_some();
        let f = rows(adapted.as_deref().unwrap_or(images), dim)?;
        let g = rows(adapted_texts.as_deref().unwrap_or(texts), dim)?;
        let own = match is_adapted {
            true => paired_products(f, g),
            false => block.scores[some.clone()].to_vec(),
        };
        let outside = own.iter().zip(some).map(|(own, row)| {
            let place = self.place(block.image(row), block.text(row));
            (!pool.places.contains(&place)).then_some(*own)
        });
        let outside: Vec<Option<f32>> = outside.collect();
        let against = |others: &[f32], of| -> Result<Vec<f32>> {
            let pool = SoftPool {
                rows: rows(others, dim)?,
                temperature: TEMPERATURE,
            };
            Ok(pool.soft_maxima(of, &outside, self.adapters.threads))
        };
        let (of_images, of_texts) = (against(&pool.texts, f)?, against(&pool.images, g)?);
        let both = of_images.iter().zip(of_texts);
        let scores = own.iter().zip(both);
        Ok(scores
            .map(|(own, (image, text))| own - (image + text) / 2.0)
            .collect())
    }

    /// The pairs that others are compared with, adapted.
    fn pool(&self, counted: u64) -> Result<Pool> {
        let dim = self.adapters.dim.max(1);
        let most = (POOL_BYTES / (8 * dim)).clamp(1, POOL_PAIRS);
        let mut pairs = PoolPairs::new(most, counted);
        self.rows.for_each(Sides::Both, &mut |block| {
            (self.cancelled)()?;
            for row in 0..block.rows.len() {
                let (image, text) = (block.image(row), block.text(row));
                pairs.offer(self.place(image, text), image, text);
            }
            Ok(())
        })?;
        let mut pool = pairs.finish();
        let images = self.adapters.images(&pool.images)?;
        pool.images = images.unwrap_or(pool.images);
        let texts = self.adapters.of_all(Side::Text, &pool.texts)?;
        pool.texts = texts.unwrap_or(pool.texts);
        Ok(pool)
    }

    /// Where a pair is in the order in which the pool takes them, whatever row it is.
    fn place(&self, image: &[f32], text: &[f32]) -> u64 {
        hash(hash(self.seed) ^ hash(row_hash(image)) ^ row_hash(text))
    }
}
