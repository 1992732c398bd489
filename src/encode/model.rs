//! A model as its files describe it, before any runtime loads it.
//!
//! Two towers are looked for, in this order: `onnx/vision_model*.onnx` with `onnx/text_model*.onnx`,
//! `onnx/visual*.onnx` with `onnx/textual*.onnx`, and one graph for both, `onnx/model*.onnx`; each also beside
//! the configuration instead of within `onnx/`. Pixels follow `preprocessor_config.json`, else
//! `open_clip_config.json`; tokens follow `tokenizer.json`.

mod files;
mod images;
mod layout;
mod texts;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clip_filter_pixels::{PixelSpec, Scaling};

pub(crate) use self::files::Files;
use self::layout::Layout;
use self::texts::{TextFiles, TextSide};
use super::describe_pixels;
use super::ports::{ImagePorts, TextPorts, image_ports, text_ports};
use crate::error::{Error, Result};
use crate::preprocess::{Preprocessing, Tokenize, TokenizeOptions};
use crate::secrets;
use crate::summary::ModelCard;

/// The file without which no caption becomes tokens.
const TOKENIZER: &str = "tokenizer.json";
/// Files beside graphs and tokenizer that can change a score.
const CONFIGS: [&str; 5] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The small model that is part of the program.
    Bundled,
    /// A directory in the layout of the hub.
    Directory(PathBuf),
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelSource::Bundled => f.write_str("bundled"),
            ModelSource::Directory(path) => path.display().fmt(f),
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

/// A tower: the file it is in and the ports it has.
#[derive(Debug, Clone)]
pub(crate) struct Tower<P> {
    /// The ONNX file, relative to the model directory.
    pub(crate) file: String,
    /// Its inputs and its output.
    pub(crate) ports: P,
    /// Files beside it in which some of its weights lie, relative to the model directory.
    pub(crate) external: BTreeSet<String>,
}

impl ModelSpec {
    /// Reads what the model at `source` says of itself; weights are hashed but not loaded.
    ///
    /// # Errors
    /// When files are missing or damaged, the precision is not there, the towers do not fit each other or the
    /// preprocessing, or the preprocessing leaves the size of its images open.
    pub fn open(source: &ModelSource, precision: &Precision) -> Result<Self> {
        let files = match source {
            ModelSource::Bundled => super::bundled::files()?,
            ModelSource::Directory(path) => Files::Directory(path.clone()),
        };
        Self::read(files, source.to_string(), precision)
            .map_err(|error| error.with("model", source))
    }

