//! From a model and limits to how its encoders run.

use std::{path::PathBuf, sync::Arc};

use super::RunContext;
use crate::{
    config::{ByteSize, Reading},
    encode::{EncoderFactory, EncoderSource},
    engine::{
        Beside, EncodeOptions, LEAST_PAGE_BYTES, Loaded, MemoryNeeds, MemoryPlan, Purpose,
        WholePage,
    },
    error::{Error, Result},
    options::ScoreOptions,
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

/// What a run reads that cannot be read in parts.
pub(in crate::pipeline) struct PagesRead<'a> {
    /// Columns that are read while rows are encoded.
    pub(in crate::pipeline) columns: Vec<usize>,
    /// What is read when nothing is encoded any more.
    pub(in crate::pipeline) written: Option<&'a WholePage>,
}

impl PagesRead<'static> {
    /// Images and captions.
    pub(in crate::pipeline) fn of_pairs(shards: &BoundShards) -> Self {
        let binding = &shards.binding;
        let pair = [&binding.image, &binding.text].map(|name| shards.set.schema.index_of(name));
        Self {
            columns: pair.into_iter().flatten().collect(),
            written: None,
        }
    }

    /// Every column.
    pub(in crate::pipeline) fn of_all(shards: &BoundShards) -> Self {
        Self {
            columns: (0..shards.set.schema.fields().len()).collect(),
            written: None,
        }
    }
}

/// A model that encodes the pairs of `shards`.
///
/// # Errors
/// When the memory limit is too small. The one that is named has room for the model and for `pages`.
pub(in crate::pipeline) fn loaded(
    options: &ScoreOptions,
    shards: &BoundShards,
    factory: Arc<dyn EncoderFactory>,
    pages: PagesRead<'_>,
) -> Result<Loaded> {
    let encoding = EncodeLimits {
        memory_limit: options.memory_limit,
        threads: options.threads,
        model_batch_rows: options.model_batch_rows,
        max_pixels: options.max_pixels,
        reading: options.reading,
        allow_external_paths: options.allow_external_paths,
        purpose: Purpose::Run,
    };
    let needs = encoding.needs(factory.as_ref());
    let divided = MemoryPlan::divided(&needs);
    let room = divided.map_or(LEAST_PAGE_BYTES, |plan| plan.page_bytes);
    let encoded = WholePage::over(room, &shards.set, &pages.columns)?;
    let encoded_bytes = encoded.as_ref().map_or(0, |page| page.bytes);
    let written_bytes = pages.written.map_or(0, |page| page.bytes);
    let fits = move |limit: ByteSize, plan: &MemoryPlan| {
        plan.page_bytes >= encoded_bytes
            && MemoryPlan::without_model(limit).page_bytes >= written_bytes
    };
    let loaded = encoding.loaded(factory, shards.set.directories(), &fits)?;
    if fits(options.memory_limit, &loaded.memory) {
        return Ok(loaded);
    }
    let page = match loaded.memory.page_bytes < encoded_bytes {
        true => encoded.as_ref(),
        false => pages.written,
    };
    let refused = page.map(|page| {
        page.refused(options.memory_limit, |limit| {
            let divided = MemoryPlan::divided(&MemoryNeeds { limit, ..needs });
            divided.is_some_and(|plan| fits(limit, &plan))
        })
    });
    refused.map_or(Ok(loaded), Err)
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
    pub(in crate::pipeline) allow_external_paths: bool,
    pub(in crate::pipeline) purpose: Purpose,
}

impl EncodeLimits {
    /// Divides the memory between the encoders of `factory` and the rest.
    ///
    /// # Errors
    /// When not even one encoder fits. The limit that is named has room for `beside`, too.
    pub(in crate::pipeline) fn loaded(
        &self,
        factory: Arc<dyn EncoderFactory>,
        directories: Vec<Option<PathBuf>>,
        beside: &Beside,
    ) -> Result<Loaded> {
        let needs = self.needs(factory.as_ref());
        let memory = MemoryPlan::divide(&needs, beside)?;
        let options = EncodeOptions {
            threads: self.threads,
            model_batch_rows: needs.model_batch_rows,
            max_pixels: self.max_pixels,
            reading: self.reading,
            paths: PathPolicy {
                directories,
                allow_external: self.allow_external_paths,
                max_bytes: largest_file(self.max_pixels),
            },
        };
        Ok(Loaded {
            factory,
            options,
            memory,
            needs,
        })
    }

    fn needs(&self, factory: &dyn EncoderFactory) -> MemoryNeeds {
        let sizes = factory.sizes();
        let (height, width) = factory.preprocessing().pixels.output_size();
        MemoryNeeds {
            limit: self.memory_limit,
            threads: self.threads,
            most_encoders: sizes.most_encoders,
            encoder_bytes: factory.encoder_bytes(),
            model_batch_rows: self.model_batch_rows.unwrap_or(sizes.batch_rows),
            image_bytes: 3 * u64::from(height) * u64::from(width),
            purpose: self.purpose,
        }
    }
}
