//! The only reader of environment variables that are no option's twin.

use std::{env, path::PathBuf};

use crate::{
    error::{Error, Result},
    provision::{HubSpec, Surroundings, standard_library_dirs},
};

/// Tells libraries what they read from their environment only.
///
/// ONNX Runtime's 1.32 builds collect and send usage events unless told not to before they are loaded; a program that
/// promises to work offline sends nothing. candle's element-wise operations wait for each other by spinning: on batches
/// as small as ours one thread is two to four times faster than two. Without this word it also counts the processor's
/// cores anew for every product.
pub(super) fn tell_libraries() {
    #[expect(
        unsafe_code,
        reason = "the libraries read their environment only; no other thread runs yet"
    )]
    // SAFETY: called first thing in `main`, before any thread is started.
    unsafe {
        env::set_var("ORT_DISABLE_TELEMETRY", "1");
        env::set_var("RAYON_NUM_THREADS", "1");
    }
}

/// The user's cache directory of this program.
pub(super) fn cache() -> PathBuf {
    path("CLIP_FILTER_CACHE")
        .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("clip-filter")))
        .or_else(|| home().map(|home| home.join(".cache/clip-filter")))
        .unwrap_or_else(|| env::temp_dir().join("clip-filter-cache"))
}

/// Resolves caches, environments and library directories.
pub(super) fn resolve(offline: bool, onnxruntime: Option<PathBuf>) -> Surroundings {
    let hub_cache = path("HF_HUB_CACHE")
        .or_else(|| path("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| home().map(|home| home.join(".cache/huggingface/hub")));
    let mut library_dirs: Vec<PathBuf> = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]
        .iter()
        .filter_map(env::var_os)
        .flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>())
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    library_dirs.extend(standard_library_dirs());
    Surroundings {
        cache: cache(),
        offline,
        explicit: onnxruntime.or_else(|| path("ORT_DYLIB_PATH")),
        executable_dir: env::current_exe()
            .ok()
            .and_then(|exe| exe.parent().map(PathBuf::from)),
        python: env::var("CLIP_FILTER_PYTHON").ok(),
        virtual_env: path("VIRTUAL_ENV"),
        conda_prefix: path("CONDA_PREFIX"),
        library_dirs,
        hub_cache,
    }
}

/// True if the hub's own setting forbids requests to it.
pub(super) fn hub_is_offline() -> bool {
    env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// The hub model that `name` means, with the hub's own settings.
pub(super) fn hub_spec(name: &str, precision: &str) -> Result<HubSpec> {
    let spec: HubSpec = name
        .parse()
        .map_err(|reason: String| Error::usage("read --model").with("reason", reason))?;
    Ok(HubSpec {
        endpoint: env::var("HF_ENDPOINT").ok(),
        token: env::var("HF_TOKEN").ok(),
        precision: Some(precision.to_owned()),
        ..spec
    })
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn home() -> Option<PathBuf> {
    path("HOME").or_else(|| path("USERPROFILE"))
}
