use candle_core::{Result, Tensor};
use candle_nn::loss::cross_entropy;

use super::batch::Sought;

/// Mean loss per row, in nats, differentiable in both arguments.
///
/// # Shape
/// `cosines` is rows x texts, `scale` has one number.
///
/// # Source
/// Classes: softmax cross-entropy. Captions: InfoNCE in both directions (arXiv 2103.00020, figure 3), but other rows
/// with the same caption are no negatives.
pub(super) fn loss(cosines: &Tensor, scale: &Tensor, sought: &Sought) -> Result<Tensor> {
    let logits = cosines.broadcast_mul(scale)?;
    match sought {
        Sought::Classes(classes) => cross_entropy(&logits, classes),
        Sought::Captions { own, mask } => {
            let logits = logits.add(mask)?;
            let of_images = cross_entropy(&logits, own)?;
            let of_texts = cross_entropy(&logits.t()?.contiguous()?, own)?;
            (of_images + of_texts)? * 0.5
        }
    }
}
