//! The rows of a store in the order in which adapters are fitted.

use std::sync::mpsc::{SyncSender, sync_channel};

use super::{
    random::{SplitMix, hash},
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::{Block, Sides, StoredRows, Stretch},
};
use crate::{
    adapt::{Batch, PairPass, PairSource, Split, Targets},
    error::{Error, Result},
};

/// One row in so many is held out, or fewer.
const HELD_OUT: u64 = 16;
/// Rows that are held out at most, if memory allows: more would hardly change when a fit stops.
const MOST_HELD_OUT_ROWS: usize = 1 << 15;
/// Rows that are mixed with each other, if memory allows.
const MOST_MIXED_ROWS: usize = 1 << 16;
/// Rows that wait in batches while others are trained on: as many as are read at a time, if memory
/// allows.
const MOST_WAITING_ROWS: usize = 1 << 13;

/// Pairs in mixed order: stretches of rows in random order fill a buffer, and for every batch read one leaves it at
/// random. They are read while others are trained on; rows held out are read once.
pub(super) struct StoredPairs<'a> {
    stored: Stored<'a>,
    stretches: Vec<Stretch>,
    /// Bytes that rows in memory may take.
    buffer_bytes: usize,
    held_out: Option<PairRows>,
    cancelled: &'a dyn Fn() -> Result<()>,
}

/// What is read, by another thread.
#[derive(Clone, Copy)]
struct Stored<'a> {
    rows: &'a StoredRows<'a>,
    dim: usize,
    /// The class of each stored row, and the texts of the classes, where pairs have classes.
    classes: Option<(&'a ScratchColumn, &'a [f32])>,
    /// One row in so many is held out.
    held_out: u64,
}

/// Rows in memory.
#[derive(Default)]
struct PairRows {
    images: Vec<f32>,
    texts: Vec<f32>,
    labels: Vec<u32>,
    ids: Vec<u64>,
}

impl<'a> StoredPairs<'a> {
    /// Pairs of some rows, `dim` numbers per embedding; with the class of each and the texts of the classes where they
    /// have any.
    pub(super) fn new(
        rows: &'a StoredRows<'a>,
        dim: usize,
        classes: Option<(&'a ScratchColumn, &'a [f32])>,
        buffer_bytes: usize,
        cancelled: &'a dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let stretches = rows.stretches()?;
        let mut pairs = Self {
            stored: Stored {
                rows,
                dim,
                classes,
                held_out: HELD_OUT,
            },
            stretches,
            buffer_bytes,
            held_out: None,
            cancelled,
        };
        let all = pairs.stretches.last().map_or(0, Stretch::end);
        let most = pairs.rows_in_half(MOST_HELD_OUT_ROWS);
        pairs.stored.held_out = all.div_ceil(most.max(1) as u64).max(HELD_OUT);
        Ok(pairs)
    }

    /// Rows that half of the buffer holds.
    fn rows_in_half(&self, most: usize) -> usize {
        let sides = if self.stored.classes.is_some() { 1 } else { 2 };
        let row_bytes = self.stored.dim * 4 * sides + 16;
        (self.buffer_bytes / 2 / row_bytes).min(most)
    }

    fn read_held_out(&self) -> Result<PairRows> {
        let (stored, mut held_out) = (self.stored, PairRows::default());
        stored.rows.for_each(stored.sides(), &mut |block| {
            (self.cancelled)()?;
            stored.for_each(block, Split::HeldOut, &mut |row, class| {
                held_out.push(block, row, class);
                Ok(())
            })
        })?;
        Ok(held_out)
    }

