//! Encoders that run on ONNX Runtime; the only file that uses it.
//!
//! A session belongs to one encoder and an encoder to one thread. Threads of a session do not spin: decoding
//! shares the cores with it. Every run asks for the embedding alone, so that no other output is copied.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use half::slice::HalfFloatSliceExt;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{Tensor, TensorElementType, TensorRef};

use super::model::{Files, Tower, different};
use super::ports::{TextInput, TextRole};
use super::{
    Encoder, EncoderFactory, ModelCard, ModelLayout, ModelSpec, cuda_libraries_beside,
    describe_pixels, normalise_rows,
};
use crate::config::Device;
use crate::error::{Error, Result};
use crate::preprocess::{Padding, Preprocessing, TokenBatch};

/// What the padding test encodes: short, so that padding to the context is most of the row.
const PROBE_CAPTION: &str = "a photo of a dog";
/// Padding may move a vector by rounding, no further; dynamically quantised graphs are coarser.
const SAME_COSINE: f32 = 0.9999;
const SAME_COSINE_BATCH_DEPENDENT: f32 = 0.9;

/// The one runtime of the process.
struct Runtime {
    library: PathBuf,
    version: String,
    environment: Environment,
}

/// ONNX Runtime can be loaded once per process; it stays loaded until the process ends.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// Loads ONNX Runtime from the library at `path` and gives its version; a second call only answers.
///
/// Telemetry is off, and its log goes nowhere: what matters comes back as errors.
///
/// # Errors
/// When the library cannot be loaded or is too old, or another one is loaded already.
pub fn load_runtime(path: &Path) -> Result<String> {
    runtime(path).map(|(version, _)| version)
}

fn runtime(path: &Path) -> Result<(String, Environment)> {
    let refuse = |message: &str| Error::runtime(message).with("library", path.display());
    let library = path
        .canonicalize()
        .map_err(|error| refuse("find the library of ONNX Runtime").source(error))?;
    let mut loaded = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = loaded.as_ref() {
        if runtime.library == library {
            return Ok((runtime.version.clone(), runtime.environment.clone()));
        }
        return Err(refuse("load a second ONNX Runtime").with("loaded", runtime.library.display()));
    }
    let environment = ort::init_from(&library)
        .map_err(|error| {
            refuse("load ONNX Runtime")
                .source(error.to_string())
                .hint("the library must be of ONNX Runtime 1.24 or newer; `clip-filter setup` fetches one that fits")
        })?
        .with_name("clip-filter")
        .with_telemetry(false)
        .with_logger(Arc::new(|_level, _category, _id, _location, _message| {}))
        .build()
        .map_err(|error| refuse("start ONNX Runtime").source(error.to_string()))?;
    environment.set_log_level(LogLevel::Error);
    let version = version_of(ort::info(), &library);
    *loaded = Some(Runtime {
        library,
        version: version.clone(),
        environment: environment.clone(),
    });
    Ok((version, environment))
}

