//! From the name of a model to something that encodes.
//!
//! `provision` finds and fetches, `encode` loads; here one follows the other. `options` is what a host may say,
//! `environment` what the command line takes from its surroundings, `runtime` which ONNX Runtime suits the device.

mod check;
mod environment;
mod options;
mod runtime;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    config::Device,
    encode::{
        APART, EncoderFactory, EncoderSource, MockFactory, ModelSource, ModelSpec, Precision,
    },
    error::{Error, Result},
    provision::{HubSpec, Surroundings, fetch_model},
    schema::Side,
    secrets::HIDDEN,
    summary::ModelCard,
};

pub use check::{CheckedPair, ModelCheck, tokens};
pub use environment::surroundings;
pub use options::ModelOptions;

/// The model that is part of the program.
pub const BUNDLED: &str = "bundled";
/// Before the name of a model of the hub.
const HUB: &str = "hf:";
/// Encodes without a model, for tests of everything around it.
const MOCK: &str = "mock";
/// The precision that a GPU is made for.
const HALF: &str = "fp16";

/// A model by its name: read and loaded when something must be encoded, and once.
///
/// | name | model |
/// |---|---|
/// | `bundled` | the small one that is part of the program (feature `bundled-model`) |
/// | `hf:org/name`, `hf:org/name@revision` | one of the hub, fetched the first time (feature `hub`) |
/// | `mock`, `mock:FILE`, `mock:sleep=MS` | none: vectors are made of bytes, for tests; FILE gets a byte for every image, which takes MS milliseconds |
/// | `hf:org/name/folder` | one of several in a repository |
/// | `A + B` | the image tower of A and the text tower of B, each a directory or `hf:org/name` ([`ModelOptions::with_text_model`]) |
/// | anything else | the directory of that path, in one of the layouts that are downloaded |
///
/// All but the mock are run by ONNX Runtime (feature `onnx`).
///
/// # Example
/// ```
/// use clip_filter::model::{Model, ModelOptions};
///
/// # fn main() -> clip_filter::error::Result<()> {
/// # #[cfg(feature = "bundled-model")] {
/// let model = Model::open("bundled", ModelOptions::new())?;
/// assert_eq!(model.spec()?.image_size(), (260, 260));
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Model {
    /// `None` for the one that a score store was made with.
    name: Option<String>,
    options: ModelOptions,
    /// A run asks for the identity and then for the model: hashing the weights once is enough.
    opened: Mutex<Option<Opened>>,
}

/// What the files of a model said.
#[derive(Debug)]
struct Opened {
    name: String,
    precision: Precision,
    spec: ModelSpec,
}

impl Model {
    /// The model called `name`: its files are found, or fetched, and read, but not loaded yet.
    ///
    /// # Errors
    /// When there is no such model, it cannot be fetched, its files are damaged, or this build lacks a feature for it.
    pub fn open(name: impl Into<String>, options: ModelOptions) -> Result<Self> {
        let model = Self::named(name, options);
        model.identity()?;
        Ok(model)
    }

    /// The model called `name`, not looked for before a run needs it.
    pub fn named(name: impl Into<String>, options: ModelOptions) -> Self {
        let name = match &options.text_model {
            Some(text) => format!("{}{APART}{text}", name.into()),
            None => name.into(),
        };
        Self {
            name: Some(name),
            ..Self::of_store(options)
        }
    }

    /// The model that a score store was made with, the bundled one where there is none yet.
    pub fn of_store(options: ModelOptions) -> Self {
        Self {
            name: None,
            options,
            opened: Mutex::new(None),
        }
    }

    /// What the files of the model say; nothing is loaded.
    ///
    /// # Errors
    /// As [`Self::open`]; and of the mock, which has no files.
    pub fn spec(&self) -> Result<ModelSpec> {
        let name = self.name.as_deref().unwrap_or(BUNDLED);
        if mock(name)?.is_some() {
            return Err(Error::usage("read the files of the mock: it has none"));
        }
        self.spec_of(name, &self.options.precision)
    }

