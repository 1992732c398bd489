//! Sessions on a device.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use clip_filter_pixels::{Patches, Resize};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::graph_cache::{GraphCache, MOST_WEIGHTS_BYTES};
use super::{Setup, TENSORRT_BATCH, failed};
use crate::config::Device;
use crate::encode::ModelLayout;
use crate::encode::graph::Versions;
use crate::encode::graph::prelude::prelude;
use crate::encode::model::{Files, Tower};
use crate::error::{Error, Result};

impl Setup {
    /// A session for one tower.
    ///
    /// # Errors
    /// When `device` is not there or the runtime refuses the graph.
    pub(super) fn session<P>(
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
        builder = self.on_device(builder, device).map_err(about)?;
        let commit = |result: ort::Result<Session>| match result {
            Ok(session) => Ok(session),
            Err(error) if refuses_version(&error.to_string()) => {
                Err(about(self.too_new(&tower.versions, &error.to_string())))
            }
            Err(error) if device == Device::Cpu => Err(about(
                Error::model("load the model").source(error.to_string()),
            )),
            Err(error) => Err(about(no_device(device, &error.to_string()))),
        };
        let make = |mut builder: SessionBuilder| {
            if spec.layout != ModelLayout::Pair {
                let graph = spec.files.pruned(&tower.file, output)?;
                builder = with_external(builder, &spec.files, tower).map_err(about)?;
                return commit(builder.commit_from_memory(&graph));
            }
            match spec.files.path(&tower.file) {
                Some(path) => commit(builder.commit_from_file(path)),
                None => {
                    let bytes = spec.files.embedded(&tower.file).unwrap_or_default();
                    commit(builder.commit_from_memory(bytes))
                }
            }
        };
        let (session, is_mapped) = match self.cache(tower, device) {
            None => (make(builder)?, false),
            Some(cache) => {
                let parts = [
                    SETTINGS,
                    &spec.fingerprint,
                    &tower.file,
                    output,
                    &self.version,
                ];
                cache.session(&parts, &builder, make)?
            }
        };
        if !is_mapped {
            self.holds_weights.store(true, Relaxed);
        }
        Ok(session)
    }

    /// The error of a file that this ONNX Runtime is too old for.
    fn too_new(&self, versions: &Versions, cause: &str) -> Error {
        Error::model("load a model that is newer than this ONNX Runtime")
            .with("the file", format!("IR version {}, opset {}", versions.ir, versions.opset))
            .with("ONNX Runtime", &self.version)
            .source(cause.to_owned())
            .hint("a newer ONNX Runtime: `clip-filter setup` fetches one, --onnxruntime names one; or export the model anew for an older version")
    }

    /// A session of the graph that normalises images on `device`.
    ///
    /// # Errors
    /// When `device` is not there.
    pub(super) fn prelude(&self, device: Device, half: bool) -> Result<Session> {
        let builder = builder(&self.environment, 1).map_err(failed("set up a session"))?;
        let mut builder = self.on_device(builder, device)?;
        builder
            .commit_from_memory(&prelude(&self.spec.pixels, half))
            .map_err(|error| no_device(device, &error.to_string()))
    }

    fn on_device(&self, builder: SessionBuilder, device: Device) -> Result<SessionBuilder> {
        let providers = self.providers(device);
        if providers.is_empty() {
            return Ok(builder);
        }
        builder
            .with_execution_providers(providers)
            .map_err(|error| no_device(device, &error.to_string()))
    }