/// `1.32.0` from the name of the library, or from the branch that its build information names.
fn version_of(build: &str, library: &Path) -> String {
    let file = library
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let named = file
        .split_once(".so.")
        .map(|(_, version)| version)
        .filter(|version| version.contains('.'));
    let branch = build
        .split_once("git-branch=rel-")
        .and_then(|(_, rest)| rest.split([',', ' ']).next());
    named.or(branch).unwrap_or("unknown").to_owned()
}

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
    /// Libraries that CUDA needs, in loading order; empty for those of the wheels beside `library`.
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
        let (version, environment) = runtime(&options.library)?;
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
        let spec = &setup.spec;
        let card = ModelCard {
            name: spec.name.clone(),
            fingerprint: spec.fingerprint.clone(),
            precision: spec.precision.clone(),
            dim,
            preprocessing: describe_pixels(&spec.pixels),
            batch_dependent: spec.batch_dependent,
            device: setup.device.to_string(),
            runtime: version,
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
        // Measured on a CPU: weights once as stored and once packed for the kernels, and a working set that
        // grows with the batch (see benches); a GPU needs the host's share only while it loads.
        self.setup.spec.weights_bytes * 2 + (64 << 20)
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

    fn session<P>(
        &self,
        tower: &Tower<P>,
        output: &str,
        device: Device,
        intra_threads: usize,
    ) -> Result<Session> {
        let spec = &self.spec;
        let about = |error: Error| error.with("model", &spec.name).with("file", &tower.file);
        let mut builder = builder(&self.environment, intra_threads)
            .map_err(|error| about(failed("set up a session")(error)))?;
        let providers = self.providers(device);
        if !providers.is_empty() {
            builder = builder
                .with_execution_providers(providers)
                .map_err(|error| about(no_device(device, &error.to_string())))?;
        }
        let commit = |result: ort::Result<Session>| match result {
            Ok(session) => Ok(session),
            Err(error) if device == Device::Cpu => Err(about(
                Error::model("load the model").source(error.to_string()),
            )),
            Err(error) => Err(about(no_device(device, &error.to_string()))),
        };
        if spec.layout == ModelLayout::Pair {
            return match &spec.files {
                Files::Directory(directory) => {
                    commit(builder.commit_from_file(directory.join(&tower.file)))
                }
                files => commit(
                    builder.commit_from_memory(files.embedded(&tower.file).unwrap_or_default()),
                ),
            };
        }
        let graph = spec.files.pruned(&tower.file, output)?;
        if let (true, Files::Directory(directory)) = (tower.external, &spec.files) {
            // A graph in memory has no folder of its own in which its external weights would be looked for.
            let folder = directory
                .join(&tower.file)
                .parent()
                .map(|folder| folder.to_string_lossy().into_owned());
            builder = builder
                .with_config_entry(
                    "session.model_external_initializers_file_folder_path",
                    folder.unwrap_or_default(),
                )
                .map_err(|error| about(failed("set up a session")(error.into())))?;
        }
        commit(builder.commit_from_memory(&graph))
    }

    /// The execution providers of `device`; registering one that is not there is an error.
    fn providers(&self, device: Device) -> Vec<ExecutionProviderDispatch> {
        let id = |ordinal: u32| i32::try_from(ordinal).unwrap_or(i32::MAX);
        let cuda = |ordinal: u32| {
            ep::CUDA::default()
                .with_device_id(id(ordinal))
                .with_tf32(!self.options.reproducible)
                // A search among all algorithms is repeated for every new batch size.
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
                .build()
                .error_on_failure()
        };
        match device {
            Device::Auto | Device::Cpu => Vec::new(),
            Device::Cuda(ordinal) => {
                self.preload();
                vec![cuda(ordinal)]
            }
            Device::TensorRt(ordinal) => {
                self.preload();
                let tensorrt = ep::TensorRT::default()
                    .with_device_id(id(ordinal))
                    .build()
                    .error_on_failure();
                vec![tensorrt, cuda(ordinal)]
            }
        }
    }

    /// Loads what the CUDA provider needs; what is missing shows when the provider is registered.
    fn preload(&self) {
        let beside;
        let libraries = if self.options.cuda_libraries.is_empty() {
            beside = cuda_libraries_beside(&self.options.library);
            &beside
        } else {
            &self.options.cuda_libraries
        };
        for library in libraries {
            let _ = ort::util::preload_dylib(library.as_os_str());
        }
    }
}

fn builder(environment: &Environment, intra_threads: usize) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(intra_threads.max(1))?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        // Captions come in many lengths: a pattern per shape would be kept for each of them.
        .with_memory_pattern(false)?)
}

/// Encodes on one session per tower.
struct OnnxEncoder {
    image: Loaded,
    text: Loaded,
    pixels: String,
    half: bool,
    /// Channels, height, width.
    size: [usize; 3],
    inputs: Vec<TextInput>,
    /// Rows are encoded one by one and without their padding.
    trims: bool,
}

impl Encoder for OnnxEncoder {
    fn encode_images(&mut self, pixels: &[f32], rows: usize) -> Result<Vec<f32>> {
        let image: usize = self.size.iter().product();
        if pixels.len() != rows * image {
            return Err(Error::internal("encode pixels of another size")
                .with("expected", rows * image)
                .with("found", pixels.len()));
        }
        let step = self.image.step.unwrap_or(rows).max(1);
        let mut vectors = Vec::new();
        for chunk in pixels.chunks(step * image) {
            let given = chunk.len() / image;
            let batch = self.image.step.unwrap_or(given);
            let chunk = padded(chunk, batch * image);
            let [channels, height, width] = self.size;
            let shape = [batch, channels, height, width];
            let value = if self.half {
                let mut narrow = vec![f16::ZERO; chunk.len()];
                narrow.convert_from_f32_slice(&chunk);
                Tensor::from_array((shape, narrow)).map(SessionInputValue::from)
            } else {
                TensorRef::from_array_view((shape, &*chunk)).map(SessionInputValue::from)
            };
            let value = value.map_err(failed("hand pixels to the runtime"))?;
            self.image.run(
                vec![(Cow::Borrowed(self.pixels.as_str()), value)],
                given,
                &mut vectors,
            )?;
        }
        self.image.finish(vectors, rows)
    }

