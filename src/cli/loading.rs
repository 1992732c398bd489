//! From `--model`, `--device` and `--onnxruntime` to something that encodes.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    args::{ModelArgs, SetupArgs},
    machine, say, surroundings,
};
use crate::{
    config::Device,
    encode::{EncoderFactory, EncoderSource, MockFactory, ModelSource, ModelSpec},
    error::Result,
    preprocess::Scaling,
    provision::{self, Flavor, Library, Surroundings, fetch_model},
    summary::ModelCard,
};

/// What `--device auto` says where there seems to be a GPU and nothing to use it with.
const NO_GPU_RUNTIME: &str = "no GPU is used, although there is an NVIDIA driver: ONNX Runtime for CUDA is not here; `clip-filter setup --cuda` installs it";

/// The precision that is left to the program, and the one that a GPU is made for.
const AUTO: &str = "auto";
const HALF: &str = "fp16";

/// The default model.
const BUNDLED: &str = "bundled";

/// `clip-filter setup`.
pub(super) fn setup(args: &SetupArgs) -> Result<ExitCode> {
    let surroundings = surroundings::resolve(false, None);
    let flavor = if args.cuda { Flavor::Cuda } else { Flavor::Cpu };
    let library = provision::setup(&surroundings, flavor, &mut |line| say(line))?;
    say(&format!("ready: {}", library.path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The model that the command line names, or failing that the one a score store was made with.
pub(super) struct NamedModel {
    args: ModelArgs,
    quiet: bool,
    /// Name, precision and what the files say: a run asks for the identity and then for the model, and hashing the
    /// weights once is enough.
    opened: Mutex<Option<(String, String, ModelSpec)>>,
}

impl NamedModel {
    pub(super) fn new(args: &ModelArgs, quiet: bool) -> Self {
        Self {
            args: args.clone(),
            quiet,
            opened: Mutex::new(None),
        }
    }

    fn tell(&self) -> impl FnMut(&str) {
        let quiet = self.quiet;
        move |line| {
            if !quiet {
                say(line);
            }
        }
    }

    /// What the files of this model say.
    fn spec(&self, name: &str, precision: &str, surroundings: &Surroundings) -> Result<ModelSpec> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, variant, spec)) = &*opened
            && known == name
            && variant == precision
        {
            return Ok(spec.clone());
        }
        let spec = self.open(name, precision, surroundings)?;
        *opened = Some((name.to_owned(), precision.to_owned(), spec.clone()));
        Ok(spec)
    }

    /// The model of this name; a GPU that was asked for gets 16-bit floats if there are any, which it is made for.
    fn open(&self, name: &str, precision: &str, surroundings: &Surroundings) -> Result<ModelSpec> {
        let scaling = match self.args.fast_decode {
            true => Scaling::Dct,
            false => Scaling::Exact,
        };
        let on_gpu = matches!(
            self.args.device.first(),
            Device::Cuda(_) | Device::TensorRt(_)
        );
        if on_gpu
            && precision == AUTO
            && let Ok(spec) = model_spec(name, HALF, surroundings, &mut self.tell())
        {
            return Ok(spec.with_scaling(scaling));
        }
        // What is wrong beside the precision shows here again.
        let spec = model_spec(name, precision, surroundings, &mut self.tell())?;
        Ok(spec.with_scaling(scaling))
    }

    /// The mock's factory: it encodes without a model, for tests of everything around it.
    fn mock(name: &str) -> Result<Option<MockFactory>> {
        match name.strip_prefix("mock") {
            Some("") => MockFactory::try_new().map(Some),
            Some(log) => match log.strip_prefix(':') {
                Some(log) => Ok(Some(MockFactory::try_new()?.logging_to(log))),
                None => Ok(None),
            },
            None => Ok(None),
        }
    }
}

impl EncoderSource for NamedModel {
    fn identity(&self) -> Result<Option<ModelCard>> {
        let Some(name) = &self.args.model else {
            return Ok(None);
        };
        if let Some(mock) = Self::mock(name)? {
            return Ok(Some(mock.card().clone()));
        }
        let surroundings = surroundings::resolve(self.args.offline, self.args.onnxruntime.clone());
        let spec = self.spec(name, &self.args.precision, &surroundings)?;
        Ok(Some(spec.card()))
    }

