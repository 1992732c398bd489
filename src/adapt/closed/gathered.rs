//! One pass over the pairs: sums by fold, and rows to judge by.

use std::collections::BinaryHeap;

use clip_filter_vectors::{MOST_SUMMED_ROWS, PairSums, Partner, Totals, Workspace, row_hash};

use super::{FOLDS, fold_of_hash};
use crate::{
    adapt::{Batch, FitOptions, PairSource, Targets, pairs::check_finite},
    error::{Error, Result},
};

/// Rows that are judged by: twice as many would tell gains from chance that are a third smaller.
const MOST_HELD_OUT_ROWS: usize = 4096;

/// What is known of the pairs.
pub(super) struct Gathered {
    pub(super) dim: usize,
    pub(super) threads: usize,
    classes: Option<ClassOrder>,
    folds: Vec<PairSums>,
    workspace: Workspace,
    pub(super) held_out: HeldOut,
}

/// Classes by name, which does not depend on which row came first.
struct ClassOrder {
    names: Vec<String>,
    /// Where each class of the source is among the names.
    places: Vec<usize>,
    /// Texts in the order of the names.
    texts: Vec<f32>,
}

impl Gathered {
    /// Nothing yet, of pairs like these.
    pub(super) fn of(pairs: &dyn PairSource, options: &FitOptions) -> Result<Self> {
        let dim = pairs.dim();
        if dim == 0 {
            return Err(Error::internal(
                "fit adapters to embeddings without numbers",
            ));
        }
        let classes = pairs.class_texts();
        let classes = classes
            .map(|texts| ClassOrder::of(texts, dim, &options.class_names))
            .transpose()?;
        let count = classes.as_ref().map(|classes| classes.names.len());
        let bytes = PairSums::bytes(dim, count).saturating_mul(FOLDS);
        if bytes > options.memory_bytes {
            return Err(
                Error::usage("fit adapters: their sums do not fit into memory")
                    .with("classes", count.unwrap_or(0))
                    .with("MiB of sums", bytes >> 20)
                    .with("MiB allowed", options.memory_bytes >> 20)
                    .hint("raise --memory-limit"),
            );
        }
        let none = || match count {
            Some(classes) => PairSums::of_classes(dim, classes),
            None => PairSums::of_texts(dim),
        };
        Ok(Self {
            dim,
            threads: options.threads.max(1),
            classes,
            folds: (0..FOLDS).map(|_| none()).collect(),
            workspace: Workspace::new(dim),
            held_out: HeldOut::new(dim),
        })
    }

    pub(super) fn is_labelled(&self) -> bool {
        self.classes.is_some()
    }

    /// Names of the classes, in their order here.
    pub(super) fn names(&self) -> &[String] {
        self.classes.as_ref().map_or(&[], |classes| &classes.names)
    }

    /// Texts of the classes, in the order of the names.
    pub(super) fn class_texts(&self) -> &[f32] {
        self.classes.as_ref().map_or(&[], |classes| &classes.texts)
    }

    /// Rows of each class.
    pub(super) fn class_rows(&self) -> Vec<u64> {
        let mut rows = vec![0; self.names().len()];
        for fold in &self.folds {
            rows.iter_mut()
                .zip(fold.class_rows())
                .for_each(|(sum, n)| *sum += n);
        }
        rows
    }

    pub(super) fn rows(&self) -> u64 {
        self.folds.iter().map(PairSums::rows).sum()
    }

    /// Of all folds, or of all but one.
    pub(super) fn totals(&self, without: Option<usize>) -> Option<Totals> {
        Totals::of(&self.folds, without)
    }

    pub(super) fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        check_finite(batch.images, self.dim, "image")?;
        let images = batch.images.chunks_exact(self.dim);
        let rows = images.len();
        match (batch.targets, &self.classes) {
            (Targets::Classes(labels), Some(classes)) if labels.len() == rows => {
                for (image, label) in images.zip(labels) {
                    let place = usize::try_from(*label)
                        .ok()
                        .and_then(|label| classes.places.get(label));
                    let place = *place.ok_or_else(|| {
                        Error::input("fit adapters: a row has a class without a prompt")
                            .with("class", label)
                    })?;
                    let hash = row_hash(image);
                    let fold = &mut self.folds[fold_of_hash(hash)];
                    check_room(fold)?;
                    fold.push(
                        image,
                        Partner::Class(place),
                        &mut self.workspace,
                        self.threads,
                    );
                    self.held_out.offer((hash, place as u64), image, &[]);
                }
            }
            (Targets::Captions { texts, .. }, None) if texts.len() == batch.images.len() => {
                check_finite(texts, self.dim, "text")?;
                for (image, text) in images.zip(texts.chunks_exact(self.dim)) {
                    let hash = row_hash(image);
                    let fold = &mut self.folds[fold_of_hash(hash)];
                    check_room(fold)?;
                    fold.push(
                        image,
                        Partner::Text(text),
                        &mut self.workspace,
                        self.threads,
                    );
                    self.held_out.offer((hash, row_hash(text)), image, text);
                }
            }
            _ => {
                return Err(Error::internal("read a batch of pairs")
                    .with("dim", self.dim)
                    .with("image numbers", batch.images.len()));
            }
        }
        Ok(())
    }

    pub(super) fn settle(&mut self) {
        for fold in &mut self.folds {
            fold.settle(self.threads);
        }
        self.held_out.sort();
    }
}

