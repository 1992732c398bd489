//! `preprocessor_config.json` or `open_clip_config.json` to a [`PixelSpec`].
//!
//! A key that a file leaves out has the default of the processor that the file names. One key is ours:
//! `"clip_filter_alpha": "white"` composites transparent pixels over white; without it they follow Pillow's
//! `convert("RGB")`, which drops the alpha channel, as CLIP was trained.

use clip_filter_pixels::{Alpha, Corner, Filter, PixelSpec, Resize};
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

/// The keys of `preprocessor_config.json` that decide pixels.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProcessorConfig {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    rescale_offset: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    clip_filter_alpha: Option<String>,
}

/// What a processor does where its file says nothing.
struct Defaults {
    /// A single number for the size means the shorter edge, not a square.
    shortest: bool,
    crop: bool,
    filter: Filter,
    mean: [f32; 3],
    std: [f32; 3],
}

/// # Source
/// The processors' constructors in <https://github.com/huggingface/transformers>.
fn defaults(name: &str) -> Option<Defaults> {
    let clip = Defaults {
        shortest: true,
        crop: true,
        filter: Filter::Bicubic,
        mean: CLIP_MEAN,
        std: CLIP_STD,
    };
    let square = Defaults {
        shortest: false,
        crop: false,
        filter: Filter::Bilinear,
        mean: HALF,
        std: HALF,
    };
    let name = name
        .trim_end_matches("Fast")
        .trim_end_matches("ImageProcessor")
        .trim_end_matches("FeatureExtractor");
    match name {
        // No name: an older export, and those were of CLIP.
        "" | "CLIP" | "ChineseCLIP" => Some(clip),
        "Siglip" => Some(Defaults {
            filter: Filter::Bicubic,
            ..square
        }),
        "ViT" | "DeiT" => Some(square),
        _ => None,
    }
}

/// Reads `preprocessor_config.json`; `model_type` is that of `config.json`.
///
/// # Errors
/// When the file is damaged, names a processor that is not known, or leaves the size of its images open.
pub(super) fn from_processor(json: &[u8], model_type: &str) -> Result<PixelSpec> {
    let config: ProcessorConfig = serde_json::from_slice(json).map_err(|error| {
        Error::model("read the preprocessing of the model")
            .with("file", "preprocessor_config.json")
            .source(error)
    })?;
    let name = config
        .image_processor_type
        .as_deref()
        .or(config.feature_extractor_type.as_deref())
        .unwrap_or("");
    let defaults = defaults(name).ok_or_else(|| {
        refused("use an image processor that is not known").with("processor", name).hint(
            "known are those of CLIP, SigLIP and ViT; where one of them does the same, write its name as image_processor_type",
        )
    })?;
    let spec = PixelSpec {
        alpha: alpha(config.clip_filter_alpha.as_deref(), model_type)?,
        resize: if config.do_resize.unwrap_or(true) {
            Some(resize(config.size.as_ref(), defaults.shortest)?)
        } else {
            None
        },
        filter: config.resample.map_or(Ok(defaults.filter), filter)?,
        crop: if config.do_center_crop.unwrap_or(defaults.crop) {
            Some(crop(config.crop_size.as_ref())?)
        } else {
            None
        },
        corner: Corner::Floor,
        rescale: if config.do_rescale.unwrap_or(true) {
            narrow(config.rescale_factor.unwrap_or(1.0 / 255.0))
        } else {
            1.0
        },
        mean: if config.do_normalize.unwrap_or(true) {
            config.image_mean.unwrap_or(defaults.mean)
        } else {
            [0.0; 3]
        },
        std: if config.do_normalize.unwrap_or(true) {
            config.image_std.unwrap_or(defaults.std)
        } else {
            [1.0; 3]
        },
    };
    if config.rescale_offset == Some(true) {
        return Err(refused("use a rescale offset"));
    }
    checked(spec)
}

