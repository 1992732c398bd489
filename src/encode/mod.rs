//! Pixels and tokens to embeddings.
//!
//! An [`Encoder`] is owned by one thread and never shared. `model` describes a model directory, `graph`
//! reads what must be known of an ONNX file before it is loaded, `onnx` is the only file that uses
//! ONNX Runtime, and `mock` encodes without a model.

mod assembly;
#[cfg(feature = "onnx")]
mod batch_rows;
mod bundled;
mod captions;
mod decode_worker;
mod effort;
mod encode_worker;
mod gate;
mod graph;
mod image_file;
mod mock;
#[cfg_attr(
    not(feature = "onnx"),
    expect(dead_code, reason = "only a runtime loads graphs")
)]
mod model;
#[cfg(feature = "onnx")]
mod onnx;
mod pool;
mod ports;

use std::sync::Arc;

use clip_filter_pixels::{Alpha, Corner, Filter, Patches, PixelSpec, Resize};

pub use crate::{preprocess::TokenBatch, summary::ModelCard};
pub use assembly::EncodedBatch;
pub use effort::Effort;
#[cfg(feature = "fuzzing")]
pub(crate) use graph::Graph;
pub use mock::MockFactory;
pub use model::{APART, ModelLayout, ModelSource, ModelSpec, Precision};
#[cfg(feature = "onnx")]
pub use onnx::{Normalise, OnnxFactory, OnnxOptions, load_runtime};
pub use pool::{Bond, EncodePool, PairBatch, PoolOptions};

use crate::error::{Error, Result};

/// Encodes what preprocessing made; one thread owns one.
pub trait Encoder: Send {
    /// L2-normalised image embeddings of `rows` images.
    ///
    /// # Shape
    /// `rgb`: `rows` x height x width x 3 bytes, as [`crate::preprocess::ImageKernel`] makes them; they are normalised
    /// where the model runs. Result: `rows` x [`ModelCard::dim`].
    ///
    /// # Errors
    /// When the runtime fails, or an output has another shape or is not finite; of kind
    /// [`ErrorKind::Resources`](crate::error::ErrorKind::Resources) when memory is too small for so many rows.
    fn encode_images(&mut self, rgb: &[u8], rows: usize) -> Result<Vec<f32>>;

    /// L2-normalised text embeddings of `tokens.rows` captions.
    ///
    /// # Shape
    /// Result: `tokens.rows` x [`ModelCard::dim`].
    ///
    /// # Errors
    /// As [`Encoder::encode_images`].
    fn encode_texts(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>>;

    /// Does once what a first run needs time for; `rgb` is one image.
    ///
    /// # Errors
    /// As [`Encoder::encode_images`].
    fn warm_up(&mut self, rgb: &[u8]) -> Result<()> {
        let _ = rgb;
        Ok(())
    }
}

/// Where encoders come from, asked only when something must be encoded.
pub trait EncoderSource: Send + Sync {
    /// Name, fingerprint and precision, without loading the model; `None` if a store may say which it was.
    ///
    /// # Errors
    /// When its files cannot be read.
    fn identity(&self) -> Result<Option<ModelCard>>;

    /// Loads the model; `stored` is the one that an existing store was made with.
    ///
    /// # Errors
    /// When it, or ONNX Runtime, cannot be loaded.
    fn load(&self, stored: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>>;
}

/// Makes one [`Encoder`] per worker thread; cheap to share, holds at most the encoder that checked the model.
pub trait EncoderFactory: Send + Sync {
    /// What is loaded.
    fn card(&self) -> &ModelCard;

    /// How pixels and tokens are made for this model.
    fn preprocessing(&self) -> &Arc<crate::preprocess::Preprocessing>;

    /// Bytes that one encoder holds while it lives: weights and working memory.
    fn encoder_bytes(&self) -> u64;

    /// Sizes that suit the device.
    fn sizes(&self) -> EncoderSizes;

    /// True when the vector of a caption is the same to the last bit whatever captions are encoded beside it.
    fn captions_alone(&self) -> bool;

    /// A new encoder that uses `intra_threads` threads per operator.
    ///
    /// # Errors
    /// When the session cannot be made.
    fn make(&self, intra_threads: usize) -> Result<Box<dyn Encoder>>;
}

/// Sizes that suit where encoders run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSizes {
    /// Rows of a model batch, unless somebody says another number.
    pub batch_rows: usize,
    /// Most encoders that do any good.
    pub most_encoders: usize,
}

/// How pixels are made, in one line for [`ModelCard::preprocessing`].
pub(crate) fn describe_pixels(spec: &PixelSpec) -> String {
    let filter = match spec.filter {
        Filter::Nearest => "nearest",
        Filter::Box => "box",
        Filter::Bilinear => "bilinear",
        Filter::Hamming => "hamming",
        Filter::Bicubic => "bicubic",
        Filter::Lanczos => "lanczos",
    };
    let mut steps = Vec::new();
    if spec.alpha == Alpha::OverWhite {
        steps.push("over white".to_owned());
    }
    match spec.resize {
        Some(Resize::ShortestEdge(edge)) => steps.push(format!("shortest edge {edge} {filter}")),
        Some(Resize::Exact { height, width }) => {
            steps.push(format!("resize {height}x{width} {filter}"))
        }
        Some(Resize::Patches(Patches { edge, most })) => steps.push(format!(
            "aspect ratio kept, at most {most} patches of {edge}x{edge} {filter}"
        )),
        None => {}
    }
    if let Some((height, width)) = spec.crop {
        let corner = match spec.corner {
            Corner::Floor => "",
            Corner::HalfToEven => " rounded",
        };
        steps.push(format!("centre crop {height}x{width}{corner}"));
    }
    steps.push(format!(
        "scale {} mean {:?} std {:?}",
        spec.rescale, spec.mean, spec.std
    ));
    steps.join(", ")
}

/// Scales every row of `vectors` to length one.
///
/// # Errors
/// When a row is zero or not finite; the error names the row within the model batch.
pub(crate) fn normalise_rows(vectors: &mut [f32], dim: usize) -> Result<()> {
    for (row, vector) in vectors.chunks_exact_mut(dim).enumerate() {
        let length = vector
            .iter()
            .map(|value| f64::from(*value) * f64::from(*value))
            .sum::<f64>()
            .sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(
                Error::model("normalise an embedding that is zero or not finite")
                    .with("row of the model batch", row),
            );
        }
        for value in vector {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the quotient is in [-1, 1]"
            )]
            {
                *value = (f64::from(*value) / length) as f32;
            }
        }
    }
    Ok(())
}
