use candle_core::{Device, Tensor};

use super::{Batch, Mode, PairSource, Targets};
use crate::error::{Error, Result};

/// Added to the logit of another row with the same caption: its exponential is zero in `f32`.
const NO_NEGATIVE: f32 = -1e9;

/// What is the same for all batches of a source.
pub(super) struct Problem {
    pub(super) dim: usize,
    /// Classes x dim, and the number of classes.
    classes: Option<(Tensor, usize)>,
}

/// One batch as tensors.
pub(super) struct BatchTensors {
    pub(super) rows: usize,
    /// Rows x dim.
    pub(super) images: Tensor,
    /// Classes or rows, x dim.
    pub(super) texts: Tensor,
    pub(super) sought: Sought,
}

/// Which text belongs to which image.
pub(super) enum Sought {
    /// Position of the row's class.
    Classes(Tensor),
    Captions {
        /// Position of the row's own caption, which is the row's.
        own: Tensor,
        /// Rows x rows: [`NO_NEGATIVE`] where two rows have one caption, else zero.
        mask: Tensor,
    },
}

impl Problem {
    pub(super) fn of(pairs: &dyn PairSource) -> Result<Self> {
        let dim = pairs.dim();
        let classes = match pairs.class_texts() {
            None => None,
            Some(texts) => {
                let count = texts.len() / dim.max(1);
                if dim == 0 || texts.len() != count * dim || count < 2 {
                    return Err(Error::input("read the embeddings of the class prompts")
                        .with("dim", dim)
                        .with("numbers", texts.len())
                        .hint("give two classes or more, each with one embedding"));
                }
                check_finite(texts, dim, "class")?;
                let tensor = tensor(texts, count, dim)?;
                Some((tensor, count))
            }
        };
        if dim == 0 {
            return Err(Error::internal(
                "fit adapters to embeddings without numbers",
            ));
        }
        Ok(Self { dim, classes })
    }

    pub(super) fn mode(&self) -> Mode {
        match self.classes {
            Some(_) => Mode::Labelled,
            None => Mode::Captioned,
        }
    }

    pub(super) fn classes(&self) -> Option<usize> {
        self.classes.as_ref().map(|(_, count)| *count)
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
            (Targets::Classes(classes), Some((texts, count))) => {
                if classes.len() != rows {
                    return Err(wrong_length("classes", classes.len()));
                }
                check_classes(classes, *count)?;
                let classes = Tensor::from_slice(classes, rows, &Device::Cpu).map_err(failed)?;
                (texts.clone(), Sought::Classes(classes))
            }
            (Targets::Captions { texts, ids }, None) => {
                if texts.len() != batch.images.len() || ids.len() != rows {
                    return Err(wrong_length("text numbers", texts.len()).with("ids", ids.len()));
                }
                check_finite(texts, self.dim, "text")?;
                if rows < 2 {
                    return Ok(None);
                }
                (tensor(texts, rows, self.dim)?, captions(ids)?)
            }
            _ => {
                return Err(Error::internal(
                    "match images with classes and captions at once",
                ));
            }
        };
        if rows == 0 {
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

fn tensor(numbers: &[f32], rows: usize, dim: usize) -> Result<Tensor> {
    Tensor::from_slice(numbers, (rows, dim), &Device::Cpu).map_err(failed)
}

fn captions(ids: &[u64]) -> Result<Sought> {
    let rows = ids.len();
    let count = u32::try_from(rows)
        .map_err(|error| Error::usage("use a batch of so many rows").source(error))?;
    let mut mask = Vec::with_capacity(rows * rows);
    for (row, id) in ids.iter().enumerate() {
        mask.extend(ids.iter().enumerate().map(|(other, other_id)| {
            if other != row && other_id == id {
                NO_NEGATIVE
            } else {
                0.0
            }
        }));
    }
    Ok(Sought::Captions {
        own: Tensor::arange(0, count, &Device::Cpu).map_err(failed)?,
        mask: tensor(&mask, rows, rows)?,
    })
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
