//! From `--model`, `--device` and `--onnxruntime` to something that encodes.

use std::{process::ExitCode, sync::Arc};

use super::{
    args::{ModelArgs, SetupArgs},
    machine, say, surroundings,
};
use crate::{
    config::Device,
    encode::{EncoderFactory, MockFactory, ModelSource, ModelSpec},
    error::Result,
    provision::{self, Flavor, Library, Surroundings, fetch_model},
};

/// `clip-filter setup`.
pub(super) fn setup(args: &SetupArgs) -> Result<ExitCode> {
    let surroundings = surroundings::resolve(false, None);
    let flavor = if args.cuda { Flavor::Cuda } else { Flavor::Cpu };
    let library = provision::setup(&surroundings, flavor, &mut |line| say(line))?;
    say(&format!("ready: {}", library.path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Finds the runtime and the model and loads both.
pub(super) fn load(args: &ModelArgs, quiet: bool) -> Result<Arc<dyn EncoderFactory>> {
    // Encodes without a model: for tests of everything around it.
    if args.model == "mock" {
        return Ok(Arc::new(MockFactory::try_new()?));
    }
    let surroundings = surroundings::resolve(args.offline, args.onnxruntime.clone());
    let mut tell = |line: &str| {
        if !quiet {
            say(line);
        }
    };
    let spec = model_spec(args, &surroundings, &mut tell)?;
    let library = runtime(args.device, &surroundings, &mut tell)?;
    onnx_factory(spec, args, library)
}

#[cfg(feature = "onnx")]
fn onnx_factory(
    spec: ModelSpec,
    args: &ModelArgs,
    library: Library,
) -> Result<Arc<dyn EncoderFactory>> {
    use crate::encode::{OnnxFactory, OnnxOptions};
    let options = OnnxOptions {
        library: library.path,
        reproducible: args.reproducible,
        intra_threads: 1,
        cuda_libraries: library.preload,
    };
    Ok(Arc::new(OnnxFactory::try_new(spec, args.device, options)?))
}

#[cfg(not(feature = "onnx"))]
fn onnx_factory(_: ModelSpec, _: &ModelArgs, _: Library) -> Result<Arc<dyn EncoderFactory>> {
    Err(crate::error::Error::usage(
        "load a model: this build has no ONNX Runtime (feature `onnx`)",
    ))
}

fn model_spec(
    args: &ModelArgs,
    surroundings: &Surroundings,
    tell: &mut dyn FnMut(&str),
) -> Result<ModelSpec> {
    let Ok(precision) = args.precision.parse();
    if !args.model.starts_with("hf:") {
        let source = match args.model.as_str() {
            "bundled" => ModelSource::Bundled,
            path => ModelSource::Directory(path.into()),
        };
        return ModelSpec::open(&source, &precision);
    }
    let hub = surroundings::hub_spec(&args.model, &args.precision)?;
    let offline = surroundings.offline || surroundings::hub_is_offline();
    let fetched = fetch_model(
        &Surroundings {
            offline,
            ..surroundings.clone()
        },
        &hub,
        tell,
    )?;
    let spec = ModelSpec::open(&ModelSource::Directory(fetched.directory), &precision)?;
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
            if let Ok(library) = cuda() {
                return Ok(library);
            }
        }
        Device::Auto | Device::Cpu => {}
    }
    provision::find_or_fetch_onnxruntime(surroundings, Flavor::Cpu, tell)
}