    fn spec_of(&self, name: &str, precision: &Precision) -> Result<ModelSpec> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*opened
            && known.name == name
            && known.precision == *precision
        {
            return Ok(known.spec.clone());
        }
        let spec = self
            .read(name, precision)?
            .with_scaling(self.options.scaling);
        *opened = Some(Opened {
            name: name.to_owned(),
            precision: precision.clone(),
            spec: spec.clone(),
        });
        Ok(spec)
    }

    /// The variant that was asked for; a GPU that was asked for gets 16-bit floats if there are any.
    fn read(&self, name: &str, precision: &Precision) -> Result<ModelSpec> {
        let device = self.options.devices.first();
        let on_gpu = matches!(device, Device::Cuda(_) | Device::TensorRt(_));
        let half = Precision::Variant(HALF.to_owned());
        if on_gpu
            && *precision == Precision::Auto
            && let Ok(spec) = self.read_variant(name, &half)
        {
            return Ok(spec);
        }
        // What is wrong beside the precision shows here again.
        self.read_variant(name, precision)
    }

    fn read_variant(&self, name: &str, precision: &Precision) -> Result<ModelSpec> {
        let open = |source: &ModelSource| {
            let cache = self.options.surroundings.cache.as_deref();
            ModelSpec::open_with_cache(source, precision, cache)
        };
        if let Some((image, text)) = name.split_once(APART)
            && !Path::new(name).exists()
        {
            let (image, image_name) = self.part(image, Side::Image, precision)?;
            let (text, text_name) = self.part(text, Side::Text, precision)?;
            let spec = open(&ModelSource::Directories { image, text })?;
            return Ok(spec.with_name(format!("{image_name}{APART}{text_name}")));
        }
        if name.starts_with(HUB) {
            let (directory, name) = self.fetched(name, None, precision)?;
            let spec = open(&ModelSource::Directory(directory))?;
            return Ok(spec.with_name(name));
        }
        let source = match name {
            BUNDLED => ModelSource::Bundled,
            path => ModelSource::Directory(path.into()),
        };
        open(&source)
    }

    /// The directory of a tower that is named alone, and the name to know it by.
    fn part(&self, name: &str, part: Side, precision: &Precision) -> Result<(PathBuf, String)> {
        if name == BUNDLED {
            return Err(Error::usage("take one tower of the bundled model"));
        }
        if name.starts_with(HUB) {
            return self.fetched(name, Some(part), precision);
        }
        Ok((name.into(), name.to_owned()))
    }

    /// The directory of a model of the hub, and its name with the commit.
    fn fetched(
        &self,
        name: &str,
        part: Option<Side>,
        precision: &Precision,
    ) -> Result<(PathBuf, String)> {
        let options = &self.options;
        let hub: HubSpec = name
            .parse()
            .map_err(|reason: String| Error::usage("read --model").with("reason", reason))?;
        let hub = HubSpec {
            endpoint: options.hub_endpoint.clone(),
            token: options.hub_token.clone(),
            precision: Some(precision.to_string()),
            part,
            ..hub
        };
        let surroundings = Surroundings {
            offline: options.surroundings.offline || options.hub_offline,
            ..options.surroundings.clone()
        };
        let fetched = fetch_model(&surroundings, &hub, &mut |line| (options.say)(line))?;
        let directory = match &hub.folder {
            Some(folder) => fetched.directory.join(folder),
            None => fetched.directory,
        };
        let pinned = HubSpec {
            revision: Some(fetched.revision),
            ..hub
        };
        Ok((directory, pinned.to_string()))
    }
}

impl EncoderSource for Model {
    fn identity(&self) -> Result<Option<ModelCard>> {
        let Some(name) = &self.name else {
            return Ok(None);
        };
        if let Some(mock) = mock(name)? {
            return Ok(Some(mock.card().clone()));
        }
        let spec = self.spec_of(name, &self.options.precision)?;
        Ok(Some(spec.card()))
    }

