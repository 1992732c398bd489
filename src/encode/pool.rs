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
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use arrow::array::{Array, BinaryViewArray, StringViewArray, UInt32Array};
use async_channel::{Receiver, Sender};

use super::{
    Encoder, EncoderFactory, TokenBatch,
    assembly::{Assembly, EncodedBatch},
};
use crate::{
    error::{Error, Result},
    preprocess::{ImageKernel, PathPolicy, Preprocessing, RowFault},
    report::{Counters, Stage},
    schema::Status,
};

/// Pairs to encode, as columns of one length.
#[derive(Debug, Clone)]
pub struct PairBatch {
    /// Encoded image bytes; null where there are none.
    pub images: BinaryViewArray,
    /// Where an image lies when its bytes are null.
    pub paths: Option<StringViewArray>,
    /// Captions.
    pub captions: StringViewArray,
    /// Shard of each row, for `paths`; 0 where absent.
    pub shards: Option<UInt32Array>,
}

impl PairBatch {
    /// Rows in the batch.
    pub fn rows(&self) -> usize {
        self.images.len()
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
            pixel_buffers: Mutex::new(Vec::new()),
            counters: Arc::clone(counters),
        });
        let mut pool = Self { queue: Some(decode_sender), threads: Vec::new(), batch_rows: options.batch_rows, dim };
        for number in 0..options.encoders {
            let encoder = factory.make(options.intra_threads)?;
            let (jobs, shared) = (encode_jobs.clone(), Arc::clone(&shared));
            pool.spawn(format!("encode-{number}"), move || encode_loop(encoder, &jobs, &shared))?;
        }
        for number in 0..options.decode_threads {
            let worker = DecodeWorker {
                kernel: ImageKernel::new(shared.preprocessing.pixels.clone(), options.max_pixels),
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
    /// When an encoder fails. A bad row is no error: it is in [`EncodedBatch::faults`].
    pub async fn encode(&self, batch: PairBatch) -> Result<EncodedBatch> {
        let rows = batch.rows();
        if rows == 0 {
            return Ok(EncodedBatch::empty(self.dim));
        }
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let chunks = chunks(rows, self.batch_rows);
        // One more job for the captions.
        let (assembly, done) = Assembly::start(rows, self.dim, chunks.len() + 1);
        let batch = Arc::new(batch);
        let work = std::iter::once(DecodeWork::Captions).chain(chunks.into_iter().map(DecodeWork::Images));
        for work in work {
            let job = DecodeJob { batch: Arc::clone(&batch), assembly: Arc::clone(&assembly), work };
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

fn stopped() -> Error {
    Error::internal("encode a batch: a worker thread has stopped")
}

/// `rows` cut into model batches of equal size, the last one shorter.
fn chunks(rows: usize, batch_rows: usize) -> Vec<Range<usize>> {
    (0..rows).step_by(batch_rows.max(1)).map(|start| start..(start + batch_rows.max(1)).min(rows)).collect()
}

struct DecodeJob {
    batch: Arc<PairBatch>,
    assembly: Arc<Assembly>,
    work: DecodeWork,
}

enum DecodeWork {
    Captions,
    Images(Range<usize>),
}

struct EncodeJob {
    assembly: Arc<Assembly>,
    /// For images: their rows. For texts: for each, the rows that have this caption.
    targets: Vec<Vec<usize>>,
    work: EncodeWork,
}

enum EncodeWork {
    Images(Vec<f32>),
    Texts(TokenBatch),
}

struct Shared {
    preprocessing: Arc<Preprocessing>,
    options: PoolOptions,
    gate: ByteGate,
    pixel_buffers: Mutex<Vec<Vec<f32>>>,
    counters: Arc<Counters>,
}

impl Shared {
    fn take_buffer(&self, len: usize) -> Vec<f32> {
        let mut buffer = lock(&self.pixel_buffers).pop().unwrap_or_default();
        buffer.resize(len, 0.0);
        buffer
    }

    fn return_buffer(&self, buffer: Vec<f32>) {
        lock(&self.pixel_buffers).push(buffer);
    }
}

struct DecodeWorker {
    kernel: ImageKernel,
    encode_queue: Sender<EncodeJob>,
    shared: Arc<Shared>,
}

impl DecodeWorker {
    fn run(mut self, jobs: &Receiver<DecodeJob>) {
        while let Ok(job) = jobs.recv_blocking() {
            if job.assembly.is_abandoned() {
                continue;
            }
            let start = Instant::now();
            let ready = match &job.work {
                DecodeWork::Captions => self.tokenize(&job),
                DecodeWork::Images(rows) => Ok(self.decode(&job, rows.clone())),
            };
            self.shared.counters.add_busy(Stage::Decode, start.elapsed());
            match ready {
                Err(error) => job.assembly.fail(error),
                Ok(ready) => self.pass_on(&job.assembly, ready),
            }
        }
    }

    /// Sends what is to be encoded; the job is done when all of it is.
    fn pass_on(&self, assembly: &Arc<Assembly>, ready: Vec<(Vec<Vec<usize>>, EncodeWork)>) {
        assembly.add_jobs(ready.len());
        for (targets, work) in ready {
            let job = EncodeJob { assembly: Arc::clone(assembly), targets, work };
            if self.encode_queue.send_blocking(job).is_err() {
                assembly.fail(stopped());
            }
        }
        assembly.finish_job();
    }

    fn decode(&mut self, job: &DecodeJob, rows: Range<usize>) -> Vec<(Vec<Vec<usize>>, EncodeWork)> {
        let image_len = self.kernel.output_len();
        let mut pixels = self.shared.take_buffer(rows.len() * image_len);
        let mut good = Vec::with_capacity(rows.len());
        for row in rows {
            let slot = &mut pixels[good.len() * image_len..][..image_len];
            match self.decode_row(&job.batch, row, slot) {
                Ok(size) => {
                    job.assembly.set_size(row, size);
                    good.push(vec![row]);
                }
                Err((fault, size)) => {
                    job.assembly.set_size(row, size.unwrap_or((0, 0)));
                    job.assembly.set_fault(row, fault);
                }
            }
        }
        if good.is_empty() {
            self.shared.return_buffer(pixels);
            return Vec::new();
        }
        pixels.truncate(good.len() * image_len);
        vec![(good, EncodeWork::Images(pixels))]
    }

    /// Width and height on success; on failure the fault and, where the header was readable, the size.
    fn decode_row(
        &mut self,
        batch: &PairBatch,
        row: usize,
        slot: &mut [f32],
    ) -> Result<(u32, u32), (RowFault, Option<(u32, u32)>)> {
        let loaded;
        let bytes = if batch.images.is_valid(row) {
            batch.images.value(row)
        } else {
            loaded = load_path(batch, row, &self.shared.options.paths).map_err(|fault| (fault, None))?;
            &loaded
        };
        let facts = self.kernel.probe(bytes).map_err(|fault| (fault, None))?;
        let size = (facts.width, facts.height);
        if let Some(fault) = caption_fault(&batch.captions, row) {
            return Err((fault, Some(size)));
        }
        let needed = facts.working_bytes();
        let Some(_permit) = self.shared.gate.acquire(needed) else {
            let reason = format!(
                "decoding {}x{} needs {needed} bytes, over the {} that the memory limit leaves for images",
                facts.width, facts.height, self.shared.options.decode_bytes
            );
            return Err((RowFault::new(Status::TooManyPixels, reason), Some(size)));
        };
        self.shared.counters.images_decoded.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.kernel.run(bytes, slot).map_err(|fault| (fault, Some(size)))?;
        Ok(size)
    }

    fn tokenize(&self, job: &DecodeJob) -> Result<Vec<(Vec<Vec<usize>>, EncodeWork)>> {
        let (captions, rows) = distinct_captions(&job.batch.captions);
        let tokens = &self.shared.preprocessing.tokens;
        let ids = tokens.encode(&captions)?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        // Captions of one length share a model batch, so that little of it is padding.
        order.sort_by_key(|&caption| ids[caption].len());
        let counted = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        self.shared.counters.captions_encoded.fetch_add(counted, std::sync::atomic::Ordering::Relaxed);
        let chunks = order.chunks(self.shared.options.batch_rows.max(1));
        Ok(chunks
            .map(|chunk| {
                let members: Vec<&[i64]> = chunk.iter().map(|&caption| ids[caption].as_slice()).collect();
                let targets = chunk.iter().map(|&caption| rows[caption].clone()).collect();
                (targets, EncodeWork::Texts(tokens.batch(&members)))
            })
            .collect())
    }
}

fn load_path(batch: &PairBatch, row: usize, policy: &PathPolicy) -> Result<Vec<u8>, RowFault> {
    match batch.paths.as_ref().filter(|paths| paths.is_valid(row)) {
        None => Err(RowFault::new(Status::NullImage, "the image is null")),
        Some(paths) => {
            let shard = batch.shards.as_ref().map_or(0, |shards| shards.value(row));
            policy.read(shard, paths.value(row))
        }
    }
}

fn caption_fault(captions: &StringViewArray, row: usize) -> Option<RowFault> {
    if captions.is_null(row) {
        Some(RowFault::new(Status::NullCaption, "the caption is null"))
    } else if captions.value(row).trim().is_empty() {
        Some(RowFault::new(Status::EmptyCaption, "the caption is empty"))
    } else {
        None
    }
}

/// The different captions that can be encoded, and the rows of each.
fn distinct_captions(captions: &StringViewArray) -> (Vec<&str>, Vec<Vec<usize>>) {
    let mut position = std::collections::HashMap::new();
    let (mut texts, mut rows) = (Vec::new(), Vec::<Vec<usize>>::new());
    for row in (0..captions.len()).filter(|&row| caption_fault(captions, row).is_none()) {
        let text = captions.value(row);
        let index = *position.entry(text).or_insert_with(|| {
            texts.push(text);
            rows.push(Vec::new());
            texts.len() - 1
        });
        rows[index].push(row);
    }
    (texts, rows)
}

fn encode_loop(mut encoder: Box<dyn Encoder>, jobs: &Receiver<EncodeJob>, shared: &Shared) {
    while let Ok(job) = jobs.recv_blocking() {
        let start = Instant::now();
        let images = matches!(job.work, EncodeWork::Images(_));
        let encoded = match &job.work {
            _ if job.assembly.is_abandoned() => Ok(Vec::new()),
            EncodeWork::Images(pixels) => encoder.encode_images(pixels, job.targets.len()),
            EncodeWork::Texts(tokens) => encoder.encode_texts(tokens),
        };
        shared.counters.add_busy(Stage::Encode, start.elapsed());
        shared.counters.model_batches.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let EncodeWork::Images(pixels) = job.work {
            shared.return_buffer(pixels);
        }
        match encoded {
            Err(error) => job.assembly.fail(error),
            Ok(vectors) if images => job.assembly.put_images(&job.targets, &vectors),
            Ok(vectors) => job.assembly.put_texts(&job.targets, &vectors),
        }
        job.assembly.finish_job();
    }
}

/// Lets decoders share a fixed number of bytes.
struct ByteGate {
    total: u64,
    free: Mutex<u64>,
    returned: Condvar,
}

impl ByteGate {
    fn new(total: u64) -> Self {
        Self { total, free: Mutex::new(total), returned: Condvar::new() }
    }

    /// Waits until `bytes` are free; `None` if they never can be.
    fn acquire(&self, bytes: u64) -> Option<Permit<'_>> {
        if bytes > self.total {
            return None;
        }
        let mut free = lock(&self.free);
        while *free < bytes {
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Some(Permit { gate: self, bytes })
    }
}

struct Permit<'a> {
    gate: &'a ByteGate,
    bytes: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.gate.free) += self.bytes;
        self.gate.returned.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panicking thread leaves plain numbers and buffers behind, never a broken invariant.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