    /// Calls `take` with rows of the training split in mixed order.
    fn read_training(
        &self,
        pass: &PairPass,
        take: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut random = random_of(pass);
        let mut stretches = self.stretches.clone();
        random.shuffle(&mut stretches);
        let (stored, batch_rows) = (self.stored, pass.batch_rows);
        let most = self.rows_in_half(MOST_MIXED_ROWS).max(batch_rows);
        std::thread::scope(|scope| {
            let (send, batches) =
                sync_channel(self.rows_in_half(MOST_WAITING_ROWS) / batch_rows.max(1) + 1);
            let reader = scope.spawn(move || {
                let mut mixing = Mixing {
                    rows: PairRows::default(),
                    dim: stored.dim,
                    most,
                    batch_rows,
                    random,
                    send,
                };
                let mut add = |block: &Block| {
                    stored.for_each(block, Split::Training, &mut |row, class| {
                        mixing.push(block, row, class)
                    })
                };
                stored
                    .rows
                    .for_each_in(stored.sides(), &stretches, &mut add)?;
                mixing.give_all()
            });
            let taken = batches.iter().try_for_each(|rows: PairRows| {
                (self.cancelled)()?;
                take(rows.batch())
            });
            // Without a receiver the reader stops at its next batch.
            drop(batches);
            let read = reader
                .join()
                .map_err(|_| Error::internal("read the pairs that adapters are fitted to"))?;
            taken.and(read)
        })
    }
}

/// The same for the same pass.
fn random_of(pass: &PairPass) -> SplitMix {
    SplitMix(hash(pass.seed) ^ u64::from(pass.epoch))
}

impl PairSource for StoredPairs<'_> {
    fn dim(&self) -> usize {
        self.stored.dim
    }

    fn class_texts(&self) -> Option<&[f32]> {
        self.stored.classes.map(|(_, texts)| texts)
    }

    fn each(&mut self, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let stored = self.stored;
        stored.rows.for_each(stored.sides(), &mut |block| {
            (self.cancelled)()?;
            stored.whole(block, take)
        })?;
        Ok(())
    }

    fn read(
        &mut self,
        pass: &PairPass,
        take: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        if pass.split == Split::Training {
            return self.read_training(pass, take);
        }
        let held_out = match self.held_out.take() {
            Some(rows) => rows,
            None => self.read_held_out()?,
        };
        let held_out = self.held_out.insert(held_out);
        let dim = self.stored.dim;
        let mut order: Vec<usize> = (0..held_out.len(dim)).collect();
        random_of(pass).shuffle(&mut order);
        for rows in order.chunks(pass.batch_rows) {
            (self.cancelled)()?;
            take(held_out.chosen(rows, dim).batch())?;
        }
        Ok(())
    }
}

impl Stored<'_> {
    fn sides(&self) -> Sides {
        match self.classes {
            Some(_) => Sides::Images,
            None => Sides::Both,
        }
    }

    /// All rows of a block that have a class, where pairs have classes; as they lie where all have.
    fn whole(&self, block: &Block, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let rows = block.rows.len();
        let Some((classes, _)) = self.classes else {
            let ids: Vec<u64> = (0..rows).map(|row| caption_id(block.text(row))).collect();
            return take(Batch {
                images: &block.images,
                targets: Targets::Captions {
                    texts: &block.texts,
                    ids: &ids,
                },
            });
        };
        let stored = classes.read_cells(block.first..block.first + block.len as u64)?;
        let labels: Vec<u32> = block.offsets.iter().map(|&offset| stored[offset]).collect();
        if !labels.contains(&NO_CELL) {
            return take(Batch {
                images: &block.images,
                targets: Targets::Classes(&labels),
            });
        }
        let mut some = PairRows::default();
        for (row, class) in labels.iter().enumerate() {
            if *class != NO_CELL {
                some.push(block, row, Some(*class));
            }
        }
        match some.labels.is_empty() {
            true => Ok(()),
            false => take(some.batch()),
        }
    }

    /// Rows of a split that have a class, where pairs have classes.
    fn for_each(
        &self,
        block: &Block,
        split: Split,
        take: &mut dyn FnMut(usize, Option<u32>) -> Result<()>,
    ) -> Result<()> {
        let classes = self.classes.map(|(classes, _)| {
            let stored = block.first..block.first + block.len as u64;
            classes.read_cells(stored)
        });
        let classes = classes.transpose()?;
        for (row, position) in block.positions().enumerate() {
            let held_out = hash(position).is_multiple_of(self.held_out);
            let class = classes.as_ref().map(|classes| classes[block.offsets[row]]);
            if held_out == (split == Split::HeldOut) && class != Some(NO_CELL) {
                take(row, class)?;
            }
        }
        Ok(())
    }
}

