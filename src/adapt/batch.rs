//! Pairs of one step as tensors.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::{Batch, FitOptions, Mode, PairPass, PairSource, Split, Targets};
use crate::error::{Error, Result};

/// What is the same for all batches of a source.
pub(super) struct Problem {
    pub(super) dim: usize,
    classes: Option<ClassBatch>,
}

struct ClassBatch {
    count: usize,
    /// Classes x dim.
    texts: Tensor,
    /// Logarithm of each class's share of the rows trained on.
    log_shares: Arc<[f32]>,
}

/// One batch as tensors.
pub(super) struct BatchTensors {
    pub(super) rows: usize,
    /// Rows x dim.
    pub(super) images: Tensor,
    /// Classes or rows, x dim.
    pub(super) texts: Tensor,
    pub(super) sought: SoughtTexts,
}

/// Which text belongs to which image.
#[derive(Clone)]
pub(super) struct SoughtTexts {
    /// Position of the text of each row among the texts.
    pub(super) own: Vec<u32>,
    /// Equal for rows with the same text.
    ids: Vec<u64>,
    /// Where the texts are classes, see [`ClassBatch`].
    pub(super) log_shares: Option<Arc<[f32]>>,
}

impl Problem {
    /// What `pairs` ask for; labelled ones are read once, to count their classes.
    pub(super) fn of(pairs: &mut dyn PairSource, options: &FitOptions) -> Result<Self> {
        let dim = pairs.dim();
        if dim == 0 {
            return Err(Error::internal(
                "fit adapters to embeddings without numbers",
            ));
        }
        let Some(texts) = pairs.class_texts() else {
            return Ok(Self { dim, classes: None });
        };
        let count = texts.len() / dim;
        if texts.len() != count * dim || count < 2 {
            return Err(Error::input("read the embeddings of the class prompts")
                .with("dim", dim)
                .with("numbers", texts.len())
                .hint("give two classes or more, each with one embedding"));
        }
        check_finite(texts, dim, "class")?;
        let texts = tensor(texts, count, dim)?;
        let log_shares = log_shares(pairs, options, count)?;
        Ok(Self {
            dim,
            classes: Some(ClassBatch {
                count,
                texts,
                log_shares,
            }),
        })
    }

    pub(super) fn mode(&self) -> Mode {
        match self.classes {
            Some(_) => Mode::Labelled,
            None => Mode::Captioned,
        }
    }

    pub(super) fn classes(&self) -> Option<usize> {
        self.classes.as_ref().map(|classes| classes.count)
    }

    /// `None` when the batch has nothing to tell apart.
    pub(super) fn tensors(&self, batch: &Batch<'_>) -> Result<Option<BatchTensors>> {
        let rows = batch.images.len() / self.dim;
        let wrong_length = |what: &'static str, found: usize| {
            Error::internal("read a batch of pairs")
                .with("dim", self.dim)
                .with("image numbers", batch.images.len())
                .with(what, found)
        };
        if batch.images.len() != rows * self.dim {
            return Err(wrong_length("rows", rows));
        }
        check_finite(batch.images, self.dim, "image")?;
        let (texts, sought) = match (batch.targets, &self.classes) {
            (Targets::Classes(own), Some(classes)) => {
                if own.len() != rows {
                    return Err(wrong_length("classes", own.len()));
                }
                check_classes(own, classes.count)?;
                (classes.texts.clone(), SoughtTexts::classes(own, classes))
            }
            (Targets::Captions { texts, ids }, None) => {
                if texts.len() != batch.images.len() || ids.len() != rows {
                    return Err(wrong_length("text numbers", texts.len()).with("ids", ids.len()));
                }
                check_finite(texts, self.dim, "text")?;
                (tensor(texts, rows, self.dim)?, SoughtTexts::captions(ids))
            }
            _ => return Err(both()),
        };
        if rows < 2 {
            return Ok(None);
        }
        Ok(Some(BatchTensors {
            rows,
            images: tensor(batch.images, rows, self.dim)?,
            texts,
            sought,
        }))
    }
}

pub(super) fn failed(error: candle_core::Error) -> Error {
    Error::internal("compute the loss of adapters").source(error)
}

fn both() -> Error {
    Error::internal("match images with classes and captions at once")
}

/// One row more than there are in each class, so that no share is zero.
fn log_shares(
    pairs: &mut dyn PairSource,
    options: &FitOptions,
    count: usize,
) -> Result<Arc<[f32]>> {
    let mut rows = vec![1u64; count];
    let pass = PairPass {
        split: Split::Training,
        epoch: 0,
        seed: options.seed,
        batch_rows: options.batch_rows,
    };
    pairs.read(&pass, &mut |batch| {
        let Targets::Classes(classes) = batch.targets else {
            return Err(both());
        };
        check_classes(classes, count)?;
        for class in classes {
            rows[*class as usize] += 1;
        }
        Ok(())
    })?;
    let all = rows.iter().sum::<u64>() as f32;
    Ok(rows
        .into_iter()
        .map(|rows| (rows as f32 / all).ln())
        .collect())
}

fn tensor(numbers: &[f32], rows: usize, dim: usize) -> Result<Tensor> {
    Tensor::from_slice(numbers, (rows, dim), &Device::Cpu).map_err(failed)
}

impl SoughtTexts {
    fn classes(own: &[u32], classes: &ClassBatch) -> Self {
        Self {
            own: own.to_vec(),
            ids: own.iter().map(|&class| class.into()).collect(),
            log_shares: Some(Arc::clone(&classes.log_shares)),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a batch has few rows")]
    fn captions(ids: &[u64]) -> Self {
        Self {
            own: (0..ids.len() as u32).collect(),
            ids: ids.to_vec(),
            log_shares: None,
        }
    }

    /// Whether the text of one row counts for the image of another, or its own: other rows with its text are no
    /// negatives.
    pub(super) fn counts(&self, row: usize, other: usize) -> bool {
        row == other || self.ids[row] != self.ids[other]
    }
}

fn check_classes(classes: &[u32], count: usize) -> Result<()> {
    let known = |class: &u32| usize::try_from(*class).is_ok_and(|class| class < count);
    match classes.iter().find(|class| !known(class)) {
        None => Ok(()),
        Some(class) => Err(Error::input("find the prompt of a label")
            .with("label", class)
            .with("classes", count)
            .hint("give as many class names as there are labels")),
    }
}

fn check_finite(embeddings: &[f32], dim: usize, side: &'static str) -> Result<()> {
    match embeddings.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(position) => Err(
            Error::input("fit adapters to an embedding that is not finite")
                .with("side", side)
                .with("row of the batch", position / dim)
                .hint("score these shards again"),
        ),
    }
}
