//! Pairs in memory, for a host that has few of them, and for tests.

use super::{Batch, PairPass, PairSource, Split, Targets};
use crate::error::{Error, Result};

/// What the images of [`MemoryPairs`] are matched with.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredTargets {
    /// Labelled pairs.
    Classes {
        /// Unit text embeddings, classes x dim.
        texts: Vec<f32>,
        /// The class of each row.
        classes: Vec<u32>,
    },
    /// Captioned pairs.
    Captions {
        /// Unit text embeddings, rows x dim.
        texts: Vec<f32>,
        /// One per row, equal for equal captions.
        ids: Vec<u64>,
    },
}

/// Pairs that are small enough to be held in memory.
#[derive(Debug, Clone)]
pub struct MemoryPairs {
    dim: usize,
    images: Vec<f32>,
    targets: StoredTargets,
    held_out_every: u64,
}

impl MemoryPairs {
    /// Pairs of `images`, rows x dim, and as many targets; about one row of `held_out_every` is held out.
    ///
    /// # Errors
    /// When lengths do not agree.
    pub fn try_new(
        dim: usize,
        images: Vec<f32>,
        targets: StoredTargets,
        held_out_every: u64,
    ) -> Result<Self> {
        let rows = images.len() / dim.max(1);
        let (texts, per_row, texts_expected) = match &targets {
            StoredTargets::Classes { texts, classes } => {
                (texts, classes.len(), texts.len() / dim.max(1) * dim)
            }
            StoredTargets::Captions { texts, ids } => (texts, ids.len(), rows * dim),
        };
        if dim == 0
            || images.len() != rows * dim
            || per_row != rows
            || texts.len() != texts_expected
        {
            return Err(Error::input("pair embeddings with their targets")
                .with("dim", dim)
                .with("image numbers", images.len())
                .with("text numbers", texts.len())
                .with("targets", per_row)
                .hint("give one target for each image, and embeddings of one length"));
        }
        Ok(Self {
            dim,
            images,
            targets,
            held_out_every: held_out_every.max(1),
        })
    }

    fn rows_of(&self, split: Split) -> Vec<usize> {
        let held_out = |row: &usize| mix(*row as u64).is_multiple_of(self.held_out_every);
        (0..self.images.len() / self.dim)
            .filter(|row| held_out(row) == (split == Split::HeldOut))
            .collect()
    }
}

impl PairSource for MemoryPairs {
    fn dim(&self) -> usize {
        self.dim
    }

    fn class_texts(&self) -> Option<&[f32]> {
        match &self.targets {
            StoredTargets::Classes { texts, .. } => Some(texts),
            StoredTargets::Captions { .. } => None,
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let targets = match &self.targets {
            StoredTargets::Classes { classes, .. } => Targets::Classes(classes),
            StoredTargets::Captions { texts, ids } => Targets::Captions { texts, ids },
        };
        take(Batch {
            images: &self.images,
            targets,
        })
    }

    fn read(
        &mut self,
        pass: &PairPass,
        take: &mut dyn FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rows = self.rows_of(pass.split);
        let key = mix(pass.seed ^ mix(u64::from(pass.epoch)));
        rows.sort_by_cached_key(|row| mix(key ^ mix(*row as u64)));
        for chunk in rows.chunks(pass.batch_rows.max(1)) {
            let images = gathered(&self.images, self.dim, chunk);
            match &self.targets {
                StoredTargets::Classes { classes, .. } => {
                    let classes: Vec<u32> = chunk.iter().map(|row| classes[*row]).collect();
                    take(Batch {
                        images: &images,
                        targets: Targets::Classes(&classes),
                    })?;
                }
                StoredTargets::Captions { texts, ids } => {
                    let texts = gathered(texts, self.dim, chunk);
                    let ids: Vec<u64> = chunk.iter().map(|row| ids[*row]).collect();
                    take(Batch {
                        images: &images,
                        targets: Targets::Captions {
                            texts: &texts,
                            ids: &ids,
                        },
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn gathered(embeddings: &[f32], dim: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| &embeddings[row * dim..(row + 1) * dim])
        .copied()
        .collect()
}

/// The finaliser of SplitMix64, whose output is uniform over consecutive numbers.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
