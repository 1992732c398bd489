//! Which ONNX Runtime a model is loaded with.

use std::sync::Arc;

use super::ModelOptions;
use crate::{
    config::Device,
    encode::{EncoderFactory, ModelSpec},
    error::Result,
    machine,
    provision::{Flavor, Library, find_onnxruntime, find_or_fetch_onnxruntime},
};

/// What is said where there seems to be a GPU and nothing to use it with.
const NO_GPU_RUNTIME: &str = "no GPU is used, although there is an NVIDIA driver: ONNX Runtime for CUDA is not here; `clip-filter setup --cuda` installs it";

/// Loads the model with the library that suits the device.
pub(super) fn load(spec: ModelSpec, options: &ModelOptions) -> Result<Arc<dyn EncoderFactory>> {
    let library = library(options)?;
    onnx_factory(spec, options, library)
}

/// The library for the device; gigabytes for a GPU are never fetched unasked.
fn library(options: &ModelOptions) -> Result<Library> {
    let surroundings = &options.surroundings;
    let cuda = || find_onnxruntime(surroundings, Flavor::Cuda);
    match options.devices.first() {
        Device::Cuda(_) | Device::TensorRt(_) => return cuda(),
        // The search may have to ask a Python interpreter, which takes a while.
        Device::Auto if machine::may_have_nvidia_gpu() => {
            match cuda() {
                Ok(library) => return Ok(library),
                // Elsewhere the driver cannot be told from its absence.
                Err(_) if cfg!(target_os = "linux") => (options.say)(NO_GPU_RUNTIME),
                Err(_) => {}
            }
        }
        Device::Auto | Device::Cpu => {}
    }
    find_or_fetch_onnxruntime(surroundings, Flavor::Cpu, &mut |line| (options.say)(line))
}

#[cfg(feature = "onnx")]
fn onnx_factory(
    spec: ModelSpec,
    options: &ModelOptions,
    library: Library,
) -> Result<Arc<dyn EncoderFactory>> {
    use crate::encode::{Normalise, OnnxFactory, OnnxOptions};
    let cache = options.surroundings.cache.as_ref();
    let onnx = OnnxOptions {
        library: library.path,
        reproducible: options.reproducible,
        intra_threads: 1,
        cuda_libraries: library.preload,
        graph_cache: cache.map(|cache| cache.join("graphs")),
        normalise: Normalise::Auto,
    };
    let factory = OnnxFactory::try_new(spec, options.devices.clone(), onnx)?;
    if let Some(notice) = factory.notice() {
        (options.say)(notice);
    }
    Ok(Arc::new(factory))
}

#[cfg(not(feature = "onnx"))]
fn onnx_factory(_: ModelSpec, _: &ModelOptions, _: Library) -> Result<Arc<dyn EncoderFactory>> {
    Err(crate::error::Error::usage(
        "load a model: this build has no ONNX Runtime (feature `onnx`)",
    ))
}