    fn load(&self, stored: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>> {
        let asked = self.options.precision.clone();
        let (name, precision) = match (&self.name, stored) {
            (Some(name), _) => (name.as_str(), asked),
            (None, Some(card)) if card.name.contains(HIDDEN) => {
                return Err(Error::usage(
                    "open the model of the score store: its name holds a secret, which the store does not keep",
                )
                .with("model", &card.name)
                .hint("name it again with --model"));
            }
            (None, Some(card)) => {
                let Ok(precision) = card.precision.parse();
                (card.name.as_str(), precision)
            }
            (None, None) => (BUNDLED, asked),
        };
        if let Some(mock) = mock(name)? {
            return Ok(Arc::new(mock));
        }
        let spec = self.spec_of(name, &precision)?;
        runtime::load(spec, &self.options)
    }
}

fn mock(name: &str) -> Result<Option<MockFactory>> {
    let Some(rest) = name.strip_prefix(MOCK) else {
        return Ok(None);
    };
    let asked = rest.strip_prefix(':');
    if let Some(sleep) = asked.and_then(|asked| asked.strip_prefix("sleep=")) {
        let millis = sleep.parse().map_err(|error| {
            Error::usage("read how many milliseconds the mock sleeps")
                .with("model", name)
                .source(error)
        })?;
        let mock = MockFactory::try_new()?.sleeping(Duration::from_millis(millis));
        return Ok(Some(mock));
    }
    match asked {
        Some(log) => Ok(Some(MockFactory::try_new()?.logging_to(log))),
        None if rest.is_empty() => MockFactory::try_new().map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str) -> Error {
        Model::open(name, ModelOptions::new()).unwrap_err()
    }

    #[test]
    fn opening_reads_the_files_and_naming_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = dir.path().join("gone").display().to_string();
        assert!(error(&nothing).report().contains(&nothing));
        let later = Model::named(nothing.as_str(), ModelOptions::new());
        assert!(later.identity().is_err());
        assert!(error("hf:no-slash").report().contains("org/name"));
    }

    #[test]
    fn a_mock_that_sleeps_is_the_same_mock() {
        let fingerprint = |name: &str| {
            let model = Model::open(name, ModelOptions::new()).unwrap();
            model.identity().unwrap().unwrap().fingerprint
        };
        assert_eq!(fingerprint("mock:sleep=1"), fingerprint("mock"));
        let report = error("mock:sleep=long").report();
        assert!(report.contains("milliseconds"), "{report}");
    }

    #[test]
    fn a_model_of_the_hub_needs_a_directory_to_be_kept_in() {
        let report = error("hf:org/name").report();
        assert!(report.contains("there is no cache directory"), "{report}");
    }

    #[test]
    fn a_store_says_which_model_it_was_made_with() {
        let mock = MockFactory::try_new().unwrap().card().clone();
        let model = Model::of_store(ModelOptions::new());
        assert_eq!(model.identity().unwrap(), None);
        let loaded = model.load(Some(&mock)).unwrap();
        assert_eq!(loaded.card().fingerprint, mock.fingerprint);
        // A name goes before what the store says.
        let named = Model::named("mock", ModelOptions::new());
        let other = ModelCard {
            name: "another".to_owned(),
            ..mock
        };
        assert_eq!(named.load(Some(&other)).unwrap().card().name, "mock");
    }

    #[cfg(feature = "bundled-model")]
    #[test]
    fn the_files_are_read_once_for_each_precision() {
        let model = Model::open(BUNDLED, ModelOptions::new()).unwrap();
        let card = model.identity().unwrap().unwrap();
        assert_eq!(card.name, BUNDLED);
        let missing = ModelOptions::new().with_precision(Precision::Variant("fp64".to_owned()));
        assert!(Model::open(BUNDLED, missing).is_err());
    }
}
