//! `clip-filter --version --json`: what was built, for programs.

use serde::Serialize;

use crate::provision;

/// The facts of a build.
#[derive(Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    /// Features of the crate that are on, sorted.
    features: Vec<&'static str>,
    /// The C API of ONNX Runtime that is asked for: libraries from 1.N on offer it. None where no model can run.
    onnxruntime_api: Option<u32>,
}

/// One line of JSON.
pub(super) fn json() -> crate::error::Result<()> {
    let features = [
        ("bundled-model", cfg!(feature = "bundled-model")),
        ("cli", cfg!(feature = "cli")),
        ("delta", cfg!(feature = "delta")),
        ("hub", cfg!(feature = "hub")),
        ("onnx", cfg!(feature = "onnx")),
        ("remote", cfg!(feature = "remote")),
    ];
    let on = features.into_iter().filter(|(_, on)| *on);
    super::running::print_json(&Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        features: on.map(|(name, _)| name).collect(),
        onnxruntime_api: cfg!(feature = "onnx").then_some(provision::Version::OLDEST.minor),
    })
}
