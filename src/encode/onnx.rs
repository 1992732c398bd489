//! Encoders that run on ONNX Runtime; this file and the folder beside it alone use it.
//!
//! A session belongs to one encoder and an encoder to one thread. Threads of a session do not spin: decoding
//! shares the cores with it. Every run asks for the embedding alone, so that no other output is copied.
//!
//! On a CPU as many encoders run as there are threads, each with one thread. On a GPU two share a device, so that one
//! computes while bytes of the other travel; images go there as bytes, a quarter of their floats, through host memory
//! that the device reads itself (`feed`).

mod encoder;
mod feed;
mod graph_cache;
mod patch_feed;
mod runtime;
mod session;

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clip_filter_pixels::{Normaliser, Resize};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};

use self::encoder::{Loaded, OnnxEncoder};
use self::feed::{DeviceFeed, Feed, HostFeed, Numbers};
use self::graph_cache::GraphCache;
use self::patch_feed::PatchFeed;
pub use self::runtime::load_runtime;
use super::batch_rows::fastest;
use super::{Encoder, EncoderFactory, EncoderSizes, ModelCard, ModelSpec};
use crate::config::{Device, Devices};
use crate::error::{Error, Result};
use crate::preprocess::{Padding, Preprocessing, Tokenize};

/// What an encoder holds beside its weights, measured on a CPU with the bundled model in batches of up to 32:
/// about eight times the pixels of each image, and a fixed share. Weights count once where they are mapped as the kernels
/// take them, also if another encoder maps the same; else twice: as stored, and packed.
const MAPPED_COPIES: u64 = 1;
const HELD_COPIES: u64 = 2;
const WORKING_ROWS: u64 = 32;
const WORKING_COPIES: u64 = 8;
const SESSION_BYTES: u64 = 32 << 20;

/// Rows of a model batch on a CPU, where more only leaves the caches.
const CPU_BATCH: usize = 8;
/// Rows of a model batch for TensorRT, which builds an engine for every new size and so is not asked for several.
const TENSORRT_BATCH: usize = 128;
/// Encoders of a GPU.
const ENCODERS_PER_GPU: usize = 2;

/// How the runtime is used.
#[derive(Debug, Clone)]
pub struct OnnxOptions {
    /// The library of ONNX Runtime.
    pub library: PathBuf,
    /// Rows of a batch-dependent model are encoded one by one, and CUDA computes without TF32.
    pub reproducible: bool,
    /// Threads per operator that [`EncoderFactory::make`] will be asked for; the encoder that checks the model
    /// when it is loaded is handed out if they agree, else it is dropped.
    pub intra_threads: usize,
    /// Libraries that CUDA needs, in loading order, where the system's loader would not find them.
    pub cuda_libraries: Vec<PathBuf>,
    /// Where optimised graphs and engines are kept for the next start; nowhere if `None`.
    pub graph_cache: Option<PathBuf>,
    /// Where bytes become pixels.
    pub normalise: Normalise,
}

/// Where resized bytes become the numbers that the image tower takes; both ways give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalise {
    /// On the device if it is another one than the CPU.
    #[default]
    Auto,
    /// By a graph on the device, whatever it is.
    OnDevice,
}

/// Makes encoders for one model on one kind of device.
pub struct OnnxFactory {
    setup: Setup,
    card: ModelCard,
    preprocessing: Arc<Preprocessing>,
    sizes: EncoderSizes,
    captions_alone: bool,
    first: Mutex<Option<(usize, OnnxEncoder)>>,
    /// Encoders made; the first device has one when the factory is there.
    made: AtomicUsize,
    notice: Option<String>,
}

/// What it takes to make a session.
#[derive(Debug)]
struct Setup {
    spec: ModelSpec,
    devices: Devices,
    options: OnnxOptions,
    environment: Environment,
    version: String,
    graphs: Option<GraphCache>,
    /// Some session has its weights in memory of its own.
    holds_weights: AtomicBool,
}