    /// Where the optimised graph of a tower is kept, if it is.
    fn cache<P>(&self, tower: &Tower<P>, device: Device) -> Option<&GraphCache> {
        let names = tower.external.iter().chain([&tower.file]);
        let sizes: Result<u64> = names.map(|name| self.spec.files.size(name)).sum();
        let is_kept = device == Device::Cpu && sizes.is_ok_and(|sum| sum <= MOST_WEIGHTS_BYTES);
        self.graphs.as_ref().filter(|_| is_kept)
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
                vec![self.tensorrt(id(ordinal)), cuda(ordinal)]
            }
        }
    }

    /// TensorRT builds an engine for every range of shapes, which takes minutes: it is told the whole range at once, and
    /// keeps what it built.
    fn tensorrt(&self, ordinal: i32) -> ExecutionProviderDispatch {
        let (height, width) = self.spec.image_size();
        let longest = self.spec.tokens.max_length;
        let shapes = |rows: usize, length: usize| {
            let image = &self.spec.image.ports.pixels;
            let mut shapes = match (&self.spec.image.ports.patches, self.spec.pixels.resize) {
                (Some(ports), Some(Resize::Patches(Patches { edge, most }))) => vec![
                    format!("{image}:{rows}x{most}x{}", 3 * edge * edge),
                    format!("{}:{rows}x{most}", ports.mask.name),
                    format!("{}:{rows}x2", ports.shapes.name),
                ],
                _ => vec![format!("{image}:{rows}x3x{height}x{width}")],
            };
            let texts = self.spec.text.ports.inputs.iter();
            shapes.extend(texts.map(|input| format!("{}:{rows}x{length}", input.name)));
            shapes.join(",")
        };
        let mut tensorrt = ep::TensorRT::default()
            .with_device_id(ordinal)
            .with_fp16(self.spec.image.ports.half)
            .with_profile_min_shapes(shapes(1, 1))
            .with_profile_opt_shapes(shapes(TENSORRT_BATCH, longest.min(32)))
            .with_profile_max_shapes(shapes(4 * TENSORRT_BATCH, longest));
        if let Some(cache) = &self.options.graph_cache {
            tensorrt = tensorrt
                .with_engine_cache(true)
                .with_engine_cache_path(cache.display())
                .with_timing_cache(true)
                .with_timing_cache_path(cache.display());
        }
        tensorrt.build().error_on_failure()
    }

    /// Loads what the CUDA provider needs; what is missing shows when the provider is registered.
    fn preload(&self) {
        for library in &self.options.cuda_libraries {
            // A library that cannot be loaded is named by the error of the provider that needs it.
            let _ = ort::util::preload_dylib(library.as_os_str());
        }
    }
}

/// Names what [`builder`] sets; an optimised graph that is kept has it built in, so it must change with that.
const SETTINGS: &str = "3";

fn builder(environment: &Environment, intra_threads: usize) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(intra_threads.max(1))?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        // Captions come in many lengths: a pattern per shape would be kept for each of them. The arena stays: with
        // it a run of mixed shapes levels off (327 MiB for the bundled model), without it peaks are as high.
        .with_memory_pattern(false)?
        // Processors without VNNI add products of bytes in 16 bits, which saturate: an int8 model would give other vectors
        // there (cosine down to 0.9 for the bundled one). This takes the slower way there that does not; elsewhere nothing.
        .with_config_entry("session.x64quantprecision", "1")?)
}

/// Tells a graph in memory, which has no folder of its own, where its external weights are.
///
/// ONNX Runtime refuses a file that is a link out of its folder, as in the cache of the hub: such a file is handed
/// over as bytes, which are dropped when the session is made.
fn with_external<P>(
    mut builder: SessionBuilder,
    files: &Files,
    tower: &Tower<P>,
) -> Result<SessionBuilder> {
    let set_up = |error: ort::Error<SessionBuilder>| failed("set up a session")(error.into());
    let graph = files.path(&tower.file);
    let Some(folder) = graph.as_deref().and_then(Path::parent) else {
        return Ok(builder);
    };
    for path in tower.external.iter().filter_map(|name| files.path(name)) {
        let outside = path
            .canonicalize()
            .ok()
            .zip(folder.canonicalize().ok())
            .is_none_or(|(file, folder)| !file.starts_with(folder));
        if outside {
            let bytes = fs::read(&path).map_err(|error| {
                Error::model("read external weights")
                    .with("path", path.display())
                    .source(error)
            })?;
            let location = path.strip_prefix(folder).unwrap_or(&path);
            builder = builder
                .with_external_initializer_file_in_memory(location, bytes.into())
                .map_err(set_up)?;
        }
    }
    if tower.external.is_empty() {
        return Ok(builder);
    }
    let key = "session.model_external_initializers_file_folder_path";
    builder
        .with_config_entry(key, folder.to_string_lossy())
        .map_err(set_up)
}

/// Whether a session was refused because the file is of a version that the runtime does not know.
fn refuses_version(cause: &str) -> bool {
    cause.contains("Unsupported model IR version") || cause.contains("only *guarantees* support for models stamped with official released onnx opset versions") || cause.contains("is under development and support for this is limited")
}

fn no_device(device: Device, cause: &str) -> Error {
    Error::runtime(format!("use device {device}"))
        .source(cause.to_owned())
        .hint("`clip-filter setup --cuda` installs onnxruntime-gpu with the CUDA and cuDNN libraries; --device cpu runs without a GPU")
}
