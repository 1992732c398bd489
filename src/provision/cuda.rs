//! NVIDIA's libraries from their Python packages, in the order in which they must be loaded.
//!
//! The CUDA provider needs cudart, cublasLt, cublas and curand before it loads and opens cuDNN, cuFFT and
//! NVRTC by name later, but has no run path to any of them. `# Source`: the provider's ELF header and
//! `preload_dlls` of the `onnxruntime` package.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::version::Version;

/// The first release that is built for CUDA 13; those before are built for CUDA 12.
const FIRST_WITH_CUDA_13: Version = Version {
    major: 1,
    minor: 27,
    patch: 0,
};

/// File names by CUDA release, dependencies first. A name that ends in a dot stands for any number after it.
const CUDA_13: &[&str] = &[
    "libcudart.so.13",
    "libnvrtc-builtins.so.",
    "libnvrtc.so.13",
    "libnvJitLink.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
    "libcufft.so.12",
];
const CUDA_12: &[&str] = &[
    "libcudart.so.12",
    "libnvrtc-builtins.so.",
    "libnvrtc.so.12",
    "libnvJitLink.so.12",
    "libcublasLt.so.12",
    "libcublas.so.12",
    "libcurand.so.10",
    "libcufft.so.11",
];
const CUDNN: &[&str] = &[
    "libcudnn.so.9",
    "libcudnn_graph.so.9",
    "libcudnn_ops.so.9",
    "libcudnn_heuristic.so.9",
    "libcudnn_cnn.so.9",
    "libcudnn_adv.so.9",
    "libcudnn_ext.so.9",
    "libcudnn_engines_precompiled.so.9",
    "libcudnn_engines_runtime_compiled.so.9",
    "libcudnn_engines_tensor_ir.so.9",
];

/// What lies in `nvidia/` beside the library or beside the package that holds it.
pub(super) fn preload(library: &Path, version: Option<Version>) -> Vec<PathBuf> {
    // The cache keeps both in one directory; Python has <site-packages>/onnxruntime/capi/<library>.
    let parents = library.ancestors().skip(1).take(3);
    let Some(root) = parents
        .map(|parent| parent.join("nvidia"))
        .find(|root| root.is_dir())
    else {
        return Vec::new();
    };
    let (cuda, consolidated) = match version {
        Some(version) if version < FIRST_WITH_CUDA_13 => (CUDA_12, "cu12"),
        _ => (CUDA_13, "cu13"),
    };
    let directories = library_dirs(&root, consolidated);
    cuda.iter()
        .chain(CUDNN)
        .filter_map(|name| {
            directories
                .iter()
                .find_map(|directory| named(directory, name))
        })
        .collect()
}

/// `nvidia/cu13/lib` (CUDA 13) first, then `nvidia/<component>/lib`; those of another CUDA release never.
fn library_dirs(root: &Path, consolidated: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            name != consolidated && !matches!(name.as_str(), "cu11" | "cu12" | "cu13" | "cu14")
        })
        .collect();
    names.sort();
    names.insert(0, consolidated.to_owned());
    names
        .into_iter()
        .map(|name| root.join(name).join("lib"))
        .collect()
}

fn named(directory: &Path, name: &str) -> Option<PathBuf> {
    if !name.ends_with('.') {
        return Some(directory.join(name)).filter(|path| path.is_file());
    }
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(name))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.pop()
}