impl OnnxFactory {
    /// Loads the runtime and the model and runs both towers a few times.
    ///
    /// The runs find the length of an embedding where the graphs do not declare it, test that padding a
    /// caption does not move its vector (where it does, captions are padded to the context instead) and whether a
    /// caption's vector depends on the captions beside it, and on a GPU look for the fastest size of a model batch.
    ///
    /// # Errors
    /// When the runtime or the model cannot be loaded, or a device that was asked for is not there.
    pub fn try_new(spec: ModelSpec, devices: Devices, options: OnnxOptions) -> Result<Self> {
        let (version, environment) = runtime::runtime(&options.library)?;
        let graphs = options.graph_cache.clone().map(GraphCache::new);
        let mut setup = Setup {
            graphs,
            holds_weights: AtomicBool::new(false),
            spec,
            devices,
            options,
            environment,
            version,
        };
        let (mut encoder, notice) = setup.resolve()?;
        let mut preprocessing = setup.spec.preprocessing()?;
        let (padding, captions_alone) = encoder.test_captions(&mut setup, &preprocessing.tokens)?;
        preprocessing.tokens = preprocessing.tokens.padded(padding)?;
        let dim = encoder.test_dim(&setup.spec)?;
        let sizes = setup.sizes(&mut encoder)?;
        let card = ModelCard {
            dim,
            device: setup.devices.to_string(),
            runtime: setup.version.clone(),
            ..setup.spec.card()
        };
        let first = Mutex::new(Some((setup.options.intra_threads, encoder)));
        Ok(Self {
            setup,
            card,
            preprocessing: Arc::new(preprocessing),
            sizes,
            captions_alone,
            first,
            made: AtomicUsize::new(1),
            notice,
        })
    }

    /// Why no GPU is used although there seems to be one; none where that was asked for or there is nothing to say.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }
}

impl EncoderFactory for OnnxFactory {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn preprocessing(&self) -> &Arc<Preprocessing> {
        &self.preprocessing
    }

    fn encoder_bytes(&self) -> u64 {
        let (height, width) = self.setup.spec.image_size();
        let image_bytes = 3 * 4 * u64::from(height) * u64::from(width);
        let copies = match self.setup.holds_weights.load(Ordering::Relaxed) {
            true => HELD_COPIES,
            false => MAPPED_COPIES,
        };
        copies * self.setup.spec.weights_bytes
            + WORKING_ROWS * WORKING_COPIES * image_bytes
            + SESSION_BYTES
    }

    fn sizes(&self) -> EncoderSizes {
        self.sizes
    }

    fn captions_alone(&self) -> bool {
        self.captions_alone
    }

    fn make(&self, intra_threads: usize) -> Result<Box<dyn Encoder>> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((threads, encoder)) = first.take()
            && threads == intra_threads
        {
            return Ok(Box::new(encoder));
        }
        drop(first);
        let device = self
            .setup
            .devices
            .of(self.made.fetch_add(1, Ordering::Relaxed));
        let mut encoder = self.setup.encoder(device, intra_threads)?;
        encoder.treat_captions(&self.setup, self.preprocessing.tokens.padding());
        Ok(Box::new(encoder))
    }
}

impl OnnxEncoder {
    /// How captions have to be padded, and whether a vector depends on its caption alone.
    fn test_captions(&mut self, setup: &mut Setup, tokens: &Tokenize) -> Result<(Padding, bool)> {
        let mut padding = self.test_padding(&setup.spec, tokens)?;
        self.treat_captions(setup, padding);
        let alone = self.test_captions_alone(&tokens.padded(padding)?)?;
        // Groups of one length are small: for a CPU large enough, for a GPU not.
        let is_cpu = setup.devices.first() == Device::Cpu;
        if padding == Padding::Longest && is_cpu && alone {
            padding = Padding::None;
        }
        setup.spec.tokens.padding = padding;
        Ok((padding, alone && padding != Padding::Longest))
    }

    /// Settles how captions are run: one by one without their padding, or at least two at a time.
    fn treat_captions(&mut self, setup: &Setup, padding: Padding) {
        let unpadded = matches!(padding, Padding::None | Padding::Longest);
        self.trims = setup.row_by_row() && unpadded;
        self.least_captions = if setup.row_by_row() { 1 } else { 2 };
    }
}

impl Setup {
    /// Rows are encoded one by one: the model mixes those of a batch, and that is not wanted.
    fn row_by_row(&self) -> bool {
        self.options.reproducible && self.spec.batch_dependent
    }

