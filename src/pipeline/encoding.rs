//! From a loaded model and limits to how its encoders run.

use std::sync::Arc;

use crate::{
    config::{ByteSize, Device},
    encode::EncoderFactory,
    engine::{EncodeOptions, Loaded, MemoryNeeds, MemoryPlan},
    error::Result,
    preprocess::PathPolicy,
};

/// Pairs per model call on a CPU, where more only leaves the caches, and on a GPU.
const CPU_BATCH: usize = 8;
const GPU_BATCH: usize = 128;

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
        let cpu = Device::Cpu.to_string();
        let on_cpu = ["mock", &cpu].contains(&factory.card().device.as_str());
        let (batch, max_encoders) = if on_cpu {
            (CPU_BATCH, usize::MAX)
        } else {
            (GPU_BATCH, 1)
        };
        let model_batch_rows = self.model_batch_rows.unwrap_or(batch);
        let (height, width) = factory.preprocessing().pixels.output_size();
        let memory = MemoryPlan::divide(&MemoryNeeds {
            limit: self.memory_limit,
            threads: self.threads,
            max_encoders,
            encoder_bytes: factory.encoder_bytes(),
            model_batch_rows,
            pixel_bytes: 3 * 4 * u64::from(height) * u64::from(width),
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
