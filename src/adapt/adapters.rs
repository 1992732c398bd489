//! Two linear maps, one of images and one of texts, and how they are applied to embeddings.

use clip_filter_vectors::dot;
use sha2::{Digest, Sha256};

use super::TrainingRecord;
use crate::{
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

/// Two linear maps that bring unit embeddings of one model to a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters {
    pub(super) dim: usize,
    pub(super) image: Linear,
    pub(super) text: Linear,
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
            logit_scale: record.start_logit_scale,
            model: model.into(),
            record,
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

    /// Weight and bias of one side: adapted = normalised(weight · embedding + bias).
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
        if !rows.len().is_multiple_of(self.dim) {
            return Err(
                Error::input("apply adapters to embeddings of another length")
                    .with("dim of the adapters", self.dim)
                    .with("numbers given", rows.len())
                    .hint("use adapters that were fitted on this model's embeddings"),
            );
        }
        let linear = self.linear(side);
        let mut adapted = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(self.dim) {
            let start = adapted.len();
            let weights = linear.weight.chunks_exact(self.dim);
            adapted.extend(
                weights
                    .zip(&linear.bias)
                    .map(|(weight, bias)| dot(weight, row) + bias),
            );
            normalise(&mut adapted[start..]);
        }
        Ok(adapted)
    }

    /// SHA-256 of the artifact's bytes, in hex.
    ///
    /// # Errors
    /// When the artifact cannot be made, as [`Adapters::to_bytes`].
    pub fn fingerprint(&self) -> Result<String> {
        let digest = Sha256::digest(self.to_bytes()?);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn linear(&self, side: Side) -> &Linear {
        match side {
            Side::Image => &self.image,
            Side::Text => &self.text,
        }
    }
}

fn normalise(row: &mut [f32]) {
    let norm = dot(row, row).sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|x| *x /= norm);
    }
}
