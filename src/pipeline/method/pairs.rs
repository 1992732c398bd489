//! The rows of a store in the order in which adapters are fitted.

use super::{
    random::{SplitMix, hash},
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::{Block, Sides, StoredRows},
};
use crate::{
    adapt::{Batch, PairSource, Pass, Split, Targets},
    error::Result,
};

/// One row in so many is held out.
const HELD_OUT: u64 = 16;
/// Rows that are mixed with each other, if memory allows.
const MOST_MIXED_ROWS: usize = 1 << 16;

/// Pairs in mixed order: stretches of rows in random order fill a buffer, whose rows leave it in random order.
pub(super) struct StoredPairs<'a> {
    pub(super) rows: &'a StoredRows<'a>,
    pub(super) dim: usize,
    /// The class of each stored row, and the texts of the classes, where pairs have classes.
    pub(super) classes: Option<(&'a ScratchColumn, &'a [f32])>,
    /// Bytes that the buffer may take.
    pub(super) buffer_bytes: usize,
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

/// Rows that wait for their turn.
#[derive(Default)]
struct Mixed {
    images: Vec<f32>,
    texts: Vec<f32>,
    labels: Vec<u32>,
    ids: Vec<u64>,
}

impl PairSource for StoredPairs<'_> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn class_texts(&self) -> Option<&[f32]> {
        self.classes.map(|(_, texts)| texts)
    }

    fn read(&mut self, pass: &Pass, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let row_bytes = self.dim * 4 * if self.classes.is_some() { 1 } else { 2 } + 16;
        let most = (self.buffer_bytes / row_bytes).clamp(2 * pass.batch_rows, MOST_MIXED_ROWS);
        let mut random = SplitMix(hash(pass.seed) ^ u64::from(pass.epoch));
        let sides = match self.classes {
            Some(_) => Sides::Images,
            None => Sides::Both,
        };
        let mut stretches = self.rows.stretches()?;
        random.shuffle(&mut stretches);
        let mut mixed = Mixed::default();
        let this = &*self;
        let mut add = |block: &Block| {
            (this.cancelled)()?;
            let classes = this.classes.map(|(classes, _)| {
                let stored = block.first..block.first + block.len as u64;
                classes.read_cells(stored)
            });
            let classes = classes.transpose()?;
            for row in 0..block.rows.len() {
                let position = block.first + block.offsets[row] as u64;
                let split = match hash(position).is_multiple_of(HELD_OUT) {
                    true => Split::HeldOut,
                    false => Split::Training,
                };
                let class = classes.as_ref().map(|classes| classes[block.offsets[row]]);
                if split != pass.split || class == Some(NO_CELL) {
                    continue;
                }
                mixed.images.extend_from_slice(block.image(row));
                match class {
                    Some(class) => mixed.labels.push(class),
                    None => {
                        mixed.texts.extend_from_slice(block.text(row));
                        mixed.ids.push(caption_id(block.text(row)));
                    }
                }
                if mixed.images.len() == most * this.dim {
                    // Half of it stays, so that rows meet those of the next stretches too.
                    mixed.give(most / 2, this.dim, pass.batch_rows, &mut random, take)?;
                }
            }
            Ok(())
        };
        self.rows.for_each_in(sides, &stretches, &mut add)?;
        mixed.give(0, self.dim, pass.batch_rows, &mut random, take)
    }
}

impl Mixed {
    /// Gives rows at random in batches, until at most `left` are there.
    fn give(
        &mut self,
        left: usize,
        dim: usize,
        batch_rows: usize,
        random: &mut SplitMix,
        take: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let rows = self.images.len() / dim.max(1);
        let mut order: Vec<usize> = (0..rows).collect();
        random.shuffle(&mut order);
        let given = rows.saturating_sub(left);
        // Only the last batch of a pass may have fewer rows.
        let given = if left > 0 {
            given - given % batch_rows
        } else {
            given
        };
        for batch in order[..given].chunks(batch_rows) {
            let chosen = self.chosen(batch, dim);
            take(Batch {
                images: &chosen.images,
                targets: match chosen.ids.is_empty() {
                    true => Targets::Classes(&chosen.labels),
                    false => Targets::Captions {
                        texts: &chosen.texts,
                        ids: &chosen.ids,
                    },
                },
            })?;
        }
        *self = self.chosen(&order[given..], dim);
        Ok(())
    }

    fn chosen(&self, rows: &[usize], dim: usize) -> Self {
        let vectors = |values: &[f32]| match values.is_empty() {
            true => Vec::new(),
            false => rows
                .iter()
                .flat_map(|&row| &values[row * dim..(row + 1) * dim])
                .copied()
                .collect(),
        };
        let pick = |labels: &[u32]| match labels.is_empty() {
            true => Vec::new(),
            false => rows.iter().map(|&row| labels[row]).collect(),
        };
        Self {
            images: vectors(&self.images),
            texts: vectors(&self.texts),
            labels: pick(&self.labels),
            ids: match self.ids.is_empty() {
                true => Vec::new(),
                false => rows.iter().map(|&row| self.ids[row]).collect(),
            },
        }
    }
}

/// Equal for equal captions: their embeddings are equal then.
pub(super) fn caption_id(text: &[f32]) -> u64 {
    text.iter()
        .fold(0, |id, value| hash(id ^ u64::from(value.to_bits())))
}
