//! Two linear maps, one of images and one of texts, and how they are applied to embeddings.

use clip_filter_vectors::{Classes, Rows, apply_linear, blend};
use sha2::{Digest, Sha256};

use super::TrainingRecord;
use crate::{
    digest::hex,
    error::{Error, Result},
    schema::Side,
};

/// A linear map with bias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    /// Row-major, out x in.
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Linear {
    pub(super) fn identity(dim: usize) -> Self {
        let mut weight = vec![0.0; dim * dim];
        weight.iter_mut().step_by(dim + 1).for_each(|x| *x = 1.0);
        Self {
            weight,
            bias: vec![0.0; dim],
        }
    }
}

/// Scores of classes by a linear function of the image each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassScores {
    /// Names, ascending where they were fitted.
    pub names: Vec<String>,
    /// One row of numbers per class.
    pub directions: Vec<f32>,
    /// One number per class, added to the product.
    pub offsets: Vec<f32>,
}

impl ClassScores {
    /// As kernels take them.
    ///
    /// # Errors
    /// Never for adapters that were fitted or read.
    pub fn classes(&self, dim: usize) -> Result<Classes<'_>> {
        let directions = Rows::new(&self.directions, dim);
        let directions = directions.ok_or_else(|| Error::internal("put classes in rows"))?;
        Ok(Classes {
            directions,
            offsets: &self.offsets,
        })
    }
}

/// What a fit in closed form adds to the maps.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Closed {
    /// Nothing: adapted = normalised(weight · x + bias).
    #[default]
    No,
    /// Images are aligned with classes by these scores, not by a cosine.
    Classes(ClassScores),
    /// Adapted = normalised(x + share · normalised(weight · x + bias)).
    Share(f32),
}

/// Two linear maps that bring unit embeddings of one model to a dataset, or what a fit in closed form gives instead.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters {
    pub(super) dim: usize,
    pub(super) image: Linear,
    pub(super) text: Linear,
    pub(super) closed: Closed,
    pub(super) logit_scale: f32,
    pub(super) model: String,
    pub(super) record: TrainingRecord,
}

impl Adapters {
    /// Adapters that change nothing, at the scale of logits their record starts with.
    pub fn identity(dim: usize, model: impl Into<String>, record: TrainingRecord) -> Self {
        Self {
            dim,
            image: Linear::identity(dim),
            text: Linear::identity(dim),
            closed: Closed::No,
            logit_scale: record.start_logit_scale,
            model: model.into(),
            record,
        }
    }

    /// The same with a discriminant of classes, beside the map after which their images vary alike.
    pub(super) fn of_classes(self, image: Linear, classes: ClassScores) -> Self {
        Self {
            image,
            closed: Closed::Classes(classes),
            ..self
        }
    }

    /// The same with a share of what a map makes of an image added to it.
    pub(super) fn blending(self, image: Linear, share: f32) -> Self {
        Self {
            image,
            closed: Closed::Share(share),
            ..self
        }
    }

    /// Scores that images are aligned with classes by, where that is no cosine with a text.
    pub fn class_scores(&self) -> Option<&ClassScores> {
        match &self.closed {
            Closed::Classes(classes) => Some(classes),
            _ => None,
        }
    }

    /// Numbers per embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The learned factor between cosines and logits.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale
    }

    /// Fingerprint of the model whose embeddings these are for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How they came to be.
    pub fn record(&self) -> &TrainingRecord {
        &self.record
    }

    /// Weight and bias of one side: adapted = normalised(weight · embedding + bias), but for captions in closed form, where
    /// a share of that is added to the embedding.
    ///
    /// # Shape
    /// The weight is dim x dim, row-major, out x in; the bias has dim numbers.
    pub fn weights(&self, side: Side) -> (&[f32], &[f32]) {
        let linear = self.linear(side);
        (&linear.weight, &linear.bias)
    }

    /// Whether this side changes nothing.
    pub fn is_identity(&self, side: Side) -> bool {
        *self.linear(side) == Linear::identity(self.dim)
    }

    /// Adapted embeddings of `rows`, again of unit length.
    ///
    /// # Shape
    /// `rows` and the result are n x dim. A row's result does not depend on the rows beside it; one that is mapped
    /// to zero stays zero.
    ///
    /// # Errors
    /// When `rows` is no whole number of embeddings.
    pub fn apply(&self, side: Side, rows: &[f32]) -> Result<Vec<f32>> {
        let mapped = self.apply_with(side, rows, 1)?;
        Ok(mapped.unwrap_or_else(|| rows.to_vec()))
    }

    /// The same on some threads; `None` where this side changes nothing.
    ///
    /// # Errors
    /// As [`Adapters::apply`].
    pub fn apply_with(&self, side: Side, rows: &[f32], threads: usize) -> Result<Option<Vec<f32>>> {
        let rows = Rows::new(rows, self.dim).ok_or_else(|| {
            Error::input("apply adapters to embeddings of another length")
                .with("dim of the adapters", self.dim)
                .with("numbers given", rows.len())
                .hint("use adapters that were fitted on this model's embeddings")
        })?;
        if self.is_identity(side) {
            return Ok(None);
        }
        let linear = self.linear(side);
        let mut mapped = apply_linear(rows, &linear.weight, &linear.bias, threads);
        if let (Closed::Share(share), Side::Image) = (&self.closed, side) {
            blend(rows, &mut mapped, *share, threads);
        }
        Ok(Some(mapped))
    }

    /// SHA-256 of the artifact's bytes, in hex.
    ///
    /// # Errors
    /// When the artifact cannot be made, as [`Adapters::to_bytes`].
    pub fn fingerprint(&self) -> Result<String> {
        Ok(hex(&Sha256::digest(self.to_bytes()?)))
    }

    fn linear(&self, side: Side) -> &Linear {
        match side {
            Side::Image => &self.image,
            Side::Text => &self.text,
        }
    }
}
