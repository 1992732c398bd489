//! ONNX Runtime for the tests that need a model: found on the machine, else fetched into the user cache.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use clip_filter::provision::{Flavor, Surroundings, find_or_fetch_onnxruntime};

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

/// As the program resolves them; nothing lies beside a test.
fn surroundings() -> Surroundings {
    let explicit = env::var_os("CLIP_FILTER_ONNXRUNTIME").filter(|path| !path.is_empty());
    let found = clip_filter::model::surroundings();
    Surroundings {
        explicit: explicit.map(PathBuf::from).or(found.explicit),
        executable_dir: None,
        ..found
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
