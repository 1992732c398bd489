//! From a model and limits to how its encoders run.

use std::sync::Arc;

use super::{RunContext, ScoreOptions};
use crate::{
    config::{ByteSize, Reading},
    encode::{EncoderFactory, EncoderSource},
    engine::{EncodeOptions, Loaded, MemoryNeeds, MemoryPlan, Purpose, check_pages},
    error::{Error, Result},
    preprocess::{PathPolicy, largest_file},
    source::BoundShards,
    summary::{ModelCard, Pass},
};

/// Loads the model; `stored` is the one that a store was made with.
pub(in crate::pipeline) fn load(
    context: &RunContext,
    stored: Option<&ModelCard>,
) -> Result<Arc<dyn EncoderFactory>> {
    let _loading = context.counters.pass(Pass::Load);
    context.model.load(stored)
}

/// The model that a store was made with, to embed what is `wanted` beside its rows.
///
/// # Errors
/// When it cannot be loaded, or is another one; both fingerprints are named.
pub(in crate::pipeline) fn load_of_store(
    model: &dyn EncoderSource,
    stored: &ModelCard,
    wanted: &str,
) -> Result<Arc<dyn EncoderFactory>> {
    let factory = model.load(Some(stored))?;
    if factory.card().fingerprint == stored.fingerprint {
        return Ok(factory);
    }
    Err(Error::input(format!(
        "embed {wanted} for this store: it was made with another model"
    ))
    .with("the store has", &stored.fingerprint)
    .with("the model has", &factory.card().fingerprint)
    .hint("leave --model out: the store knows its model"))
}

/// A model that encodes the pairs of `shards`.
pub(in crate::pipeline) fn loaded(
    options: &ScoreOptions,
    shards: &BoundShards,
    factory: Arc<dyn EncoderFactory>,
) -> Result<Loaded> {
    let encoding = EncodeLimits {
        memory_limit: options.memory_limit,
        threads: options.threads,
        model_batch_rows: options.model_batch_rows,
        max_pixels: options.max_pixels,
        reading: options.reading,
        purpose: Purpose::Run,
    };
    let paths = PathPolicy {
        directories: shards.set.directories(),
        allow_external: options.allow_external_paths,
        max_bytes: largest_file(options.max_pixels),
    };
    let loaded = encoding.loaded(factory, paths)?;
    let binding = &shards.binding;
    let pair = [&binding.image, &binding.text].map(|name| shards.set.schema.index_of(name));
    let pair: Vec<usize> = pair.into_iter().flatten().collect();
    check_pages(&shards.set, &pair, &loaded.memory, options.memory_limit)?;
    Ok(loaded)
}

/// What encoders may use.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct EncodeLimits {
    pub(in crate::pipeline) memory_limit: ByteSize,
    pub(in crate::pipeline) threads: usize,
    /// As suits the device if `None`.
    pub(in crate::pipeline) model_batch_rows: Option<usize>,
    pub(in crate::pipeline) max_pixels: u64,
    pub(in crate::pipeline) reading: Reading,
    pub(in crate::pipeline) purpose: Purpose,
}

impl EncodeLimits {
    /// Divides the memory between the encoders of `factory` and the rest.
    ///
    /// # Errors
    /// When not even one encoder fits.
    pub(in crate::pipeline) fn loaded(
        &self,
        factory: Arc<dyn EncoderFactory>,
        paths: PathPolicy,
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
            purpose: self.purpose,
        })?;
        let options = EncodeOptions {
            threads: self.threads,
            model_batch_rows,
            max_pixels: self.max_pixels,
            reading: self.reading,
            paths,
        };
        Ok(Loaded {
            factory,
            options,
            memory,
        })
    }
}
