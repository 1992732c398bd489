//! The small model that is part of the program.
//!
//! What it is, how it was made and how good it is: `assets/model/README.md`.

use super::model::Files;
use crate::error::Result;

/// Fingerprint of these files; to hash them at every start would take a while.
#[cfg(feature = "bundled-model")]
pub(super) const FINGERPRINT: &str =
    "5eda9f1864d73d87354c54465e83f4b65062a0f331e3ffd43499ff9042db83b5";

/// The files of the bundled model.
///
/// # Errors
/// When the program was built without it.
#[cfg(feature = "bundled-model")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the build without the model has the same signature"
)]
pub(super) fn files() -> Result<Files> {
    Ok(Files::Embedded(&[
        (
            "config.json",
            include_bytes!("../../assets/model/config.json"),
        ),
        (
            "onnx/text_model_quantized.onnx",
            include_bytes!("../../assets/model/onnx/text_model_quantized.onnx"),
        ),
        (
            "onnx/vision_model_quantized.onnx",
            include_bytes!("../../assets/model/onnx/vision_model_quantized.onnx"),
        ),
        (
            "preprocessor_config.json",
            include_bytes!("../../assets/model/preprocessor_config.json"),
        ),
        (
            "tokenizer.json",
            include_bytes!("../../assets/model/tokenizer.json"),
        ),
        (
            "tokenizer_config.json",
            include_bytes!("../../assets/model/tokenizer_config.json"),
        ),
    ]))
}

/// There are no such files.
#[cfg(not(feature = "bundled-model"))]
pub(super) const FINGERPRINT: &str = "";

/// The files of the bundled model.
///
/// # Errors
/// Always: the program was built without it.
#[cfg(not(feature = "bundled-model"))]
pub(super) fn files() -> Result<Files> {
    Err(
        crate::error::Error::usage("use the bundled model: this build has none")
            .hint("pass --model with a directory, or build with the feature bundled-model"),
    )
}
