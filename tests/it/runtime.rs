//! ONNX Runtime for the tests that need a model: found on the machine, else fetched into the user cache.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use clip_filter::provision::{
    Flavor, Surroundings, find_or_fetch_onnxruntime, standard_library_dirs,
};

/// The library, found once per test binary.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = LIBRARY.get_or_init(|| {
        find_or_fetch_onnxruntime(&surroundings(), Flavor::Cpu, &mut |line| {
            eprintln!("{line}")
        })
        .map(|library| library.path)
        .map_err(|error| error.report())
    });
    match found {
        Ok(path) => path,
        Err(report) => panic!(
            "this test needs ONNX Runtime, and it can be neither found nor fetched: {report}"
        ),
    }
}

/// As the program resolves them.
fn surroundings() -> Surroundings {
    let path = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = path("CLIP_FILTER_CACHE")
        .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("clip-filter")))
        .or_else(|| path("HOME").map(|home| home.join(".cache/clip-filter")))
        .unwrap_or_else(|| env::temp_dir().join("clip-filter-cache"));
    Surroundings {
        cache,
        explicit: path("CLIP_FILTER_ONNXRUNTIME").or_else(|| path("ORT_DYLIB_PATH")),
        python: env::var("CLIP_FILTER_PYTHON").ok(),
        virtual_env: path("VIRTUAL_ENV"),
        conda_prefix: path("CONDA_PREFIX"),
        library_dirs: standard_library_dirs(),
        ..Surroundings::default()
    }
}

/// The folder of the development pictures, if there is one; `test` is named in the line that says there is none.
pub(crate) fn shared_data(test: &str) -> Option<PathBuf> {
    let folder = env::var_os("CLIP_FILTER_SHARED_DATA")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    if folder.is_none() {
        eprintln!(
            "skipped: {test} over the development pictures (set CLIP_FILTER_SHARED_DATA to their folder)"
        );
    }
    folder
}
