//! A model as its files describe it, before any runtime loads it.
//!
//! The table of layouts is [`crate::config::model_files`]; a file that describes a tower lies beside its graph or in a
//! folder above. Pixels follow `preprocessor_config.json`, `processor_config.json`, `preprocess_cfg.json` or
//! `open_clip_config.json`, whichever comes first; tokens follow `tokenizer.json`, else `vocab.json` with `merges.txt`.

mod files;
mod fingerprints;
mod images;
mod layout;
mod texts;
mod towers;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clip_filter_pixels::{PixelSpec, Scaling};

pub(crate) use self::files::Files;
use self::images::{ImageFiles, ImageSide};
use self::layout::Where;
use self::texts::{TextFiles, TextSide, is_open_clip};
pub(crate) use self::towers::Tower;
#[cfg(feature = "onnx")]
pub(crate) use self::towers::different;
use self::towers::{Towers, check_size};
use super::describe_pixels;
use super::ports::{ImagePorts, TextPorts};
use crate::config::model_files::{self, DESCRIPTIONS, TowerFiles};
use crate::error::{Error, Result};
use crate::preprocess::{Preprocessing, Tokenize, TokenizeOptions};
use crate::schema::Side;
use crate::secrets;
use crate::summary::ModelCard;

/// The file without which no caption becomes tokens.
const TOKENIZER: &str = "tokenizer.json";
/// What it can be made of.
const VOCABULARY: &str = "vocab.json";
/// See [`VOCABULARY`].
const MERGES: &str = "merges.txt";
/// Between the names of the image tower's directory and the text tower's in the name of a model.
pub const APART: &str = " + ";

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The small model that is part of the program.
    Bundled,
    /// A directory in one of the layouts that are downloaded.
    Directory(PathBuf),
    /// Two directories, with a tower in each.
    Directories {
        /// The directory with the image tower.
        image: PathBuf,
        /// The directory with the text tower.
        text: PathBuf,
    },
}

impl ModelSource {
    /// Whether there are graphs of a model in `directory`, or in one of its folders.
    pub fn is_at(directory: &Path) -> bool {
        let files = Files::Directory(directory.to_owned());
        let names = files.names().unwrap_or_default();
        names.iter().any(|name| name.ends_with(".onnx"))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelSource::Bundled => f.write_str("bundled"),
            ModelSource::Directory(path) => path.display().fmt(f),
            ModelSource::Directories { image, text } => {
                write!(f, "{}{APART}{}", image.display(), text.display())
            }
        }
    }
}

/// Which variant of the weights is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precision {
    /// `fp32` if it is there, else the first that is of fp16, quantized, int8, uint8, q4f16, q4, bnb4.
    #[default]
    Auto,
    /// The variant of this name: `fp32` is the file without a suffix, any other name is its suffix.
    Variant(String),
}

impl FromStr for Precision {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Precision::Auto,
            // The name that transformers.js has for the same file.
            "q8" => Precision::Variant("quantized".to_owned()),
            name => Precision::Variant(name.to_owned()),
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precision::Auto => f.write_str("auto"),
            Precision::Variant(name) => f.write_str(name),
        }
    }
}

/// How the towers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelLayout {
    /// One graph per tower.
    Pair,
    /// One graph for both, cut in two when it is loaded.
    Combined,
}

/// Everything about a model that its files say.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// `bundled` or the path; whoever resolved a hub name may set that instead.
    pub name: String,
    /// SHA-256, in hex, over names and contents of every file that decides a score.
    pub fingerprint: String,
    /// The variant that is loaded, by the suffix of its files: `fp32`, `fp16`, `quantized`, …
    pub precision: String,
    /// Every variant that could be loaded instead, this one among them.
    pub precisions: BTreeSet<String>,
    /// How the towers are stored.
    pub layout: ModelLayout,
    /// Length of an embedding, where the graphs declare it.
    pub dim: Option<usize>,
    /// How pixels are made.
    pub pixels: PixelSpec,
    /// Whether large JPEGs are decoded at a reduced size.
    pub scaling: Scaling,
    /// How captions are cut and padded.
    pub tokens: TokenizeOptions,
    /// True when a graph takes the range of its activations from the batch, so that a vector depends on the
    /// rows beside it.
    pub batch_dependent: bool,
    /// Bytes of the graphs and their external weights.
    pub weights_bytes: u64,
    /// Temperature that the configuration states; recorded, a score is a plain cosine.
    pub logit_scale: Option<f64>,
    /// Bias of a sigmoid loss that the configuration states; recorded, a score is a plain cosine.
    pub logit_bias: Option<f64>,
    /// Whose preprocessing is followed, and what resizes there.
    pub reference: &'static str,
    /// What is not known of the model and may move its scores, one line each.
    pub notes: Vec<String>,
    /// What is done to captions beyond `tokenizer.json`, if anything is.
    captions: Option<String>,
    /// Where the files are.
    pub(crate) files: Files,
    /// The image tower.
    pub(crate) image: Tower<ImagePorts>,
    /// The text tower.
    pub(crate) text: Tower<TextPorts>,
    tokenizer_json: Arc<[u8]>,
    /// Names of the files that decide a score.
    decisive: BTreeSet<String>,
}