    fn encode_texts(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let whole = tokens.rows * tokens.length;
        if tokens.ids.len() != whole || tokens.mask.len() != whole {
            return Err(Error::internal("encode tokens of another shape")
                .with("expected", whole)
                .with("found", tokens.ids.len()));
        }
        let step = self.text.step.unwrap_or(tokens.rows).max(1);
        let mut vectors = Vec::new();
        for start in (0..tokens.rows).step_by(step) {
            let given = step.min(tokens.rows - start);
            let batch = self.text.step.unwrap_or(given);
            let span = start * tokens.length..(start + given) * tokens.length;
            let (mut ids, mut mask) = (&tokens.ids[span.clone()], &tokens.mask[span]);
            let mut length = tokens.length;
            if self.trims {
                length = mask.iter().take_while(|mask| **mask != 0).count().max(1);
                (ids, mask) = (&ids[..length], &mask[..length]);
            }
            let (ids, mask) = (padded(ids, batch * length), padded(mask, batch * length));
            let mut values = Vec::with_capacity(self.inputs.len());
            for input in &self.inputs {
                let value = text_value(input, &ids, &mask, [batch, length])
                    .map_err(failed("hand tokens to the runtime"))?;
                values.push((Cow::Borrowed(input.name.as_str()), value));
            }
            self.text.run(values, given, &mut vectors)?;
        }
        self.text.finish(vectors, tokens.rows)
    }
}

/// `values`, with zeros behind them up to `length` where an export fixed the rows of its batch.
fn padded<T: Clone + Default>(values: &[T], length: usize) -> Cow<'_, [T]> {
    if values.len() >= length {
        return Cow::Borrowed(values);
    }
    let mut longer = values.to_vec();
    longer.resize(length, T::default());
    Cow::Owned(longer)
}

fn text_value<'v>(
    input: &TextInput,
    ids: &'v [i64],
    mask: &'v [i64],
    shape: [usize; 2],
) -> ort::Result<SessionInputValue<'v>> {
    let made: Vec<i64>;
    let values = match input.role {
        TextRole::Ids if !input.narrow => {
            return Ok(TensorRef::from_array_view((shape, ids))?.into());
        }
        TextRole::Mask if !input.narrow => {
            return Ok(TensorRef::from_array_view((shape, mask))?.into());
        }
        TextRole::Ids => ids,
        TextRole::Mask => mask,
        TextRole::Segments => {
            made = vec![0; ids.len()];
            &made
        }
        TextRole::Positions => {
            made = (0i64..).take(shape[1]).cycle().take(ids.len()).collect();
            &made
        }
    };
    if input.narrow {
        let narrow: Vec<i32> = values
            .iter()
            .map(|value| i32::try_from(*value).unwrap_or(i32::MAX))
            .collect();
        return Ok(Tensor::from_array((shape, narrow))?.into());
    }
    Ok(Tensor::from_array((shape, values.to_vec()))?.into())
}

/// A tower in memory.
struct Loaded {
    session: Session,
    select: RunOptions<HasSelectedOutputs>,
    output: String,
    model: String,
    /// Rows of every run, where the export fixed them or rows are encoded one by one.
    step: Option<usize>,
    /// Length of an embedding, once one was made.
    dim: Option<usize>,
}

impl Loaded {
    fn try_new(session: Session, output: &str, step: Option<usize>, model: &str) -> Result<Self> {
        let options = RunOptions::new().map_err(failed("set up a run"))?;
        let select = options.with_outputs(OutputSelector::no_default().with(output));
        Ok(Self {
            session,
            select,
            output: output.to_owned(),
            model: model.to_owned(),
            step,
            dim: None,
        })
    }

