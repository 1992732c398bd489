//! What describes the pictures of a model to a [`PixelSpec`].
//!
//! A key that a file leaves out has the default of the processor that the file names. One key is ours:
//! `"clip_filter_alpha": "white"` composites transparent pixels over white; without it they follow Pillow's
//! `convert("RGB")`, which drops the alpha channel, as CLIP was trained.

mod open_clip;
mod processor;

use clip_filter_pixels::{Alpha, PixelSpec, Resize};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Largest edge a model may ask for; no image encoder comes near it.
const MAX_SIDE: u64 = 4096;

const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
const HALF: [f32; 3] = [0.5; 3];

/// The `model_type` of the bundled model, whose images were trained over white.
pub(super) const BUNDLED_TYPE: &str = "clip-filter-conse";

/// The configuration files that a model has, as names and bytes.
#[derive(Debug, Default)]
pub(super) struct ImageFiles<'a> {
    /// `preprocessor_config.json`
    pub(super) preprocessor: Option<&'a [u8]>,
    /// `processor_config.json`, in which transformers 5 keeps all of a model's processors.
    pub(super) processor: Option<&'a [u8]>,
    /// `preprocess_cfg.json`, the part of open_clip's configuration that decides pixels.
    pub(super) preprocess: Option<&'a [u8]>,
    /// `open_clip_config.json`, or a `config.json` with the same keys.
    pub(super) open_clip: Option<&'a [u8]>,
    /// `model_type` of `config.json`, empty where there is none.
    pub(super) model_type: &'a str,
}

/// How pictures become pixels, and whose way that is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageSide {
    /// What is done.
    pub(super) pixels: PixelSpec,
    /// Whose configuration it is, and what resizes there.
    pub(super) reference: &'static str,
}

impl ImageSide {
    /// Reads the files that are there; the first of them decides.
    ///
    /// # Errors
    /// When there is none, it is damaged, asks for what is not known, or leaves the size of its images open.
    pub(super) fn read(files: &ImageFiles<'_>) -> Result<Self> {
        if let Some(json) = files.preprocessor {
            let file = "preprocessor_config.json";
            return named(
                file,
                processor::read(json, files.model_type, processor::Saved::Alone),
            );
        }
        if let Some(json) = files.processor {
            let saved = processor::Saved::WithOthers;
            let file = "processor_config.json";
            return named(file, processor::read(json, files.model_type, saved));
        }
        if files.preprocess.is_some() || files.open_clip.is_some() {
            let (file, json) = match (files.preprocess, files.open_clip) {
                (Some(json), _) => ("preprocess_cfg.json", json),
                (None, json) => ("open_clip_config.json", json.unwrap_or_default()),
            };
            let of_preprocess = files.preprocess.map(|_| json);
            return named(file, open_clip::read(files.open_clip, of_preprocess));
        }
        Err(Error::model("find what describes the pictures of the model")
            .with("file", "preprocessor_config.json")
            .hint("processor_config.json, preprocess_cfg.json and open_clip_config.json do as well"))
    }
}

fn named(file: &'static str, read: Result<ImageSide>) -> Result<ImageSide> {
    read.map_err(|error| error.with("file", file))
}

fn parse<T: for<'a> Deserialize<'a>>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| Error::model("read the preprocessing of the model").source(error))
}

/// Height and width of the pixels that `spec` makes, none if they depend on the image.
pub(super) fn output_size(spec: &PixelSpec) -> Option<(u32, u32)> {
    match (spec.crop, spec.resize) {
        (Some(size), _) => Some(size),
        (None, Some(Resize::Exact { height, width })) => Some((height, width)),
        (None, Some(Resize::Patches(_))) => Some(spec.output_size()),
        (None, _) => None,
    }
}

fn checked(spec: PixelSpec) -> Result<PixelSpec> {
    if output_size(&spec).is_none() {
        return Err(refused("use preprocessing whose images have no fixed size")
            .hint("set do_center_crop with a crop_size, or a size with height and width"));
    }
    let finite = spec
        .mean
        .iter()
        .chain(&spec.std)
        .all(|value| value.is_finite());
    if !finite || spec.std.contains(&0.0) || !spec.rescale.is_finite() {
        return Err(refused(
            "normalise pixels with a mean or deviation that is zero or not finite",
        ));
    }
    Ok(spec)
}

fn alpha(asked: Option<&str>, model_type: &str) -> Result<Alpha> {
    match asked {
        Some("white") => Ok(Alpha::OverWhite),
        Some("drop") => Ok(Alpha::Drop),
        Some(other) => Err(refused("read clip_filter_alpha")
            .with("found", other)
            .hint("use \"white\" or \"drop\"")),
        None if model_type == BUNDLED_TYPE => Ok(Alpha::OverWhite),
        None => Ok(Alpha::Drop),
    }
}

/// Height and width from a number, `[height, width]` or `{"height", "width"}`.
fn square_or_pair(size: Option<&Value>) -> Result<(u32, u32)> {
    match size {
        Some(Value::Object(map)) => Ok((side(map.get("height"))?, side(map.get("width"))?)),
        Some(Value::Array(list)) if list.len() == 2 => {
            Ok((side(list.first())?, side(list.last())?))
        }
        size => side(size).map(|side| (side, side)),
    }
}

fn side(value: Option<&Value>) -> Result<u32> {
    let side = value
        .and_then(Value::as_u64)
        .filter(|side| (1..=MAX_SIDE).contains(side));
    side.and_then(|side| u32::try_from(side).ok())
        .ok_or_else(|| {
            let found = value.map_or("nothing".to_owned(), Value::to_string);
            refused("read the size of the model's images")
                .with("found", found)
                .with("largest edge", MAX_SIDE)
        })
}

fn refused(message: &str) -> Error {
    Error::model(message)
}