    fn read(files: Files, name: String, precision: &Precision) -> Result<Self> {
        let names = files.names()?;
        let found = layout::find(&names, precision)?;
        let config = |name: &str| files.read(name);
        let tokenizer_json = config(TOKENIZER)?.ok_or_else(|| missing(TOKENIZER))?;
        let (model_config, open_clip) = (config("config.json")?, config("open_clip_config.json")?);
        let (tokenizer_config, special) = (
            config("tokenizer_config.json")?,
            config("special_tokens_map.json")?,
        );
        let texts = TextSide::read(&TextFiles {
            config: model_config.as_deref(),
            open_clip: open_clip.as_deref(),
            tokenizer_config: tokenizer_config.as_deref(),
            special_tokens: special.as_deref(),
        })?;
        let pixels = match (config("preprocessor_config.json")?, open_clip) {
            (Some(json), _) => images::from_processor(&json, &texts.model_type)?,
            (None, Some(json)) => images::from_open_clip(&json)?,
            (None, None) => return Err(missing("preprocessor_config.json")),
        };
        let towers = Towers::read(&files, &found, &texts.model_type)?;
        check_size(&towers.image.ports, &pixels)?;
        let configs = CONFIGS
            .into_iter()
            .filter(|name| names.contains(*name))
            .map(str::to_owned);
        let decisive: BTreeSet<String> = towers
            .weights
            .iter()
            .cloned()
            .chain([TOKENIZER.to_owned()])
            .chain(configs)
            .collect();
        Ok(Self {
            name,
            fingerprint: files.fingerprint(&decisive)?,
            layout: found.kind(),
            precision: found.precision,
            precisions: found.precisions,
            dim: towers.dim,
            tokens: texts.options(&towers.text.ports, &tokenizer_json),
            pixels,
            scaling: Scaling::Exact,
            batch_dependent: towers.batch_dependent,
            weights_bytes: files.total_size(&towers.weights)?,
            logit_scale: texts.logit_scale,
            logit_bias: texts.logit_bias,
            image: towers.image,
            text: towers.text,
            tokenizer_json: tokenizer_json.into(),
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
            preprocessing: match self.scaling {
                Scaling::Exact => describe_pixels(&self.pixels),
                Scaling::Dct => format!("{}, large JPEGs reduced", describe_pixels(&self.pixels)),
            },
            batch_dependent: self.batch_dependent,
            ..ModelCard::default()
        }
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

/// Both towers and what they have in common.
struct Towers {
    image: Tower<ImagePorts>,
    text: Tower<TextPorts>,
    weights: BTreeSet<String>,
    dim: Option<usize>,
    batch_dependent: bool,
}

impl Towers {
    fn read(files: &Files, found: &Layout, model_type: &str) -> Result<Self> {
        let image_graph = files.graph(&found.image)?;
        let other = if found.combined() {
            None
        } else {
            Some(files.graph(&found.text)?)
        };
        let text_graph = other.as_ref().unwrap_or(&image_graph);
        let image = image_ports(&image_graph).map_err(|error| error.with("file", &found.image))?;
        let text = text_ports(text_graph, found.combined())
            .map_err(|error| error.with("file", &found.text))?;
        check_projected(model_type, &[&image.output, &text.output])?;
        if let (Some(image), Some(text)) = (image.dim, text.dim)
            && image != text
        {
            return Err(different(image, text));
        }
        let image_external = Files::external(&found.image, &image_graph)?;
        let text_external = Files::external(&found.text, text_graph)?;
        let mut weights = BTreeSet::from([found.image.clone(), found.text.clone()]);
        weights.extend(image_external.iter().chain(&text_external).cloned());
        Ok(Self {
            dim: image.dim.or(text.dim),
            image: Tower {
                file: found.image.clone(),
                ports: image,
                external: image_external,
            },
            text: Tower {
                file: found.text.clone(),
                ports: text,
                external: text_external,
            },
            weights,
            batch_dependent: image_graph.batch_dependent() || text_graph.batch_dependent(),
        })
    }
}

/// The towers of CLIP have a pooler output too, but it comes before the projection into the shared space.
fn check_projected(model_type: &str, outputs: &[&str]) -> Result<()> {
    if (model_type == "clip" || model_type.starts_with("clip_"))
        && outputs.contains(&"pooler_output")
    {
        return Err(Error::model("use a CLIP export without its projections")
            .with("outputs", outputs.join(", "))
            .hint("export CLIPVisionModelWithProjection and CLIPTextModelWithProjection"));
    }
    Ok(())
}

/// An error for towers whose embeddings cannot be compared.
pub(crate) fn different(image: usize, text: usize) -> Error {
    Error::model("compare embeddings of different lengths")
        .with("image", image)
        .with("text", text)
        .hint("both towers must be exported with their projection into the shared space")
}

fn check_size(ports: &ImagePorts, pixels: &PixelSpec) -> Result<()> {
    let Some((height, width)) = images::output_size(pixels) else {
        return Err(Error::internal("check images without a size"));
    };
    let fits = |fixed: Option<u64>, side: u32| fixed.is_none_or(|fixed| fixed == u64::from(side));
    if fits(ports.size.0, height) && fits(ports.size.1, width) {
        return Ok(());
    }
    let side = |fixed: Option<u64>| fixed.map_or("?".to_owned(), |fixed| fixed.to_string());
    Err(Error::model("match the preprocessing with the image tower")
        .with("preprocessing makes", format!("{height}x{width}"))
        .with(
            "the graph takes",
            format!("{}x{}", side(ports.size.0), side(ports.size.1)),
        ))
}

fn missing(file: &str) -> Error {
    Error::model("find a file of the model").with("file", file)
}