    /// Runs the tower and appends the first `rows` of its embeddings to `vectors`.
    fn run(
        &mut self,
        inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)>,
        rows: usize,
        vectors: &mut Vec<f32>,
    ) -> Result<()> {
        let about = |error: Error| {
            error
                .with("model", &self.model)
                .with("output", &self.output)
        };
        let outputs = self
            .session
            .run_with_options(inputs, &self.select)
            .map_err(|error| about(Error::model("run the model").source(error.to_string())))?;
        let value = outputs
            .get(&self.output)
            .ok_or_else(|| about(Error::model("find the embeddings among the outputs")))?;
        let [batch, dim] = **value.shape() else {
            let error = Error::model("use an output that is not one vector per row")
                .with("shape", value.shape());
            return Err(about(error));
        };
        let (Ok(batch), Ok(dim)) = (usize::try_from(batch), usize::try_from(dim)) else {
            return Err(about(Error::model("use an output of negative size")));
        };
        if batch < rows || dim == 0 || self.dim.is_some_and(|known| known != dim) {
            let error = Error::model("use an output of another shape")
                .with("shape", value.shape())
                .with("rows", rows);
            return Err(about(error));
        }
        self.dim = Some(dim);
        let extract = |error: ort::Error| {
            about(Error::model("read the embeddings").source(error.to_string()))
        };
        match value.data_type() {
            TensorElementType::Float16 => {
                let (_, data) = value.try_extract_tensor::<f16>().map_err(extract)?;
                vectors.extend(data[..rows * dim].iter().map(|value| value.to_f32()));
            }
            _ => vectors.extend_from_slice(
                &value.try_extract_tensor::<f32>().map_err(extract)?.1[..rows * dim],
            ),
        }
        Ok(())
    }

    /// Scales the vectors of all `rows` to length one.
    fn finish(&self, mut vectors: Vec<f32>, rows: usize) -> Result<Vec<f32>> {
        if rows == 0 {
            return Ok(vectors);
        }
        let dim = vectors.len() / rows;
        normalise_rows(&mut vectors, dim).map_err(|error| {
            error
                .with("model", &self.model)
                .with("output", &self.output)
        })?;
        Ok(vectors)
    }
}

impl OnnxEncoder {
    /// The length of an embedding, found by running the image tower; the text tower has run before.
    fn test_dim(&mut self, spec: &ModelSpec) -> Result<usize> {
        let pixels: Vec<f32> = (0..64u8)
            .cycle()
            .map(|step| f32::from(step) / 32.0 - 1.0)
            .take(self.size.iter().product())
            .collect();
        let image = self.encode_images(&pixels, 1)?.len();
        match self.text.dim {
            Some(text) if text != image => Err(different(image, text).with("model", &spec.name)),
            _ => Ok(image),
        }
    }

    /// How captions have to be padded: to the longest, if that is asked for and makes no difference.
    fn test_padding(&mut self, spec: &ModelSpec) -> Result<Padding> {
        let context = Padding::Fixed(spec.text.ports.length.unwrap_or(spec.tokens.max_length));
        let long = self.encode_probe(&spec.preprocessing(context)?)?;
        if spec.tokens.padding != Padding::Longest {
            return Ok(spec.tokens.padding);
        }
        // Exports that hold positions for the whole context fail on anything shorter.
        let Ok(short) = self.encode_probe(&spec.preprocessing(Padding::Longest)?) else {
            return Ok(context);
        };
        let cosine: f32 = long
            .iter()
            .zip(&short)
            .map(|(long, short)| long * short)
            .sum();
        let same = if spec.batch_dependent {
            SAME_COSINE_BATCH_DEPENDENT
        } else {
            SAME_COSINE
        };
        Ok(if cosine >= same {
            Padding::Longest
        } else {
            context
        })
    }

    fn encode_probe(&mut self, preprocessing: &Preprocessing) -> Result<Vec<f32>> {
        let rows = preprocessing.tokens.encode(&[PROBE_CAPTION])?;
        let rows: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
        self.encode_texts(&preprocessing.tokens.batch(&rows))
    }
}

/// Turns an error of the runtime into ours; its own may hold a builder, which cannot cross threads.
fn failed(message: &'static str) -> impl Fn(ort::Error) -> Error {
    move |error| Error::runtime(message).source(error.to_string())
}

fn no_device(device: Device, cause: &str) -> Error {
    Error::runtime(format!("use device {device}"))
        .source(cause.to_owned())
        .hint("`clip-filter setup --cuda` installs onnxruntime-gpu with the CUDA and cuDNN libraries; --device cpu runs without a GPU")
}