    /// Settles on the devices and makes the first encoder; says why it is on no GPU if that is a surprise.
    fn resolve(&mut self) -> Result<(OnnxEncoder, Option<String>)> {
        let threads = self.options.intra_threads;
        let mut notice = None;
        if self.devices.first() == Device::Auto {
            let cuda = Device::Cuda(0);
            if ep::CUDA::is_available().unwrap_or(false) {
                // A session can be made where the first run fails.
                let tried = self.encoder(cuda, threads).and_then(|mut encoder| {
                    encoder.encode_images(&encoder.test_images(1), 1)?;
                    Ok(encoder)
                });
                match tried {
                    Ok(encoder) => {
                        self.devices = cuda.into();
                        return Ok((encoder, None));
                    }
                    Err(error) => notice = Some(no_gpu(&error)),
                }
            }
            self.devices = Device::Cpu.into();
        }
        let encoder = self.encoder(self.devices.first(), threads)?;
        Ok((encoder, notice))
    }

    fn encoder(&self, device: Device, intra_threads: usize) -> Result<OnnxEncoder> {
        let spec = &self.spec;
        let step = |fixed: Option<usize>| fixed.or(self.row_by_row().then_some(1));
        let (height, width) = spec.image_size();
        let (image, text) = std::thread::scope(|scope| {
            let text = scope
                .spawn(|| self.session(&spec.text, &spec.text.ports.output, device, intra_threads));
            let image = self.session(&spec.image, &spec.image.ports.output, device, intra_threads);
            let text = text.join().unwrap_or_else(|cause| resume_unwind(cause));
            (image, text)
        });
        let (image, text) = (image?, text?);
        Ok(OnnxEncoder {
            image: Loaded::try_new(
                image,
                &spec.image.ports.output,
                step(spec.image.ports.rows),
                &spec.name,
            )?,
            text: Loaded::try_new(
                text,
                &spec.text.ports.output,
                step(spec.text.ports.rows),
                &spec.name,
            )?,
            pixels: spec.image.ports.pixels.clone(),
            feed: self.feed(device)?,
            size: [3, height as usize, width as usize],
            inputs: spec.text.ports.inputs.clone(),
            trims: false,
            least_captions: 1,
        })
    }

    /// How images get to the tower on `device`.
    fn feed(&self, device: Device) -> Result<Feed> {
        let (pixels, half) = (&self.spec.pixels, self.spec.image.ports.half);
        if let (Some(ports), Some(Resize::Patches(patches))) =
            (&self.spec.image.ports.patches, pixels.resize)
        {
            return Ok(Feed::Patches(Box::new(PatchFeed {
                patches,
                normaliser: Normaliser::new(pixels),
                ports: ports.clone(),
                numbers: Numbers::new(half),
            })));
        }
        let on_host = matches!(device, Device::Auto | Device::Cpu);
        if on_host && self.options.normalise == Normalise::Auto {
            let normaliser = Normaliser::new(pixels);
            return Ok(Feed::Host(HostFeed::new(normaliser, half)));
        }
        let prelude = self.prelude(device, half)?;
        let feed = DeviceFeed::try_new(prelude, device)?;
        Ok(Feed::Device(Box::new(feed)))
    }

    /// The sizes that suit the devices.
    fn sizes(&self, encoder: &mut OnnxEncoder) -> Result<EncoderSizes> {
        let batch_rows = match self.devices.first() {
            Device::Auto | Device::Cpu => {
                return Ok(EncoderSizes {
                    batch_rows: CPU_BATCH,
                    most_encoders: usize::MAX,
                });
            }
            // Where an export fixed it, or where another size gives another vector, there is nothing to look for.
            _ if encoder.image.step.is_some() || self.spec.batch_dependent => TENSORRT_BATCH,
            Device::TensorRt(_) => TENSORRT_BATCH,
            Device::Cuda(_) => fastest(|rows| {
                let images = encoder.test_images(rows);
                // The first run of a size sets it up.
                encoder.encode_images(&images, rows)?;
                let start = Instant::now();
                encoder.encode_images(&images, rows)?;
                Ok(start.elapsed())
            })?,
        };
        Ok(EncoderSizes {
            batch_rows,
            most_encoders: ENCODERS_PER_GPU * self.devices.count(),
        })
    }
}

fn no_gpu(error: &Error) -> String {
    let report = error.report();
    let cause: Vec<&str> = report.lines().map(str::trim).collect();
    format!(
        "no GPU is used, although this ONNX Runtime is made for one; encoding runs on the CPU: {}",
        cause.join("; ")
    )
}

/// Turns an error of the runtime into ours; its own may hold a builder, which cannot cross threads.
fn failed(message: &'static str) -> impl Fn(ort::Error) -> Error {
    move |error| Error::runtime(message).source(error.to_string())
}
