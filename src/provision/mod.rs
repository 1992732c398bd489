//! Brings the two things a run needs from outside into a cache: ONNX Runtime and models of the hub.
//!
//! Nothing here reads the environment: the caller resolves every setting into [`Surroundings`]. (The Python
//! interpreter that is asked for a package, and pip, inherit the environment as any child process does.)
//! What is fetched is pinned by its hash, unpacked beside its final place and renamed into it, so two
//! processes that fetch at once both end with a whole library and a killed one leaves only a dot directory.

mod cuda;
mod fetch;
mod hub;
mod python;
mod search;
mod version;
mod wheels;

use std::{fmt, path::PathBuf};

use crate::error::{Error, Result};

pub use hub::{HubFile, HubModel, HubSpec, fetch_model};
pub use search::standard_library_dirs;
pub use version::Version;

/// What the machine and its settings say, resolved by the caller.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The user cache: `CLIP_FILTER_CACHE`, else `XDG_CACHE_HOME/clip-filter`, else `~/.cache/clip-filter`. Without it
    /// nothing is fetched.
    pub cache: Option<PathBuf>,
    /// Forbids every request: only what is on this machine is used.
    pub offline: bool,
    /// `--onnxruntime` or `ORT_DYLIB_PATH`: a library, or a directory that holds one.
    pub explicit: Option<PathBuf>,
    /// The directory of this program.
    pub executable_dir: Option<PathBuf>,
    /// `CLIP_FILTER_PYTHON`; without it the environments' own interpreter, then `python3` and `python`.
    pub python: Option<String>,
    /// `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// `CONDA_PREFIX`.
    pub conda_prefix: Option<PathBuf>,
    /// Where the system loader looks: the entries of `LD_LIBRARY_PATH` (or its twin on other systems),
    /// then [`standard_library_dirs`].
    pub library_dirs: Vec<PathBuf>,
    /// The hub's own cache, shared with Python: `HF_HUB_CACHE`, else `HF_HOME/hub`, else
    /// `~/.cache/huggingface/hub`. Without it models go into [`Self::cache`].
    pub hub_cache: Option<PathBuf>,
}

/// Which ONNX Runtime is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Any library: the CPU provider is always in it.
    Cpu,
    /// A library with the CUDA and TensorRT providers beside it.
    Cuda,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavor::Cpu => "cpu",
            Flavor::Cuda => "cuda",
        })
    }
}

/// An ONNX Runtime that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The shared library.
    pub path: PathBuf,
    /// Its version, where the file name tells.
    pub version: Option<Version>,
    /// Which place it was found in, in words.
    pub origin: &'static str,
    /// Libraries to load before the first session, in this order: the CUDA provider has no run path, so it
    /// finds them only among what is loaded already. Empty for [`Flavor::Cpu`] or where the system has them.
    pub preload: Vec<PathBuf>,
}

/// The ONNX Runtime of this machine, without fetching anything.
///
/// # Errors
/// An explicit path that holds no usable library, or every place that was tried with the reason.
pub fn find_onnxruntime(surroundings: &Surroundings, flavor: Flavor) -> Result<Library> {
    let platform = version::Platform::current();
    if let Some(path) = &surroundings.explicit {
        return search::explicit(path, flavor, platform.os);
    }
    search::search(surroundings, flavor, &platform).map_err(|tried| not_found(flavor, tried))
}

/// The ONNX Runtime of this machine, else the pinned one, fetched with pip into the cache.
///
/// The order is: the explicit path, beside the program, the user cache, a Python environment, the system
/// loader's directories. `say` gets one line per download.
///
/// # Errors
/// An explicit path that holds no usable library (nothing else is tried then); else every place that was
/// tried with the reason, and why fetching was not possible.
pub fn find_or_fetch_onnxruntime(
    surroundings: &Surroundings,
    flavor: Flavor,
    say: &mut dyn FnMut(&str),
) -> Result<Library> {
    let platform = version::Platform::current();
    if let Some(path) = &surroundings.explicit {
        return search::explicit(path, flavor, platform.os);
    }
    let tried = match search::search(surroundings, flavor, &platform) {
        Ok(library) => return Ok(library),
        Err(tried) => tried,
    };
    if surroundings.offline {
        return Err(not_found(flavor, tried).with("pip", "not asked: --offline forbids it"));
    }
    say("no ONNX Runtime was found on this machine");
    fetch::fetch(surroundings, flavor, &platform, say).map_err(|error| {
        tried
            .into_iter()
            .fold(error, |error, tried| error.with(tried.place, tried.reason))
    })
}

/// Fetches the pinned ONNX Runtime into the cache, whatever else is on the machine.
///
/// # Errors
/// The platform has no pinned library, requests are forbidden, Python or pip is missing, the download
/// fails or its hash is not the pinned one.
pub fn setup(
    surroundings: &Surroundings,
    flavor: Flavor,
    say: &mut dyn FnMut(&str),
) -> Result<Library> {
    fetch::fetch(surroundings, flavor, &version::Platform::current(), say)
}

/// Runs a Python script of this program with the user's interpreter.
///
/// # Errors
/// There is no Python, or the script fails: the error has its last lines.
pub fn run_python(surroundings: &Surroundings, script: &str, arguments: &[&str]) -> Result<()> {
    python::Interpreter::find(surroundings)?.script(script, arguments)
}

fn not_found(flavor: Flavor, tried: Vec<search::Tried>) -> Error {
    let (message, hint) = match flavor {
        Flavor::Cpu => (
            "find ONNX Runtime 1.24 or later",
            "`clip-filter setup` (fetches it), or `pip install onnxruntime`, or `--onnxruntime PATH`",
        ),
        Flavor::Cuda => (
            "find ONNX Runtime 1.24 or later with CUDA",
            "`clip-filter setup --cuda` (fetches it), or `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or \
             `--onnxruntime PATH`",
        ),
    };
    tried
        .into_iter()
        .fold(Error::runtime(message), |error, tried| {
            error.with(tried.place, tried.reason)
        })
        .hint(hint)
}

#[cfg(test)]
mod tests;
