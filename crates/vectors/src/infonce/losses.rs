//! The loss of a batch, and its derivatives in cosines and scale.

use std::sync::Arc;

use ndarray::{Array2, ArrayView1, ArrayViewMut1};

use super::f32_of;

/// Which text belongs to which image of a batch.
#[derive(Debug, Clone)]
pub struct Sought {
    /// Position of the text of each row among the texts.
    own: Vec<usize>,
    /// Equal for rows with the same text.
    ids: Vec<u64>,
    /// Where texts are classes, the logarithm of each one's share of the rows.
    log_shares: Option<Arc<[f32]>>,
}

impl Sought {
    /// Of rows with these classes; `log_shares` has the logarithm of the share of each class.
    pub fn classes(own: &[usize], log_shares: Arc<[f32]>) -> Self {
        Self {
            own: own.to_vec(),
            ids: own.iter().map(|class| *class as u64).collect(),
            log_shares: Some(log_shares),
        }
    }

    /// Of rows with a caption each; equal captions have equal numbers.
    pub fn captions(ids: &[u64]) -> Self {
        Self {
            own: (0..ids.len()).collect(),
            ids: ids.to_vec(),
            log_shares: None,
        }
    }

    /// Whether the text of one row counts for the image of another, or its own: other rows with its text are no negatives.
    fn counts(&self, image: usize, row: usize) -> bool {
        image == row || self.ids[image] != self.ids[row]
    }
}

/// Loss of each row, and the likelihoods that it is made of.
pub(super) struct Losses {
    pub(super) rows: Vec<f32>,
    /// Of each text for each image: rows x texts.
    texts: Array2<f32>,
    /// Of each image for the text of each row: rows x images.
    images: Array2<f32>,
}

/// Derivatives of the mean loss.
pub(super) struct Slopes {
    pub(super) cosines: Array2<f32>,
    pub(super) scale: f32,
}

impl Losses {
    /// Of rows x texts cosines.
    pub(super) fn of(cosines: &Array2<f32>, scale: f32, sought: &Sought) -> Self {
        let count = cosines.nrows();
        let mut images = Array2::from_elem((count, count), f32::NEG_INFINITY);
        for (image, cosines) in cosines.rows().into_iter().enumerate() {
            for (row, own) in sought.own.iter().enumerate() {
                if sought.counts(image, row) {
                    images[[row, image]] = cosines[*own] * scale;
                }
            }
        }
        let mut texts = cosines * scale;
        for (image, mut logits) in texts.rows_mut().into_iter().enumerate() {
            match &sought.log_shares {
                Some(shares) => logits += &ArrayView1::from(&**shares),
                None => {
                    for (row, logit) in logits.iter_mut().enumerate() {
                        if !sought.counts(image, row) {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
        let rows = (0..count).map(|row| {
            let own = texts[[row, sought.own[row]]] + images[[row, row]];
            (softmax(texts.row_mut(row)) + softmax(images.row_mut(row)) - own) * 0.5
        });
        Self {
            rows: rows.collect(),
            texts,
            images,
        }
    }

    pub(super) fn slopes(&self, cosines: &Array2<f32>, scale: f32, sought: &Sought) -> Slopes {
        // Each loss is half of two.
        let half = 0.5 / f32_of(self.rows.len());
        let mut logits = &self.texts * half;
        for (row, (own, likelihoods)) in sought.own.iter().zip(self.images.rows()).enumerate() {
            // Once for its text and once for its image.
            logits[[row, *own]] -= 2.0 * half;
            for (image, likelihood) in likelihoods.iter().enumerate() {
                logits[[image, *own]] += half * likelihood;
            }
        }
        let products = logits.iter().zip(cosines);
        let of_scale: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        logits *= scale;
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        Slopes {
            cosines: logits,
            scale: of_scale as f32,
        }
    }
}

/// Turns logits into likelihoods; the logarithm of the sum of their exponentials.
fn softmax(mut logits: ArrayViewMut1<'_, f32>) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.mapv_inplace(|logit| (logit - most).exp());
    let sum = logits.sum();
    logits /= sum;
    sum.ln() + most
}
