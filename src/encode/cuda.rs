//! Where the libraries of CUDA and cuDNN lie beside an ONNX Runtime that was installed with pip.

use std::fs;
use std::path::{Path, PathBuf};

/// Libraries that the CUDA provider needs, dependencies before dependents.
///
/// The provider's library has no search path to them, so they are loaded before it.
const LIBRARIES: [&str; 15] = [
    "libcudart.so",
    "libnvJitLink.so",
    "libcublasLt.so",
    "libcublas.so",
    "libnvrtc.so",
    "libcurand.so",
    "libcufft.so",
    "libcudnn.so",
    "libcudnn_graph.so",
    "libcudnn_ops.so",
    "libcudnn_heuristic.so",
    "libcudnn_adv.so",
    "libcudnn_cnn.so",
    "libcudnn_engines_precompiled.so",
    "libcudnn_engines_runtime_compiled.so",
];

/// The libraries of the `nvidia-*` wheels in the same `site-packages` as `library`, in loading order.
///
/// Empty where `library` is not in a wheel or no such wheel is installed: the system's loader decides then.
pub fn cuda_libraries_beside(library: &Path) -> Vec<PathBuf> {
    // <site-packages>/onnxruntime/capi/libonnxruntime.so.1.x
    let Some(wheels) = library
        .ancestors()
        .nth(3)
        .map(|packages| packages.join("nvidia"))
    else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = files(&wheels)
        .iter()
        .flat_map(|wheel| files(&wheel.join("lib")))
        .collect();
    found.sort();
    let newest = |name: &&str| {
        found
            .iter()
            .rfind(|path| is_version_of(path, name))
            .cloned()
    };
    LIBRARIES.iter().filter_map(newest).collect()
}

/// True for `libcublas.so.12` if `name` is `libcublas.so`.
fn is_version_of(path: &Path, name: &str) -> bool {
    let file = path.file_name().and_then(|file| file.to_str());
    file.is_some_and(|file| {
        file.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_wheels_are_found_in_loading_order() {
        let packages = tempfile::tempdir().unwrap();
        for file in [
            "nvidia/cudnn/lib/libcudnn_ops.so.9",
            "nvidia/cudnn/lib/libcudnn.so.9",
            "nvidia/cublas/lib/libcublas.so.12",
            "nvidia/cublas/lib/libcublasLt.so.12",
            "nvidia/cu13/lib/libcudart.so.13",
            "nvidia/cu13/lib/libother.so.1",
        ] {
            let path = packages.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let library = packages
            .path()
            .join("onnxruntime/capi/libonnxruntime.so.1.32.0");
        let found = cuda_libraries_beside(&library);
        let names: Vec<&str> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "libcudart.so.13",
                "libcublasLt.so.12",
                "libcublas.so.12",
                "libcudnn.so.9",
                "libcudnn_ops.so.9"
            ]
        );
        assert!(cuda_libraries_beside(Path::new("libonnxruntime.so")).is_empty());
    }
}
