//! What is asked of the pairs, and their batches as kernels take them.

use std::sync::Arc;

use clip_filter_vectors::{PairBatch, Rows, Sought};

use crate::{
    adapt::{Batch, FitOptions, Mode, PairSource, Split, Targets, pairs::check_finite},
    error::{Error, Result},
};

/// What is the same for all batches of a source.
pub(super) struct Problem {
    pub(super) dim: usize,
    classes: Option<Classes>,
}

struct Classes {
    count: usize,
    /// Classes x dim.
    texts: Vec<f32>,
    /// Logarithm of each class's share of the rows trained on.
    log_shares: Arc<[f32]>,
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
        let texts = texts.to_vec();
        let log_shares = log_shares(pairs, options, count)?;
        Ok(Self {
            dim,
            classes: Some(Classes {
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
    pub(super) fn batch<'a>(&'a self, batch: &Batch<'a>) -> Result<Option<PairBatch<'a>>> {
        let images = rows(batch.images, self.dim)?;
        check_finite(batch.images, self.dim, "image")?;
        let (texts, sought) = match (batch.targets, &self.classes) {
            (Targets::Classes(own), Some(classes)) if own.len() == images.len() => {
                let own = positions(own, classes.count)?;
                let sought = Sought::classes(&own, Arc::clone(&classes.log_shares));
                (rows(&classes.texts, self.dim)?, sought)
            }
            (Targets::Captions { texts, ids }, None)
                if texts.len() == batch.images.len() && ids.len() == images.len() =>
            {
                check_finite(texts, self.dim, "text")?;
                (rows(texts, self.dim)?, Sought::captions(ids))
            }
            _ => return Err(not_pairs(self.dim, batch.images.len())),
        };
        Ok((images.len() >= 2).then_some(PairBatch {
            images,
            texts,
            sought,
        }))
    }
}

fn rows(values: &[f32], dim: usize) -> Result<Rows<'_>> {
    Rows::new(values, dim).ok_or_else(|| not_pairs(dim, values.len()))
}

fn not_pairs(dim: usize, numbers: usize) -> Error {
    Error::internal("read a batch of pairs")
        .with("dim", dim)
        .with("numbers", numbers)
}

/// One row more than there are in each class, so that no share is zero.
fn log_shares(
    pairs: &mut dyn PairSource,
    options: &FitOptions,
    count: usize,
) -> Result<Arc<[f32]>> {
    let dim = pairs.dim();
    let mut rows = vec![1u64; count];
    let pass = options.pass(Split::Training, 0);
    pairs.read(&pass, &mut |batch| {
        let Targets::Classes(classes) = batch.targets else {
            return Err(not_pairs(dim, batch.images.len()));
        };
        for class in positions(classes, count)? {
            rows[class] += 1;
        }
        Ok(())
    })?;
    let all = rows.iter().sum::<u64>() as f32;
    Ok(rows
        .into_iter()
        .map(|rows| (rows as f32 / all).ln())
        .collect())
}

/// Classes as positions among their texts.
fn positions(classes: &[u32], count: usize) -> Result<Vec<usize>> {
    let position = |class: &u32| {
        let known = usize::try_from(*class).ok().filter(|class| *class < count);
        known.ok_or_else(|| {
            Error::input("find the prompt of a label")
                .with("label", class)
                .with("classes", count)
                .hint("give as many class names as there are labels")
        })
    };
    classes.iter().map(position).collect()
}