impl ClassOrder {
    /// Classes by number where the source has no names.
    fn of(texts: &[f32], dim: usize, names: &[String]) -> Result<Self> {
        let count = texts.len() / dim;
        if texts.len() != count * dim || !(names.is_empty() || names.len() == count) {
            return Err(Error::internal("read the texts of the classes")
                .with("dim", dim)
                .with("numbers", texts.len())
                .with("names", names.len()));
        }
        check_finite(texts, dim, "class")?;
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|class| names.get(*class));
        let mut places = vec![0; count];
        for (place, class) in order.iter().enumerate() {
            places[*class] = place;
        }
        let name = |class: &usize| {
            names
                .get(*class)
                .cloned()
                .unwrap_or_else(|| class.to_string())
        };
        Ok(Self {
            names: order.iter().map(name).collect(),
            places,
            texts: order
                .iter()
                .flat_map(|class| &texts[class * dim..(class + 1) * dim])
                .copied()
                .collect(),
        })
    }
}

fn check_room(fold: &PairSums) -> Result<()> {
    match fold.rows() < MOST_SUMMED_ROWS {
        true => Ok(()),
        false => Err(Error::input("fit adapters: there are more pairs than sums hold")
            .with("most pairs", MOST_SUMMED_ROWS * FOLDS as u64)
            .hint("fit them to some of the shards (clip-filter adapt), and give the file to all (--adapters)")),
    }
}

/// The rows whose hashes are the lowest, in the order of these.
pub(super) struct HeldOut {
    dim: usize,
    lowest: BinaryHeap<((u64, u64), usize)>,
    /// Which slots the rows have, in order; of no use before [`HeldOut::sort`].
    slots: Vec<((u64, u64), usize)>,
    images: Vec<f32>,
    texts: Vec<f32>,
}

impl HeldOut {
    fn new(dim: usize) -> Self {
        Self {
            dim,
            lowest: BinaryHeap::new(),
            slots: Vec::new(),
            images: Vec::new(),
            texts: Vec::new(),
        }
    }

    fn offer(&mut self, key: (u64, u64), image: &[f32], text: &[f32]) {
        if self.lowest.len() < MOST_HELD_OUT_ROWS {
            self.lowest.push((key, self.lowest.len()));
            self.images.extend_from_slice(image);
            self.texts.extend_from_slice(text);
            return;
        }
        if let Some(mut most) = self.lowest.peek_mut()
            && key < most.0
        {
            let slot = most.1;
            *most = (key, slot);
            self.images[slot * self.dim..(slot + 1) * self.dim].copy_from_slice(image);
            if !text.is_empty() {
                self.texts[slot * self.dim..(slot + 1) * self.dim].copy_from_slice(text);
            }
        }
    }

    fn sort(&mut self) {
        self.slots = std::mem::take(&mut self.lowest).into_sorted_vec();
        let (slots, dim) = (&self.slots, self.dim);
        let sorted = |values: &[f32]| -> Vec<f32> {
            match values.is_empty() {
                true => Vec::new(),
                false => slots
                    .iter()
                    .flat_map(|(_, slot)| &values[slot * dim..(slot + 1) * dim])
                    .copied()
                    .collect(),
            }
        };
        (self.images, self.texts) = (sorted(&self.images), sorted(&self.texts));
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn images(&self) -> &[f32] {
        &self.images
    }

    pub(super) fn texts(&self) -> &[f32] {
        &self.texts
    }

    /// Hash of the caption of each row.
    pub(super) fn captions(&self) -> Vec<u64> {
        self.slots.iter().map(|((_, tag), _)| *tag).collect()
    }

    /// Place of the class of each row.
    pub(super) fn labels(&self) -> Vec<usize> {
        let tags = self.slots.iter();
        tags.map(|((_, tag), _)| usize::try_from(*tag).unwrap_or(usize::MAX))
            .collect()
    }

    /// Rows of a fold, by their place here.
    pub(super) fn of_fold(&self, fold: usize) -> Vec<usize> {
        let rows = self.slots.iter().enumerate();
        rows.filter(|(_, ((hash, _), _))| fold_of_hash(*hash) == fold)
            .map(|(row, _)| row)
            .collect()
    }

    /// The images of some rows, one after the other.
    pub(super) fn some_images(&self, rows: &[usize]) -> Vec<f32> {
        rows.iter()
            .flat_map(|row| &self.images[row * self.dim..(row + 1) * self.dim])
            .copied()
            .collect()
    }
}
