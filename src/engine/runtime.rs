//! The model that encode operators share, loaded when the first row needs it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use arrow::array::StringViewArray;
use datafusion::{
    common::Result,
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
};

use super::{Beside, MemoryNeeds, MemoryPlan, into_datafusion};
use crate::{
    config::{ByteSize, Reading},
    encode::{Bond, EncodePool, EncoderFactory, PairBatch, PoolOptions},
    error::Error,
    preprocess::PathPolicy,
    summary::Counters,
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
    /// How picture files are read.
    pub reading: Reading,
    /// Which files a path may name.
    pub paths: PathPolicy,
}

/// A model that is ready to make encoders, and how they run.
pub struct Loaded {
    /// The model.
    pub factory: Arc<dyn EncoderFactory>,
    /// How it runs.
    pub options: EncodeOptions,
    /// What it may hold.
    pub memory: MemoryPlan,
    /// What that was found from.
    pub needs: MemoryNeeds,
}

/// Loads a model; called at most once with success. A limit that is refused is told one with room for what else is given.
pub type LoadModel = Arc<dyn Fn(&Beside) -> crate::error::Result<Loaded> + Send + Sync>;

/// An embedding of one text; none for a text without words.
type TextEmbedding = Option<Arc<[f32]>>;

/// What every execution of the encode operator in one query shares: the model and its worker threads.
pub struct EncodeRuntime {
    model: Arc<Model>,
    /// Given back when the runtime is dropped.
    reservation: Mutex<Option<MemoryReservation>>,
    /// Texts that a query names; there are as many as somebody typed.
    texts: Mutex<HashMap<String, TextEmbedding>>,
}

impl EncodeRuntime {
    /// A runtime whose threads start with the first execution.
    pub fn new(loaded: Loaded, counters: Arc<Counters>) -> Self {
        let never = |_: &Beside| Err(Error::internal("load a model that is loaded"));
        let runtime = Self::lazy(Arc::new(never), counters);
        // The cell was made empty a line above.
        let _ = runtime.model.loaded.set(loaded);
        runtime
    }

    /// A runtime that calls `load` when a query is planned that encodes something, and not before.
    pub fn lazy(load: LoadModel, counters: Arc<Counters>) -> Self {
        Self {
            model: Arc::new(Model {
                load,
                loaded: OnceLock::new(),
                pool: OnceLock::new(),
                starting: Mutex::new(()),
                counters,
            }),
            reservation: Mutex::new(None),
            texts: Mutex::new(HashMap::new()),
        }
    }

    /// The model, if it is loaded.
    pub fn loaded(&self) -> Option<&Loaded> {
        self.model.loaded.get()
    }

    /// Loads the model unless it is loaded, on a thread that may block.
    pub(super) async fn load(&self) -> Result<()> {
        self.load_beside(|_, _| true).await
    }

    /// As [`Self::load`]; a limit that is refused is told one that has room for `beside`, too.
    pub(super) async fn load_beside(
        &self,
        beside: impl Fn(ByteSize, &MemoryPlan) -> bool + Send + Sync + 'static,
    ) -> Result<()> {
        if self.loaded().is_some() {
            return Ok(());
        }
        self.on_blocking_thread(move |model| model.load(&beside).map(|_| ()))
            .await
    }

    /// Starts the threads unless they run, so that no row waits for it; the first execution pays for their memory.
    ///
    /// # Errors
    /// When the model cannot be loaded or the threads cannot be started.
    pub async fn start(&self) -> crate::error::Result<()> {
        let started = self.on_blocking_thread(Model::pool).await;
        started
            .map(|_| ())
            .map_err(|error| super::from_datafusion(error, "start the encoders"))
    }

    /// What the batches that are encoded at one time may hold together.
    pub(super) fn bytes_in_flight(&self) -> usize {
        let batch = self.loaded().map_or(0, |loaded| loaded.memory.batch_bytes);
        usize::try_from(batch)
            .unwrap_or(usize::MAX)
            .saturating_mul(BATCHES_IN_FLIGHT)
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.model.counters
    }

    /// The running threads, charged to the query's memory pool.
    pub(super) async fn pool(&self, context: &TaskContext) -> Result<Arc<EncodePool>> {
        self.load().await?;
        self.charge(context)?;
        if let Some(pool) = self.model.pool.get() {
            return Ok(Arc::clone(pool));
        }
        self.on_blocking_thread(Model::pool).await
    }