    fn load(&self, stored: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>> {
        let (name, precision) = match (&self.args.model, stored) {
            (Some(name), _) => (name.as_str(), self.args.precision.as_str()),
            (None, Some(card)) => (card.name.as_str(), card.precision.as_str()),
            (None, None) => (BUNDLED, self.args.precision.as_str()),
        };
        if let Some(mock) = Self::mock(name)? {
            return Ok(Arc::new(mock));
        }
        let surroundings = surroundings::resolve(self.args.offline, self.args.onnxruntime.clone());
        let spec = self.spec(name, precision, &surroundings)?;
        let library = runtime(self.args.device.first(), &surroundings, &mut self.tell())?;
        onnx_factory(spec, &self.args, library, &mut self.tell())
    }
}

#[cfg(feature = "onnx")]
fn onnx_factory(
    spec: ModelSpec,
    args: &ModelArgs,
    library: Library,
    tell: &mut dyn FnMut(&str),
) -> Result<Arc<dyn EncoderFactory>> {
    use crate::encode::{Normalise, OnnxFactory, OnnxOptions};
    let options = OnnxOptions {
        library: library.path,
        reproducible: args.reproducible,
        intra_threads: 1,
        cuda_libraries: library.preload,
        graph_cache: Some(surroundings::cache().join("graphs")),
        normalise: Normalise::Auto,
    };
    let factory = OnnxFactory::try_new(spec, args.device.clone(), options)?;
    if let Some(notice) = factory.notice() {
        tell(notice);
    }
    Ok(Arc::new(factory))
}

#[cfg(not(feature = "onnx"))]
fn onnx_factory(
    _: ModelSpec,
    _: &ModelArgs,
    _: Library,
    _: &mut dyn FnMut(&str),
) -> Result<Arc<dyn EncoderFactory>> {
    Err(crate::error::Error::usage(
        "load a model: this build has no ONNX Runtime (feature `onnx`)",
    ))
}

/// What the files of the model say that `--model` names; one of the hub is fetched first.
pub(super) fn model_spec(
    name: &str,
    precision: &str,
    surroundings: &Surroundings,
    tell: &mut dyn FnMut(&str),
) -> Result<ModelSpec> {
    let Ok(variant) = precision.parse();
    if !name.starts_with("hf:") {
        let source = match name {
            BUNDLED => ModelSource::Bundled,
            path => ModelSource::Directory(path.into()),
        };
        return ModelSpec::open(&source, &variant);
    }
    let hub = surroundings::hub_spec(name, precision)?;
    let offline = surroundings.offline || surroundings::hub_is_offline();
    let fetched = fetch_model(
        &Surroundings {
            offline,
            ..surroundings.clone()
        },
        &hub,
        tell,
    )?;
    let spec = ModelSpec::open(&ModelSource::Directory(fetched.directory), &variant)?;
    Ok(spec.with_name(format!("hf:{}@{}", hub.repo, fetched.revision)))
}

/// The library for `device`; gigabytes for a GPU are never fetched unasked.
fn runtime(
    device: Device,
    surroundings: &Surroundings,
    tell: &mut dyn FnMut(&str),
) -> Result<Library> {
    let cuda = || provision::find_onnxruntime(surroundings, Flavor::Cuda);
    match device {
        Device::Cuda(_) | Device::TensorRt(_) => return cuda(),
        // The search may have to ask a Python interpreter, which takes a while.
        Device::Auto if machine::may_have_nvidia_gpu() => {
            match cuda() {
                Ok(library) => return Ok(library),
                // Elsewhere the driver cannot be told from its absence.
                Err(_) if cfg!(target_os = "linux") => tell(NO_GPU_RUNTIME),
                Err(_) => {}
            }
        }
        Device::Auto | Device::Cpu => {}
    }
    provision::find_or_fetch_onnxruntime(surroundings, Flavor::Cpu, tell)
}
