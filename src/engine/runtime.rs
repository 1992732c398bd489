use std::{fmt, sync::Arc};

use datafusion::{
    common::Result,
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
};
use tokio::sync::OnceCell;

use super::{MemoryPlan, into_datafusion};
use crate::{
    encode::{EncodePool, EncoderFactory, PoolOptions},
    error::Error,
    preprocess::PathPolicy,
    report::Counters,
};

/// Arrow batches that the encode operator works on at one time: one finishing, one in work, one starting.
pub(super) const BATCHES_IN_FLIGHT: usize = 3;

/// How the encode operator runs.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// Threads that decode.
    pub threads: usize,
    /// Most rows of a model batch.
    pub model_batch_rows: usize,
    /// Images of more pixels are refused.
    pub max_pixels: u64,
    /// Which files a path may name.
    pub paths: PathPolicy,
}

/// What every execution of the encode operator in one query shares: the model and its worker threads.
pub struct EncodeRuntime {
    factory: Arc<dyn EncoderFactory>,
    options: EncodeOptions,
    memory: MemoryPlan,
    counters: Arc<Counters>,
    started: OnceCell<Started>,
}

struct Started {
    pool: Arc<EncodePool>,
    /// Given back when the runtime is dropped.
    _reservation: MemoryReservation,
}

impl EncodeRuntime {
    /// A runtime whose threads start with the first execution.
    pub fn new(
        factory: Arc<dyn EncoderFactory>,
        options: EncodeOptions,
        memory: MemoryPlan,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            factory,
            options,
            memory,
            counters,
            started: OnceCell::new(),
        }
    }

    /// The model, for plans and metadata.
    pub fn factory(&self) -> &dyn EncoderFactory {
        self.factory.as_ref()
    }

    /// Rows of a model batch, for plans.
    pub(super) fn model_batch_rows(&self) -> usize {
        self.options.model_batch_rows
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The running threads, charged to the query's memory pool.
    pub(super) async fn pool(&self, context: &TaskContext) -> Result<Arc<EncodePool>> {
        let started = self.started.get_or_try_init(|| self.start(context)).await?;
        Ok(Arc::clone(&started.pool))
    }

    async fn start(&self, context: &TaskContext) -> Result<Started> {
        let reservation = MemoryConsumer::new("ClipEncodeExec").register(context.memory_pool());
        let bytes = self.memory.encoder_bytes + self.memory.decode_bytes;
        reservation.try_grow(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        let options = PoolOptions {
            decode_threads: self.options.threads,
            encoders: self.memory.encoders,
            intra_threads: self.memory.intra_threads,
            batch_rows: self.options.model_batch_rows,
            max_pixels: self.options.max_pixels,
            decode_bytes: self.memory.decode_bytes,
            paths: self.options.paths.clone(),
        };
        let (factory, counters) = (Arc::clone(&self.factory), Arc::clone(&self.counters));
        let started = tokio::task::spawn_blocking(move || {
            EncodePool::start(factory.as_ref(), &options, &counters)
        });
        let pool = started
            .await
            .map_err(|error| into_datafusion(Error::internal("start the encoders").source(error)))?
            .map_err(into_datafusion)?;
        Ok(Started {
            pool: Arc::new(pool),
            _reservation: reservation,
        })
    }
}

impl fmt::Debug for EncodeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodeRuntime")
            .field("model", &self.factory.card().name)
            .finish_non_exhaustive()
    }
}
