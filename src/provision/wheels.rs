//! The wheels that are fetched, pinned by hash.
//!
//! One CPython tag per platform whatever Python the user has: only the shared libraries inside are used.
//! To move to another release, `pip download` each file, put its name, size and `sha256sum` here and run
//! the golden tests.

use super::{Flavor, version::Platform};

/// One pinned wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wheel {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// The platform tag under which pip finds it.
    pub(super) platform: &'static str,
    pub(super) sha256: &'static str,
    pub(super) bytes: u64,
}

/// The CPython release whose wheels are taken.
pub(super) const PYTHON_VERSION: &str = "3.12";
/// Its ABI tag.
pub(super) const PYTHON_ABI: &str = "cp312";

const CPU: &str = "1.32.0";
/// The newest release of the GPU package; built for CUDA 13.0 and cuDNN 9.
const CUDA: &str = "1.31.1";

const fn onnxruntime(platform: &'static str, bytes: u64, sha256: &'static str) -> Wheel {
    Wheel {
        package: "onnxruntime",
        version: CPU,
        platform,
        sha256,
        bytes,
    }
}

const LINUX_X86_64: &[Wheel] = &[onnxruntime(
    "manylinux_2_28_x86_64",
    27_780_211,
    "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
)];
const LINUX_AARCH64: &[Wheel] = &[onnxruntime(
    "manylinux_2_28_aarch64",
    23_196_724,
    "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
)];
const MACOS_AARCH64: &[Wheel] = &[onnxruntime(
    "macosx_14_0_arm64",
    22_519_308,
    "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
)];
const WINDOWS_X86_64: &[Wheel] = &[onnxruntime(
    "win_amd64",
    16_698_767,
    "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
)];

/// The GPU library, then what its CUDA provider needs. cuFFT is left out: no CLIP graph has a Fourier
/// transform and the provider opens it only for one. CUDA 13.0, the oldest of its line, so that every driver
/// of the 580 series and later will do.
const LINUX_X86_64_CUDA: &[Wheel] = &[
    Wheel {
        package: "onnxruntime-gpu",
        version: CUDA,
        platform: "manylinux_2_28_x86_64",
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        bytes: 255_569_273,
    },
    Wheel {
        package: "nvidia-cuda-runtime",
        version: "13.0.96",
        platform: "manylinux2014_x86_64",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        bytes: 2_243_632,
    },
    Wheel {
        package: "nvidia-cuda-nvrtc",
        version: "13.0.88",
        platform: "manylinux2010_x86_64",
        sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        bytes: 90_215_200,
    },
    Wheel {
        package: "nvidia-cublas",
        version: "13.1.0.3",
        platform: "manylinux_2_27_x86_64",
        sha256: "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
        bytes: 423_133_236,
    },
    Wheel {
        package: "nvidia-curand",
        version: "10.4.0.35",
        platform: "manylinux_2_27_x86_64",
        sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        bytes: 59_544_258,
    },
    Wheel {
        package: "nvidia-cudnn-cu13",
        version: "9.25.1.1",
        platform: "manylinux_2_27_x86_64",
        sha256: "195199e8c7f8bca0c366ea675dd2441a406646cf95a98bcda66c999d57dd1f26",
        bytes: 503_870_572,
    },
];

/// The wheels to fetch, the one with ONNX Runtime first; `None` where no release is pinned.
pub(super) fn pinned(flavor: Flavor, platform: &Platform) -> Option<&'static [Wheel]> {
    match (flavor, platform.name) {
        (Flavor::Cpu, "linux-x86_64") => Some(LINUX_X86_64),
        (Flavor::Cpu, "linux-aarch64") => Some(LINUX_AARCH64),
        (Flavor::Cpu, "macos-aarch64") => Some(MACOS_AARCH64),
        (Flavor::Cpu, "windows-x86_64") => Some(WINDOWS_X86_64),
        (Flavor::Cuda, "linux-x86_64") => Some(LINUX_X86_64_CUDA),
        _ => None,
    }
}