    /// The embedding of `text`, none if it has no words; blocks.
    ///
    /// # Errors
    /// When the model cannot be loaded or fails.
    pub fn embed_text(&self, text: &str) -> crate::error::Result<Option<Arc<[f32]>>> {
        self.text_embedding(text)
            .map_err(|error| super::from_datafusion(error, "embed a text"))
    }

    /// The embedding of `text`, from the model the first time and then from memory; blocks.
    ///
    /// The threads start without a charge if no execution has started them; the first execution pays.
    pub(super) fn text_embedding(&self, text: &str) -> Result<TextEmbedding> {
        // Held while the model works, so that two partitions do not encode one text twice.
        let mut texts = lock(&self.texts);
        if let Some(known) = texts.get(text) {
            return Ok(known.clone());
        }
        let embedding = encode_text(&self.model, text).map_err(into_datafusion)?;
        texts.insert(text.to_owned(), embedding.clone());
        Ok(embedding)
    }

    fn charge(&self, context: &TaskContext) -> Result<()> {
        let mut reservation = lock(&self.reservation);
        let (None, Some(loaded)) = (reservation.as_ref(), self.loaded()) else {
            return Ok(());
        };
        let bytes = loaded.memory.encoder_bytes + loaded.memory.decode_bytes;
        let charged = MemoryConsumer::new("ClipEncodeExec").register(context.memory_pool());
        charged.try_grow(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        *reservation = Some(charged);
        Ok(())
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Model) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let model = Arc::clone(&self.model);
        tokio::task::spawn_blocking(move || work(&model))
            .await
            .map_err(|error| into_datafusion(Error::internal("start the encoders").source(error)))?
            .map_err(into_datafusion)
    }
}

impl fmt::Debug for EncodeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.loaded().map(|loaded| &loaded.factory.card().name);
        f.debug_struct("EncodeRuntime")
            .field("model", &name)
            .finish_non_exhaustive()
    }
}

/// The model and its threads; everything here blocks.
struct Model {
    load: LoadModel,
    loaded: OnceLock<Loaded>,
    pool: OnceLock<Arc<EncodePool>>,
    /// Held while one thread loads or starts, so that no other does.
    starting: Mutex<()>,
    counters: Arc<Counters>,
}

impl Model {
    fn load(&self, beside: &Beside) -> crate::error::Result<&Loaded> {
        let _starting = lock(&self.starting);
        self.load_locked(beside)
    }

    fn load_locked(&self, beside: &Beside) -> crate::error::Result<&Loaded> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = (self.load)(beside)?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    fn pool(&self) -> crate::error::Result<Arc<EncodePool>> {
        let _starting = lock(&self.starting);
        if let Some(pool) = self.pool.get() {
            return Ok(Arc::clone(pool));
        }
        let Loaded {
            factory,
            options,
            memory,
            ..
        } = self.load_locked(&|_, _| true)?;
        let options = PoolOptions {
            decode_threads: options.threads,
            encoders: memory.encoders,
            intra_threads: memory.intra_threads,
            batch_rows: options.model_batch_rows,
            max_pixels: options.max_pixels,
            reading: options.reading,
            decode_bytes: memory.decode_bytes,
            paths: options.paths.clone(),
        };
        let pool = EncodePool::start(factory.as_ref(), &options, &self.counters)?;
        Ok(Arc::clone(self.pool.get_or_init(|| Arc::new(pool))))
    }
}

fn encode_text(model: &Model, text: &str) -> crate::error::Result<TextEmbedding> {
    let pool = model.pool()?;
    let batch = PairBatch {
        images: None,
        paths: None,
        captions: Some(StringViewArray::from_iter_values([text])),
        shards: None,
        bond: Bond::Apart,
    };
    // A thread of its own, since an executor refuses to run inside another.
    let encoded = std::thread::scope(|scope| {
        let encode = || futures::executor::block_on(pool.encode(batch));
        scope.spawn(encode).join()
    });
    let encoded =
        encoded.map_err(|_| Error::internal("encode a text: its thread has stopped"))??;
    Ok(encoded.fault(0).is_none().then(|| encoded.texts.into()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