/// Rows that wait for their turn, and where they go.
struct Mixing {
    rows: PairRows,
    dim: usize,
    /// Rows that stay, so that others meet them.
    most: usize,
    batch_rows: usize,
    random: SplitMix,
    send: SyncSender<PairRows>,
}

impl Mixing {
    fn push(&mut self, block: &Block, row: usize, class: Option<u32>) -> Result<()> {
        self.rows.push(block, row, class);
        match self.rows.len(self.dim) < self.most + self.batch_rows {
            true => Ok(()),
            false => self.give(),
        }
    }

    /// Gives a batch of rows at random; fewer rows where fewer are left.
    fn give(&mut self) -> Result<()> {
        let left = self.rows.len(self.dim);
        let mut batch = PairRows::default();
        for left in (1..=left).rev().take(self.batch_rows) {
            self.rows
                .move_to(&mut batch, self.random.below(left), self.dim);
        }
        // Nobody takes it where an error has ended the pass, and that one is told.
        self.send
            .send(batch)
            .map_err(|_| Error::internal("hand over pairs"))
    }

    fn give_all(&mut self) -> Result<()> {
        while self.rows.len(self.dim) > 0 {
            self.give()?;
        }
        Ok(())
    }
}

impl PairRows {
    fn push(&mut self, block: &Block, row: usize, class: Option<u32>) {
        self.images.extend_from_slice(block.image(row));
        match class {
            Some(class) => self.labels.push(class),
            None => {
                self.texts.extend_from_slice(block.text(row));
                self.ids.push(caption_id(block.text(row)));
            }
        }
    }

    /// Moves a row behind those of `others`; the last one takes its place.
    fn move_to(&mut self, others: &mut Self, row: usize, dim: usize) {
        for (from, to) in [
            (&mut self.images, &mut others.images),
            (&mut self.texts, &mut others.texts),
        ] {
            if let Some(last) = from.len().checked_sub(dim) {
                to.extend_from_slice(&from[row * dim..(row + 1) * dim]);
                from.copy_within(last.., row * dim);
                from.truncate(last);
            }
        }
        if !self.labels.is_empty() {
            others.labels.push(self.labels.swap_remove(row));
        }
        if !self.ids.is_empty() {
            others.ids.push(self.ids.swap_remove(row));
        }
    }

    fn len(&self, dim: usize) -> usize {
        self.images.len() / dim.max(1)
    }

    fn batch(&self) -> Batch<'_> {
        Batch {
            images: &self.images,
            targets: match self.ids.is_empty() {
                true => Targets::Classes(&self.labels),
                false => Targets::Captions {
                    texts: &self.texts,
                    ids: &self.ids,
                },
            },
        }
    }

    fn chosen(&self, rows: &[usize], dim: usize) -> Self {
        let vectors = |values: &[f32]| {
            let mut chosen = Vec::new();
            if !values.is_empty() {
                chosen.reserve_exact(rows.len() * dim);
                for &row in rows {
                    chosen.extend_from_slice(&values[row * dim..(row + 1) * dim]);
                }
            }
            chosen
        };
        Self {
            images: vectors(&self.images),
            texts: vectors(&self.texts),
            labels: pick(&self.labels, rows),
            ids: pick(&self.ids, rows),
        }
    }
}

fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    match values.is_empty() {
        true => Vec::new(),
        false => rows.iter().map(|&row| values[row]).collect(),
    }
}

/// Equal for equal captions: their embeddings are equal then.
pub(super) fn caption_id(text: &[f32]) -> u64 {
    text.iter()
        .fold(0, |id, value| hash(id ^ u64::from(value.to_bits())))
}
