//! What the environment says of caches, libraries and the hub; read when a host asks for it, and by nobody else.

use std::{env, path::PathBuf};

use super::ModelOptions;
use crate::provision::{Surroundings, standard_library_dirs};

impl ModelOptions {
    /// As the command line: with the caches, the Python environment, the library directories and the settings of the
    /// hub that the environment of this process names, and with a cache of this user, so that what is not here is fetched.
    pub fn from_environment() -> Self {
        let offline = env::var("HF_HUB_OFFLINE");
        Self {
            surroundings: surroundings(),
            hub_endpoint: env::var("HF_ENDPOINT").ok(),
            hub_token: env::var("HF_TOKEN").ok(),
            hub_offline: offline.is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false")),
            ..Self::default()
        }
    }
}

/// Caches, Python environments and library directories, as the environment of this process names them.
pub fn surroundings() -> Surroundings {
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
        cache: Some(cache()),
        offline: false,
        explicit: path("ORT_DYLIB_PATH"),
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

/// The user's cache directory of this program.
fn cache() -> PathBuf {
    path("CLIP_FILTER_CACHE")
        .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("clip-filter")))
        .or_else(|| home().map(|home| home.join(".cache/clip-filter")))
        .unwrap_or_else(|| env::temp_dir().join("clip-filter-cache"))
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn home() -> Option<PathBuf> {
    path("HOME").or_else(|| path("USERPROFILE"))
}
