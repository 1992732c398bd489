//! Worker threads that turn batches of pairs into embeddings.
//!
//! ```text
//!  encode() ──decode queue──► decode threads ──encode queue──► encode threads ──► Assembly ──► encode()
//!             jobs of one      pixels, tokens    model batches   one Encoder each   one per batch
//!             model batch
//! ```
//!
//! Both queues are bounded: the decode queue holds two jobs per thread, so a thread never waits for the
//! caller; the encode queue holds one model batch per encoder, which is the batch that is prefetched. A
//! batch is complete when its last job is, whatever the order, so its content does not depend on threads.
//! Dropping the future of a batch makes its remaining jobs no-ops; dropping the pool joins all threads.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use arrow::array::{Array, BinaryViewArray, StringViewArray, UInt32Array};
use async_channel::Sender;

use super::{
    Effort, Encoder, EncoderFactory, TokenBatch,
    assembly::{Assembly, EncodedBatch},
    captions::CaptionCache,
    decode_worker::DecodeWorker,
    encode_worker::encode_loop,
    gate::{ByteGate, lock},
};
use crate::{
    config::Reading,
    error::{Error, Result},
    preprocess::{ImageKernel, PathPolicy, Preprocessing},
    schema::Side,
    summary::Counters,
};

/// What a fault on one side of a pair means for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bond {
    /// The pair is bad as a whole; the image of a bad caption is not decoded.
    Pair,
    /// Nothing: each side is encoded for itself.
    Apart,
}

/// Pairs to encode, as columns of one length; a side that is absent is not encoded.
#[derive(Debug, Clone)]
pub struct PairBatch {
    /// Encoded image bytes; null where there are none.
    pub images: Option<BinaryViewArray>,
    /// Where an image lies when its bytes are null.
    pub paths: Option<StringViewArray>,
    /// Captions.
    pub captions: Option<StringViewArray>,
    /// Shard of each row, for `paths`; 0 where absent.
    pub shards: Option<UInt32Array>,
    /// What a fault on one side means for the other.
    pub bond: Bond,
}

impl PairBatch {
    /// Rows in the batch.
    pub fn rows(&self) -> usize {
        match (&self.images, &self.captions) {
            (Some(images), _) => images.len(),
            (None, Some(captions)) => captions.len(),
            (None, None) => 0,
        }
    }
}

/// Sizes of a pool.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Threads that decode images and tokenise captions.
    pub decode_threads: usize,
    /// Threads that each own an encoder.
    pub encoders: usize,
    /// Threads within one operator of an encoder.
    pub intra_threads: usize,
    /// Most rows of a model batch.
    pub batch_rows: usize,
    /// Images of more pixels are refused by their declared size.
    pub max_pixels: u64,
    /// How picture files are read.
    pub reading: Reading,
    /// Memory that all decoders together may use at one time; an image that needs more is refused.
    pub decode_bytes: u64,
    /// Which files a path in the image column may name.
    pub paths: PathPolicy,
}

/// The running threads.
pub struct EncodePool {
    queue: Option<Sender<DecodeJob>>,
    threads: Vec<JoinHandle<()>>,
    batch_rows: usize,
    dim: usize,
}

impl EncodePool {
    /// Makes the encoders and starts all threads; blocks while models load.
    ///
    /// # Errors
    /// When an encoder or a thread cannot be made.
    pub fn start(
        factory: &dyn EncoderFactory,
        options: &PoolOptions,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let dim = factory.card().dim;
        let (decode_sender, decode_jobs) = async_channel::bounded(options.decode_threads * 2);
        let (encode_sender, encode_jobs) = async_channel::bounded(options.encoders);
        let shared = Arc::new(Shared {
            preprocessing: Arc::clone(factory.preprocessing()),
            options: options.clone(),
            gate: ByteGate::new(options.decode_bytes),
            known: factory.captions_alone().then(CaptionCache::new),
            image_buffers: Mutex::new(Vec::new()),
            counters: Arc::clone(counters),
        });
        let mut pool = Self {
            queue: Some(decode_sender),
            threads: Vec::new(),
            batch_rows: options.batch_rows,
            dim,
        };
        for (number, encoder) in warm_encoders(factory, options)?.into_iter().enumerate() {
            let (jobs, shared) = (encode_jobs.clone(), Arc::clone(&shared));
            pool.spawn(format!("encode-{number}"), move || {
                encode_loop(encoder, &jobs, &shared)
            })?;
        }
        for number in 0..options.decode_threads {
            let worker = DecodeWorker {
                kernel: ImageKernel::new(&shared.preprocessing, options.max_pixels)
                    .with_reading(options.reading),
                encode_queue: encode_sender.clone(),
                shared: Arc::clone(&shared),
            };
            let jobs = decode_jobs.clone();
            pool.spawn(format!("decode-{number}"), move || worker.run(&jobs))?;
        }
        Ok(pool)
    }

    fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(body)
            .map_err(|error| Error::resources("start a worker thread").source(error))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Encodes one batch; several may be under way, results keep their own order.
    ///
    /// # Errors
    /// When an encoder fails. A bad row is no error: it is in [`EncodedBatch::fault`].
    pub async fn encode(&self, batch: PairBatch) -> Result<EncodedBatch> {
        self.encode_for(batch, &Arc::default()).await
    }

    /// As [`EncodePool::encode`], and adds what is done to `effort`.
    ///
    /// # Errors
    /// As [`EncodePool::encode`].
    pub async fn encode_for(&self, batch: PairBatch, effort: &Arc<Effort>) -> Result<EncodedBatch> {
        let rows = batch.rows();
        if rows == 0 {
            return Ok(EncodedBatch::empty(self.dim));
        }
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let mut work = Vec::new();
        if batch.captions.is_some() {
            work.push(DecodeWork::Captions);
        }
        if batch.images.is_some() {
            work.extend(chunks(rows, self.batch_rows).map(DecodeWork::Images));
        }
        let (assembly, done) = Assembly::start(&batch, self.dim, work.len(), effort);
        let batch = Arc::new(batch);
        for work in work {
            let job = DecodeJob {
                batch: Arc::clone(&batch),
                assembly: Arc::clone(&assembly),
                work,
            };
            queue.send(job).await.map_err(|_| stopped())?;
        }
        drop(assembly);
        done.await.map_err(|_| stopped())?
    }
}

impl Drop for EncodePool {
    fn drop(&mut self) {
        // Closing the queue ends the decode threads; the last of them closes the encode queue.
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic was already reported to the batch it broke.
            let _ = thread.join();
        }
    }
}

/// All encoders, made side by side; each has encoded an image, so that no batch pays for what the first run sets up.
fn warm_encoders(
    factory: &dyn EncoderFactory,
    options: &PoolOptions,
) -> Result<Vec<Box<dyn Encoder>>> {
    let (height, width) = factory.preprocessing().pixels.output_size();
    let grey = vec![127; 3 * height as usize * width as usize];
    let make = || -> Result<Box<dyn Encoder>> {
        let mut encoder = factory.make(options.intra_threads)?;
        encoder.warm_up(&grey)?;
        Ok(encoder)
    };
    std::thread::scope(|scope| {
        let making: Vec<_> = (0..options.encoders).map(|_| scope.spawn(make)).collect();
        let made = making.into_iter().map(|thread| thread.join());
        made.map(|encoder| encoder.map_err(|_| stopped())?)
            .collect()
    })
}

pub(super) fn stopped() -> Error {
    Error::internal("encode a batch: a worker thread has stopped")
}

/// `rows` cut into model batches of equal size, the last one shorter.
fn chunks(rows: usize, batch_rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows)
        .step_by(batch_rows.max(1))
        .map(move |start| start..(start + batch_rows.max(1)).min(rows))
}

/// Rows for a decode thread.
pub(super) struct DecodeJob {
    pub(super) batch: Arc<PairBatch>,
    pub(super) assembly: Arc<Assembly>,
    pub(super) work: DecodeWork,
}

pub(super) enum DecodeWork {
    /// All captions of the batch.
    Captions,
    /// The images of these rows.
    Images(Range<usize>),
}

/// A model batch for an encode thread.
pub(super) struct EncodeJob {
    pub(super) assembly: Arc<Assembly>,
    /// For each row of the model batch the rows of the batch that get its vector: one image belongs to one
    /// row, one caption to all rows that have it.
    pub(super) targets: Vec<Vec<usize>>,
    pub(super) work: EncodeWork,
}

pub(super) enum EncodeWork {
    Images {
        rgb: Vec<u8>,
        image_len: usize,
    },
    Texts {
        tokens: TokenBatch,
        /// The captions, where their vectors are worth remembering.
        captions: Vec<String>,
    },
}

impl EncodeJob {
    pub(super) fn side(&self) -> Side {
        match self.work {
            EncodeWork::Images { .. } => Side::Image,
            EncodeWork::Texts { .. } => Side::Text,
        }
    }

    /// Stores the vectors of `rows` rows of the model batch, from `first` on.
    pub(super) fn put(&self, first: usize, rows: usize, vectors: &[f32]) {
        let targets = &self.targets[first..first + rows];
        match self.side() {
            Side::Image => self.assembly.put_images(targets, vectors),
            Side::Text => self.assembly.put_texts(targets, vectors),
        }
    }
}

/// What all threads of a pool use.
pub(super) struct Shared {
    pub(super) preprocessing: Arc<Preprocessing>,
    pub(super) options: PoolOptions,
    pub(super) gate: ByteGate,
    pub(super) counters: Arc<Counters>,
    /// Captions that were encoded, where their vectors do not depend on the batch.
    pub(super) known: Option<CaptionCache>,
    /// Buffers of resized images between two model batches.
    image_buffers: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    pub(super) fn take_buffer(&self, len: usize) -> Vec<u8> {
        let mut buffer = lock(&self.image_buffers).pop().unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    pub(super) fn return_buffer(&self, buffer: Vec<u8>) {
        lock(&self.image_buffers).push(buffer);
    }
}
