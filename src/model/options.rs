//! How a model is found, and how it runs.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::{
    config::{Device, Devices, Tell},
    encode::Precision,
    preprocess::Scaling,
    provision::{Surroundings, standard_library_dirs},
};

/// How a model is found, and how it runs.
#[derive(Clone)]
#[non_exhaustive]
pub struct ModelOptions {
    /// Variant of the weights; of 16-bit floats if there are any for a GPU that [`Self::devices`] names.
    pub precision: Precision,
    /// Where the text tower is, if it is not with the image tower: a directory or `hf:org/name`.
    pub text_model: Option<String>,
    /// Where encoders run.
    pub devices: Devices,
    /// How large JPEGs are decoded.
    pub scaling: Scaling,
    /// Each row gets the same vector whatever rows are beside it, even where that costs speed.
    pub reproducible: bool,
    /// Where ONNX Runtime and models are looked for, where they are kept, and whether they may be fetched.
    pub surroundings: Surroundings,
    /// Another address of the hub.
    pub hub_endpoint: Option<String>,
    /// Who asks the hub; without it the token file beside the hub's cache is read.
    pub hub_token: Option<String>,
    /// Forbids requests to the hub alone.
    pub hub_offline: bool,
    /// Gets what the user should know at once, such as a download.
    pub say: Tell,
}

impl Default for ModelOptions {
    /// The CPU or the GPU that is there; ONNX Runtime of a Python environment or of the system. Nothing is read
    /// from the environment, and without [`Self::with_cache`] nothing is fetched.
    fn default() -> Self {
        Self {
            precision: Precision::Auto,
            text_model: None,
            devices: Device::Auto.into(),
            scaling: Scaling::Exact,
            reproducible: false,
            surroundings: Surroundings {
                library_dirs: standard_library_dirs(),
                ..Surroundings::default()
            },
            hub_endpoint: None,
            hub_token: None,
            hub_offline: false,
            say: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for ModelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token.
        f.debug_struct("ModelOptions")
            .field("precision", &self.precision)
            .field("text_model", &self.text_model)
            .field("devices", &self.devices)
            .field("scaling", &self.scaling)
            .field("reproducible", &self.reproducible)
            .field("surroundings", &self.surroundings)
            .finish_non_exhaustive()
    }
}

impl ModelOptions {
    /// As [`Self::default`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads this variant of the weights.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Takes the text tower from this directory or `hf:org/name`, and only the image tower from the model that is named.
    #[must_use]
    pub fn with_text_model(mut self, name: impl Into<String>) -> Self {
        self.text_model = Some(name.into());
        self
    }

    /// Runs encoders there.
    #[must_use]
    pub fn with_devices(mut self, devices: impl Into<Devices>) -> Self {
        self.devices = devices.into();
        self
    }

    /// Decodes large JPEGs this way.
    #[must_use]
    pub fn with_scaling(mut self, scaling: Scaling) -> Self {
        self.scaling = scaling;
        self
    }

    /// Gives each row the same vector whatever rows are beside it.
    #[must_use]
    pub fn with_reproducible(mut self) -> Self {
        self.reproducible = true;
        self
    }

    /// Loads this ONNX Runtime, a library or its directory, and looks for no other.
    #[must_use]
    pub fn with_onnxruntime(mut self, path: impl Into<PathBuf>) -> Self {
        self.surroundings.explicit = Some(path.into());
        self
    }

    /// Keeps there what is fetched: ONNX Runtime if there is none, models of the hub, optimised graphs.
    #[must_use]
    pub fn with_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.surroundings.cache = Some(directory.into());
        self
    }

    /// Fetches nothing: only what is on this machine is used.
    #[must_use]
    pub fn with_offline(mut self) -> Self {
        self.surroundings.offline = true;
        self
    }

    /// Gives what the user should know at once to `say`, line by line.
    #[must_use]
    pub fn with_say(mut self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.say = Arc::new(say);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let options = ModelOptions {
            hub_token: Some("hf_secret".to_owned()),
            ..ModelOptions::new()
        };
        assert!(!format!("{options:?}").contains("hf_secret"));
    }
}
