//! Encoders that run on ONNX Runtime; this file and the folder beside it alone use it.
//!
//! A session belongs to one encoder and an encoder to one thread. Threads of a session do not spin: decoding
//! shares the cores with it. Every run asks for the embedding alone, so that no other output is copied.

mod encoder;
mod runtime;
mod session;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};

use self::encoder::{Loaded, OnnxEncoder};
pub use self::runtime::load_runtime;
use super::{Encoder, EncoderFactory, ModelCard, ModelSpec};
use crate::config::Device;
use crate::error::{Error, Result};
use crate::preprocess::{Padding, Preprocessing};

/// What an encoder holds beside its weights, measured on a CPU with the bundled model in batches of up to 32:
/// about eight times the pixels of each image, and a fixed share. Weights count twice: as stored, and packed
/// for the kernels.
const WORKING_ROWS: u64 = 32;
const WORKING_COPIES: u64 = 8;
const SESSION_BYTES: u64 = 32 << 20;

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
}

/// Makes encoders for one model on one device.
pub struct OnnxFactory {
    setup: Setup,
    card: ModelCard,
    preprocessing: Arc<Preprocessing>,
    first: Mutex<Option<(usize, OnnxEncoder)>>,
}

/// What it takes to make a session.
#[derive(Debug)]
struct Setup {
    spec: ModelSpec,
    device: Device,
    options: OnnxOptions,
    environment: Environment,
}

impl OnnxFactory {
    /// Loads the runtime and the model and runs both towers once.
    ///
    /// The run finds the length of an embedding where the graphs do not declare it, and tests that padding a
    /// caption does not move its vector; where it does, captions are padded to the context instead.
    ///
    /// # Errors
    /// When the runtime or the model cannot be loaded, or a device that was asked for is not there.
    pub fn try_new(spec: ModelSpec, device: Device, options: OnnxOptions) -> Result<Self> {
        let (version, environment) = runtime::runtime(&options.library)?;
        let mut setup = Setup {
            spec,
            device,
            options,
            environment,
        };
        let mut encoder = setup.resolve()?;
        let padding = encoder.test_padding(&setup.spec)?;
        let dim = encoder.test_dim(&setup.spec)?;
        let preprocessing = Arc::new(setup.spec.preprocessing(padding)?);
        setup.spec.tokens.padding = padding;
        encoder.trims &= padding == Padding::Longest;
        let card = ModelCard {
            dim,
            device: setup.device.to_string(),
            runtime: version,
            ..setup.spec.card()
        };
        let first = Mutex::new(Some((setup.options.intra_threads, encoder)));
        Ok(Self {
            setup,
            card,
            preprocessing,
            first,
        })
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
        2 * self.setup.spec.weights_bytes
            + WORKING_ROWS * WORKING_COPIES * image_bytes
            + SESSION_BYTES
    }

    fn make(&self, intra_threads: usize) -> Result<Box<dyn Encoder>> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((threads, encoder)) = first.take()
            && threads == intra_threads
        {
            return Ok(Box::new(encoder));
        }
        drop(first);
        Ok(Box::new(
            self.setup.encoder(self.setup.device, intra_threads)?,
        ))
    }
}

impl Setup {
    /// Settles on a device and makes the first encoder on it.
    fn resolve(&mut self) -> Result<OnnxEncoder> {
        let threads = self.options.intra_threads;
        if self.device == Device::Auto {
            let cuda = Device::Cuda(0);
            let usable = ep::CUDA::is_available().unwrap_or(false);
            if usable && let Ok(encoder) = self.encoder(cuda, threads) {
                self.device = cuda;
                return Ok(encoder);
            }
            self.device = Device::Cpu;
        }
        self.encoder(self.device, threads)
    }

    fn encoder(&self, device: Device, intra_threads: usize) -> Result<OnnxEncoder> {
        let spec = &self.spec;
        let row_by_row = self.options.reproducible && spec.batch_dependent;
        let step = |fixed: Option<usize>| fixed.or(row_by_row.then_some(1));
        let (height, width) = spec.image_size();
        let image = self.session(&spec.image, &spec.image.ports.output, device, intra_threads)?;
        let text = self.session(&spec.text, &spec.text.ports.output, device, intra_threads)?;
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
            half: spec.image.ports.half,
            size: [3, height as usize, width as usize],
            inputs: spec.text.ports.inputs.clone(),
            trims: row_by_row && spec.tokens.padding == Padding::Longest,
        })
    }
}

/// Turns an error of the runtime into ours; its own may hold a builder, which cannot cross threads.
fn failed(message: &'static str) -> impl Fn(ort::Error) -> Error {
    move |error| Error::runtime(message).source(error.to_string())
}