impl ModelSpec {
    /// Reads what the model at `source` says of itself; weights are hashed but not loaded.
    ///
    /// # Errors
    /// When files are missing or damaged, the precision is not there, the towers do not fit each other or the
    /// preprocessing, or the preprocessing leaves the size of its images open.
    pub fn open(source: &ModelSource, precision: &Precision) -> Result<Self> {
        Self::open_with_cache(source, precision, None)
    }

    /// As [`Self::open`]; weights that were hashed before and have not changed since are not hashed again where the cache
    /// directory of the program is given.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_cache(
        source: &ModelSource,
        precision: &Precision,
        cache: Option<&Path>,
    ) -> Result<Self> {
        let (files, folder) = match source {
            ModelSource::Bundled => (super::bundled::files()?, String::new()),
            ModelSource::Directory(path) => Files::of_directory(path),
            ModelSource::Directories { image, text } => {
                let (image, text) = (image.clone(), text.clone());
                (Files::Apart { image, text }, String::new())
            }
        };
        let place = match source {
            ModelSource::Directories { .. } => Where::Apart,
            _ => Where::Folder(&folder),
        };
        Self::read(files, source.to_string(), place, precision, cache)
            .map_err(|error| error.with("model", source))
    }

    fn read(
        files: Files,
        name: String,
        place: Where<'_>,
        precision: &Precision,
        cache: Option<&Path>,
    ) -> Result<Self> {
        let names = files.names()?;
        let found = layout::find(&names, place, precision)?;
        let graphs = Towers::read(&files, &found)?;
        let described = Described::read(&files, &names, &found)?;
        let texts = described.texts(&name)?;
        let image = described.images(&texts.model_type)?;
        let towers = graphs.checked(&texts.model_type)?;
        check_size(&towers.image.ports, &image.pixels)?;
        let decisive: BTreeSet<String> = towers.weights.union(&described.names).cloned().collect();
        let tokens = texts.options(&towers.text.ports, &described.tokenizer_json);
        Ok(Self {
            name,
            fingerprint: files.fingerprint(&decisive, cache)?,
            layout: layout::kind(&found),
            precision: found.precision,
            precisions: found.precisions,
            dim: towers.dim,
            captions: texts.described(&tokens),
            tokens,
            pixels: image.pixels,
            reference: image.reference,
            notes: texts.notes,
            scaling: Scaling::Exact,
            batch_dependent: towers.batch_dependent,
            weights_bytes: files.total_size(&towers.weights)?,
            logit_scale: texts.logit_scale,
            logit_bias: texts.logit_bias,
            image: towers.image,
            text: towers.text,
            tokenizer_json: described.tokenizer_json.into(),
            decisive,
            files,
        })
    }

    /// What is known of the model before it is loaded; device and runtime are empty, and the name has no secret.
    pub fn card(&self) -> ModelCard {
        ModelCard {
            name: secrets::in_text(&self.name),
            fingerprint: self.fingerprint.clone(),
            precision: self.precision.clone(),
            dim: self.dim.unwrap_or_default(),
            preprocessing: self.described(),
            batch_dependent: self.batch_dependent,
            reference: self.reference.to_owned(),
            notes: self.notes.clone(),
            ..ModelCard::default()
        }
    }

    fn described(&self) -> String {
        let mut steps = vec![describe_pixels(&self.pixels)];
        if self.scaling == Scaling::Dct {
            steps.push("large JPEGs reduced".to_owned());
        }
        steps.extend(self.captions.clone());
        steps.join(", ")
    }

    /// The same model under the name that people know it by, such as `hf:org/name@revision`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same model, large JPEGs decoded as `scaling` says.
    #[must_use]
    pub fn with_scaling(mut self, scaling: Scaling) -> Self {
        self.scaling = scaling;
        self
    }

    /// The files that decide a score, relative to the model directory, with their sizes.
    ///
    /// # Errors
    /// When one has gone meanwhile.
    pub fn file_sizes(&self) -> Result<Vec<(String, u64)>> {
        let size = |name: &String| Ok((name.clone(), self.files.size(name)?));
        self.decisive.iter().map(size).collect()
    }

    /// The files that describe a tower, by their names without folders.
    ///
    /// # Errors
    /// When one has gone meanwhile.
    pub fn descriptions(&self, part: Side) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let graph = match part {
            Side::Image => &self.image.file,
            Side::Text => &self.text.file,
        };
        let names = self.files.names()?;
        let read = DESCRIPTIONS.into_iter().filter_map(|file| {
            let name = model_files::beside(&names, graph, file)?;
            let bytes = self.files.read(&name).transpose()?;
            Some(bytes.map(|bytes| (file, bytes)))
        });
        read.collect()
    }

    /// Height and width of the pixels.
    pub fn image_size(&self) -> (u32, u32) {
        // A spec without a fixed size is refused when it is read.
        images::output_size(&self.pixels).unwrap_or_default()
    }

    /// Pixels and tokens of this model, captions padded as it asks for. The tokenizer is read anew.
    ///
    /// # Errors
    /// When the tokenizer is damaged.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        let tokens = Tokenize::try_new(&self.tokenizer_json, &self.tokens)
            .map_err(|error| error.with("model", &self.name))?;
        Ok(Preprocessing {
            pixels: self.pixels.clone(),
            scaling: self.scaling,
            tokens,
        })
    }
}

