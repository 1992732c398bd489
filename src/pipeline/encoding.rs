//! From a loaded model and limits to how its encoders run.

use std::sync::Arc;

use crate::{
    config::ByteSize,
    encode::EncoderFactory,
    engine::{EncodeOptions, Loaded, MemoryNeeds, MemoryPlan},
    error::Result,
    preprocess::PathPolicy,
};

/// What encoders may use.
#[derive(Debug, Clone)]
pub(super) struct Encoding {
    pub(super) memory_limit: ByteSize,
    pub(super) threads: usize,
    /// As suits the device if `None`.
    pub(super) model_batch_rows: Option<usize>,
    pub(super) max_pixels: u64,
}

impl Encoding {
    /// Divides the memory between the encoders of `factory` and the rest.
    ///
    /// # Errors
    /// When not even one encoder fits.
    pub(super) fn loaded(
        &self,
        factory: Arc<dyn EncoderFactory>,
        paths: impl FnOnce(&MemoryPlan) -> PathPolicy,
    ) -> Result<Loaded> {
        let sizes = factory.sizes();
        let model_batch_rows = self.model_batch_rows.unwrap_or(sizes.batch_rows);
        let (height, width) = factory.preprocessing().pixels.output_size();
        let memory = MemoryPlan::divide(&MemoryNeeds {
            limit: self.memory_limit,
            threads: self.threads,
            most_encoders: sizes.most_encoders,
            encoder_bytes: factory.encoder_bytes(),
            model_batch_rows,
            image_bytes: 3 * u64::from(height) * u64::from(width),
        })?;
        let options = EncodeOptions {
            threads: self.threads,
            model_batch_rows,
            max_pixels: self.max_pixels,
            paths: paths(&memory),
        };
        Ok(Loaded {
            factory,
            options,
            memory,
        })
    }
}