/// The keys of `open_clip_config.json` that decide pixels.
#[derive(Debug, Deserialize)]
struct OpenClipConfig {
    model_cfg: OpenClipModel,
    #[serde(default)]
    preprocess_cfg: OpenClipPreprocess,
}

#[derive(Debug, Deserialize)]
struct OpenClipModel {
    vision_cfg: OpenClipVision,
}

#[derive(Debug, Deserialize)]
struct OpenClipVision {
    #[serde(default)]
    image_size: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipPreprocess {
    size: Option<Value>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
    clip_filter_alpha: Option<String>,
}

/// Reads `open_clip_config.json`.
///
/// # Errors
/// When the file is damaged or resizes in a way that is not known.
pub(super) fn from_open_clip(json: &[u8]) -> Result<PixelSpec> {
    let config: OpenClipConfig = serde_json::from_slice(json).map_err(|error| {
        Error::model("read the preprocessing of the model")
            .with("file", "open_clip_config.json")
            .source(error)
    })?;
    let preprocess = config.preprocess_cfg;
    let size = preprocess.size.or(config.model_cfg.vision_cfg.image_size);
    let (height, width) = square_or_pair(size.as_ref())?;
    let (resize, crop) = match preprocess.resize_mode.as_deref().unwrap_or("shortest") {
        "shortest" if height == width => (Resize::ShortestEdge(height), Some((height, width))),
        "squash" => (Resize::Exact { height, width }, None),
        mode => {
            return Err(refused("use a resize mode that is not known").with("resize_mode", mode));
        }
    };
    let filter = match preprocess.interpolation.as_deref().unwrap_or("bicubic") {
        // `random` is an augmentation of training; bicubic is what open_clip then evaluates with.
        "bicubic" | "random" => Filter::Bicubic,
        "bilinear" => Filter::Bilinear,
        name => {
            return Err(
                refused("use an interpolation that is not known").with("interpolation", name)
            );
        }
    };
    checked(PixelSpec {
        alpha: alpha(preprocess.clip_filter_alpha.as_deref(), "")?,
        resize: Some(resize),
        filter,
        crop,
        corner: Corner::HalfToEven,
        rescale: 1.0 / 255.0,
        mean: preprocess.mean.unwrap_or(CLIP_MEAN),
        std: preprocess.std.unwrap_or(CLIP_STD),
    })
}

/// Height and width of the pixels that `spec` makes, none if they depend on the image.
pub(super) fn output_size(spec: &PixelSpec) -> Option<(u32, u32)> {
    match (spec.crop, spec.resize) {
        (Some(size), _) => Some(size),
        (None, Some(Resize::Exact { height, width })) => Some((height, width)),
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

fn resize(size: Option<&Value>, shortest: bool) -> Result<Resize> {
    match size {
        None if shortest => Ok(Resize::ShortestEdge(224)),
        None => Ok(Resize::Exact {
            height: 224,
            width: 224,
        }),
        Some(Value::Object(map))
            if map.contains_key("shortest_edge") && !map.contains_key("longest_edge") =>
        {
            Ok(Resize::ShortestEdge(side(map.get("shortest_edge"))?))
        }
        Some(Value::Number(_)) if shortest => Ok(Resize::ShortestEdge(side(size)?)),
        Some(_) => square_or_pair(size).map(|(height, width)| Resize::Exact { height, width }),
    }
}

fn crop(size: Option<&Value>) -> Result<(u32, u32)> {
    if size.is_none() {
        Ok((224, 224))
    } else {
        square_or_pair(size)
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

/// Pillow's numbers of its filters.
fn filter(code: u64) -> Result<Filter> {
    match code {
        0 => Ok(Filter::Nearest),
        1 => Ok(Filter::Lanczos),
        2 => Ok(Filter::Bilinear),
        3 => Ok(Filter::Bicubic),
        4 => Ok(Filter::Box),
        5 => Ok(Filter::Hamming),
        _ => Err(refused("use a resampling filter that is not known").with("resample", code)),
    }
}

fn refused(message: &str) -> Error {
    Error::model(message)
}

fn narrow(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounds to the nearest f32, which pixels are"
    )]
    {
        value as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> PixelSpec {
        PixelSpec {
            alpha: Alpha::Drop,
            resize: Some(Resize::ShortestEdge(224)),
            filter: Filter::Bicubic,
            crop: Some((224, 224)),
            corner: Corner::Floor,
            rescale: 1.0 / 255.0,
            mean: CLIP_MEAN,
            std: CLIP_STD,
        }
    }

    #[test]
    fn openai_clip_reads_old_and_new_forms_alike() {
        let old = br#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224}"#;
        let new =
            br#"{"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 224},
            "crop_size": {"height": 224, "width": 224}, "rescale_factor": 0.00392156862745098}"#;
        for json in [&old[..], new, b"{}"] {
            assert_eq!(from_processor(json, "clip").unwrap(), clip());
        }
    }

    #[test]
    fn siglip_resizes_without_a_crop() {
        let json = br#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5], "processor_class": "SiglipProcessor",
            "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224}}"#;
        let expected = PixelSpec {
            resize: Some(Resize::Exact {
                height: 224,
                width: 224,
            }),
            crop: None,
            mean: HALF,
            std: HALF,
            ..clip()
        };
        assert_eq!(from_processor(json, "siglip").unwrap(), expected);
        assert_eq!(
            from_processor(
                br#"{"image_processor_type": "SiglipImageProcessor"}"#,
                "siglip"
            )
            .unwrap(),
            expected
        );
    }

    #[test]
    fn open_clip_follows_its_resize_mode() {
        let json = br#"{"model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12}, "text_cfg": {}},
            "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}}"#;
        let expected = PixelSpec {
            corner: Corner::HalfToEven,
            ..clip()
        };
        assert_eq!(from_open_clip(json).unwrap(), expected);
        let squash = br#"{"model_cfg": {"vision_cfg": {"image_size": 256}},
            "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"}}"#;
        let spec = from_open_clip(squash).unwrap();
        assert_eq!(
            spec.resize,
            Some(Resize::Exact {
                height: 256,
                width: 256
            })
        );
        assert_eq!((spec.crop, spec.filter), (None, Filter::Bilinear));
        assert!(from_open_clip(br#"{"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg": {"resize_mode": "longest"}}"#).is_err());
    }

    #[test]
    fn transparency_is_a_property_of_the_model() {
        assert_eq!(
            from_processor(b"{}", BUNDLED_TYPE).unwrap().alpha,
            Alpha::OverWhite
        );
        assert_eq!(
            from_processor(br#"{"clip_filter_alpha": "white"}"#, "clip")
                .unwrap()
                .alpha,
            Alpha::OverWhite
        );
        assert_eq!(
            from_processor(br#"{"clip_filter_alpha": "drop"}"#, BUNDLED_TYPE)
                .unwrap()
                .alpha,
            Alpha::Drop
        );
        assert!(from_processor(br#"{"clip_filter_alpha": "black"}"#, "clip").is_err());
    }

    #[test]
    fn sizes_that_are_open_or_absurd_are_refused() {
        for json in [
            r#"{"do_center_crop": false}"#,
            r#"{"do_center_crop": false, "do_resize": false}"#,
            r#"{"image_processor_type": "Siglip2ImageProcessor"}"#,
            r#"{"size": {"longest_edge": 224}}"#,
            r#"{"size": {"shortest_edge": 448, "longest_edge": 512}}"#,
            r#"{"crop_size": 0}"#,
            r#"{"crop_size": 100000000}"#,
            r#"{"image_std": [0, 1, 1]}"#,
            r#"{"resample": 9}"#,
            r#"{"size": "large"}"#,
            "3",
            "",
        ] {
            assert!(from_processor(json.as_bytes(), "clip").is_err(), "{json}");
        }
    }
}