/// The files that describe a model, each from the place nearest to its tower.
struct Described {
    image: BTreeMap<&'static str, Vec<u8>>,
    text: BTreeMap<&'static str, Vec<u8>>,
    tokenizer_json: Vec<u8>,
    /// Names of those that decide a score.
    names: BTreeSet<String>,
}

impl Described {
    fn read(files: &Files, names: &BTreeSet<String>, found: &TowerFiles) -> Result<Self> {
        let mut decisive = BTreeSet::new();
        let mut all = |graph: &str| -> Result<BTreeMap<&'static str, Vec<u8>>> {
            let mut read = BTreeMap::new();
            for file in DESCRIPTIONS {
                let Some(name) = model_files::beside(names, graph, file) else {
                    continue;
                };
                if let Some(bytes) = files.read(&name)? {
                    read.insert(file, bytes);
                    decisive.insert(name);
                }
            }
            Ok(read)
        };
        let (image, text) = (all(&found.image)?, all(&found.text)?);
        let tokenizer_json = match (text.get(TOKENIZER), text.get(VOCABULARY), text.get(MERGES)) {
            (Some(json), _, _) => {
                // What it was made of.
                let made_of = |name: &String| name.ends_with(VOCABULARY) || name.ends_with(MERGES);
                decisive.retain(|name| !made_of(name));
                json.clone()
            }
            (None, Some(vocabulary), Some(merges)) => {
                vocabulary::tokenizer_json(vocabulary, merges)?
            }
            _ => {
                return Err(Error::model("find a file of the model")
                    .with("file", TOKENIZER)
                    .hint("it lies beside the text tower or in a folder above; vocab.json with merges.txt does as well"));
            }
        };
        Ok(Self {
            image,
            text,
            tokenizer_json,
            names: decisive,
        })
    }

    /// open_clip's configuration, also where it is `config.json`.
    fn open_clip<'a>(files: &'a BTreeMap<&'static str, Vec<u8>>) -> Option<&'a [u8]> {
        let own = files.get("open_clip_config.json");
        own.or_else(|| files.get("config.json").filter(|json| is_open_clip(json)))
            .map(Vec::as_slice)
    }

    fn texts(&self, name: &str) -> Result<TextSide> {
        let get = |file: &str| self.text.get(file).map(Vec::as_slice);
        let config = get("config.json").filter(|json| !is_open_clip(json));
        TextSide::read(&TextFiles {
            config,
            open_clip: Self::open_clip(&self.text),
            tokenizer_config: get("tokenizer_config.json"),
            special_tokens: get("special_tokens_map.json"),
            name,
        })
    }

    fn images(&self, model_type: &str) -> Result<ImageSide> {
        let get = |file: &str| self.image.get(file).map(Vec::as_slice);
        ImageSide::read(&ImageFiles {
            preprocessor: get("preprocessor_config.json"),
            processor: get("processor_config.json"),
            preprocess: get("preprocess_cfg.json"),
            open_clip: Self::open_clip(&self.image),
            model_type,
        })
    }
}
