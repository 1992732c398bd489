//! Maps of images and texts trained by gradient descent on InfoNCE.
//!
//! # Source
//! InfoNCE in both directions (arXiv 2103.00020, figure 3), but rows with the same text are no negatives. Where texts
//! are classes all of them are negatives, each weighted by its share of the rows (logit adjustment, arXiv 2007.07314),
//! so that nothing is gained by learning which classes are frequent. Steps are AdamW's (arXiv 1711.05101).

mod adam;
mod losses;
mod residual;
#[cfg(test)]
mod tests;

use ndarray::{Array2, ArrayView2};

use crate::rows::Rows;
use adam::{Adam, Moments};
use losses::Losses;
pub use losses::Sought;
use residual::{Residual, Units};

/// The scale of logits stays below it, as in CLIP (arXiv 2103.00020, section 2.5).
pub const MOST_LOGIT_SCALE: f32 = 100.0;
/// Below it a softmax over cosines says nothing.
const LEAST_LOGIT_SCALE: f32 = 1.0;

/// Pairs of one step.
#[derive(Debug, Clone)]
pub struct PairBatch<'a> {
    /// Unit embeddings.
    pub images: Rows<'a>,
    /// Unit embeddings of the classes, or of the caption of each row.
    pub texts: Rows<'a>,
    /// Which text belongs to which image.
    pub sought: Sought,
}

impl PairBatch<'_> {
    /// Loss of each row at some scales of logits, the embeddings as they are, in nats: scales x rows.
    ///
    /// # Panics
    /// As [`Corrections::row_losses`].
    pub fn plain_losses(&self, scales: &[f32]) -> Vec<Vec<f32>> {
        let cosines = view(self.images).dot(&view(self.texts).t());
        let at = |scale: &f32| Losses::of(&cosines, *scale, &self.sought).rows;
        scales.iter().map(at).collect()
    }
}

/// How to go downhill.
#[derive(Debug, Clone, Copy)]
pub struct Descent {
    /// Learning rate of the weights.
    pub learning_rate: f32,
    /// Pull of the maps towards the identity.
    pub weight_decay: f32,
    /// Whether texts stay as they are.
    pub lock_text: bool,
}

/// What is trained: for each side a map that is added to the identity, and the scale of logits.
#[derive(Debug, Clone)]
pub struct Corrections {
    image: Residual,
    text: Option<Residual>,
    /// Its logarithm, so that a step changes it by a ratio.
    log_scale: f32,
    scale_moments: Moments,
    descent: Descent,
    steps: i32,
}

/// A map as it is applied: x to `weight` x + `bias`, at unit length.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// dim x dim, row after row, one row per output.
    pub weight: Vec<f32>,
    /// One number per output.
    pub bias: Vec<f32>,
}

/// What a batch comes to with the maps as they are.
struct Forward {
    images: Units,
    texts: Option<Units>,
    cosines: Array2<f32>,
    losses: Losses,
}

impl Corrections {
    /// None yet, at this scale of logits.
    pub fn none(dim: usize, logit_scale: f32, descent: Descent) -> Self {
        Self {
            image: Residual::zero(dim),
            text: (!descent.lock_text).then(|| Residual::zero(dim)),
            log_scale: logit_scale.max(LEAST_LOGIT_SCALE).ln(),
            scale_moments: Moments::default(),
            descent,
            steps: 0,
        }
    }

    fn forward(&self, batch: &PairBatch<'_>) -> Forward {
        let images = self.image.adapted(view(batch.images));
        let texts = self.text.as_ref();
        let texts = texts.map(|text| text.adapted(view(batch.texts)));
        let cosines = match &texts {
            Some(texts) => images.rows.dot(&texts.rows.t()),
            None => images.rows.dot(&view(batch.texts).t()),
        };
        let losses = Losses::of(&cosines, self.log_scale.exp(), &batch.sought);
        Forward {
            images,
            texts,
            cosines,
            losses,
        }
    }

    /// Loss of each row in nats: the mean of finding its text among the texts, and of finding its image among those of the
    /// batch that have another text.
    ///
    /// # Panics
    /// If widths differ, or a row's text is not among the texts.
    pub fn row_losses(&self, batch: &PairBatch<'_>) -> Vec<f32> {
        self.forward(batch).losses.rows
    }

    /// One step downhill; the mean loss per row before it.
    ///
    /// # Panics
    /// As [`Corrections::row_losses`].
    pub fn step(&mut self, batch: &PairBatch<'_>) -> f32 {
        let forward = self.forward(batch);
        let slopes = forward
            .losses
            .slopes(&forward.cosines, self.log_scale.exp(), &batch.sought);
        self.steps += 1;
        let adam = Adam::at(self.steps, self.descent);
        let of_images = match &forward.texts {
            Some(texts) => slopes.cosines.dot(&texts.rows),
            None => slopes.cosines.dot(&view(batch.texts)),
        };
        if let (Some(text), Some(units)) = (&mut self.text, &forward.texts) {
            let of_texts = slopes.cosines.t().dot(&forward.images.rows);
            let slopes = text.slopes(view(batch.texts), units, of_texts);
            text.step(&slopes, &adam);
        }
        let images = view(batch.images);
        let of_map = self.image.slopes(images, &forward.images, of_images);
        self.image.step(&of_map, &adam);
        // The derivative in the logarithm; nothing pulls the scale.
        let of_scale = slopes.scale * self.log_scale.exp();
        let scale = std::iter::once((&mut self.log_scale, &of_scale));
        adam.without_decay().step(&mut self.scale_moments, scale);
        self.log_scale = self
            .log_scale
            .clamp(LEAST_LOGIT_SCALE.ln(), MOST_LOGIT_SCALE.ln());
        let rows = &forward.losses.rows;
        rows.iter().sum::<f32>() / f32_of(rows.len())
    }

    /// The factor between cosines and logits.
    pub fn logit_scale(&self) -> f32 {
        self.log_scale.exp()
    }

    /// The map of images.
    pub fn image(&self) -> Trained {
        self.image.trained()
    }

    /// The map of texts, unless they stay as they are.
    pub fn text(&self) -> Option<Trained> {
        self.text.as_ref().map(Residual::trained)
    }
}

fn view(rows: Rows<'_>) -> ArrayView2<'_, f32> {
    match ArrayView2::from_shape((rows.len(), rows.dim()), rows.values()) {
        Ok(view) => view,
        Err(_) => unreachable!("whole rows"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a batch has few rows")]
fn f32_of(rows: usize) -> f32 {
    rows as f32
}
