//! ONNX Runtime, loaded once per process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::{Error, Result};

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

/// The version and the environment of the runtime at `path`, loading it if need be.
pub(super) fn runtime(path: &Path) -> Result<(String, Environment)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_name_or_the_build() {
        let build = "ORT Build Info: git-branch=rel-1.31.0, git-commit-id=1, build type=Release";
        assert_eq!(
            version_of(build, Path::new("/a/libonnxruntime.so.1.32.0")),
            "1.32.0"
        );
        assert_eq!(
            version_of(build, Path::new("/a/libonnxruntime.so")),
            "1.31.0"
        );
        assert_eq!(
            version_of(build, Path::new("/a/libonnxruntime.so.1")),
            "1.31.0"
        );
        assert_eq!(version_of("", Path::new("/a/onnxruntime.dll")), "unknown");
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error_of_the_runtime() {
        let error = load_runtime(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Runtime);
    }
}
