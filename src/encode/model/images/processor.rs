//! Image processors of transformers, by the name and the keys of their configuration.

use clip_filter_pixels::{Corner, Filter, Patches, PixelSpec, Resize};
use serde::Deserialize;
use serde_json::Value;

use super::{
    CLIP_MEAN, CLIP_STD, HALF, ImageSide, alpha, checked, open_clip, parse, refused, side,
    square_or_pair,
};
use crate::error::Result;

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
    patch_size: Option<u64>,
    max_num_patches: Option<u64>,
    clip_filter_alpha: Option<String>,
}

/// What a processor does where its file says nothing.
struct Defaults {
    /// A single number for the size means the shorter edge, not a square.
    shortest: bool,
    /// Pictures become patches.
    patches: bool,
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
        patches: false,
        crop: true,
        filter: Filter::Bicubic,
        mean: CLIP_MEAN,
        std: CLIP_STD,
    };
    let square = Defaults {
        shortest: false,
        patches: false,
        crop: false,
        filter: Filter::Bilinear,
        mean: HALF,
        std: HALF,
    };
    let name = name
        .trim_end_matches("Pil")
        .trim_end_matches("Fast")
        .trim_end_matches("ImageProcessor")
        .trim_end_matches("FeatureExtractor");
    match name {
        // No name: an older export, and those were of CLIP.
        "" | "CLIP" | "ChineseCLIP" | "Bit" => Some(clip),
        "Siglip" => Some(Defaults {
            filter: Filter::Bicubic,
            ..square
        }),
        "Siglip2" => Some(Defaults {
            patches: true,
            ..square
        }),
        "ViT" | "DeiT" => Some(square),
        _ => None,
    }
}

/// Which file a processor was saved in, which tells by what transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    /// In one of its own, `preprocessor_config.json`.
    Alone,
    /// With that of captions, in `processor_config.json`: transformers 5.
    WithOthers,
}

/// Reads the configuration of an image processor; `model_type` is that of `config.json`.
///
/// # Errors
/// When it is damaged, names a processor that is not known, or leaves the size of its images open.
pub(super) fn read(json: &[u8], model_type: &str, saved: Saved) -> Result<ImageSide> {
    let json: Value = parse(json)?;
    let own = json.get("image_processor").filter(|own| own.is_object());
    if own.is_none() && saved == Saved::WithOthers {
        return Err(refused("find the image processor in the file"));
    }
    let json = own.unwrap_or(&json);
    if has_keys_of_open_clip(json) {
        let bytes = serde_json::to_vec(json).map_err(|error| {
            crate::error::Error::internal("hand on the preprocessing of the model").source(error)
        })?;
        return open_clip::of_processor(&bytes);
    }
    let config = ProcessorConfig::deserialize(json)
        .map_err(|error| refused("read the preprocessing of the model").source(error))?;
    let name = config
        .image_processor_type
        .as_deref()
        .or(config.feature_extractor_type.as_deref())
        .unwrap_or("");
    let pixels = pixels(&config, name, model_type)?;
    Ok(ImageSide {
        pixels,
        reference: reference(name, saved),
    })
}

/// jina-clip and others keep open_clip's keys under the name of a processor of their own.
fn has_keys_of_open_clip(json: &Value) -> bool {
    let has = |key: &str| json.get(key).is_some();
    !has("image_mean") && (has("mean") || has("interpolation") || has("resize_mode"))
}

/// Whose resize it is: classes of transformers 5 take torchvision unless their name says Pillow.
fn reference(name: &str, saved: Saved) -> &'static str {
    const PILLOW: &str = "transformers (Pillow resizes)";
    const TORCHVISION: &str = "transformers (torchvision resizes there, Pillow's way here: up to 1/255 apart in 0.3 % of values)";
    if name.ends_with("Pil") {
        PILLOW
    } else if name.ends_with("Fast") || saved == Saved::WithOthers {
        TORCHVISION
    } else {
        PILLOW
    }
}

fn pixels(config: &ProcessorConfig, name: &str, model_type: &str) -> Result<PixelSpec> {
    let defaults = defaults(name).ok_or_else(|| {
        refused("use an image processor that is not known").with("processor", name).hint(
            "known are those of CLIP, SigLIP and ViT; where one of them does the same, write its name as image_processor_type",
        )
    })?;
    let spec = PixelSpec {
        alpha: alpha(config.clip_filter_alpha.as_deref(), model_type)?,
        resize: if defaults.patches {
            Some(Resize::Patches(patches(config)?))
        } else if config.do_resize.unwrap_or(true) {
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

/// Largest number of patches that a model may ask for; published ones go up to 1,024.
const MAX_PATCHES: u64 = 16_384;

fn patches(config: &ProcessorConfig) -> Result<Patches> {
    let most = config.max_num_patches.unwrap_or(256);
    let edge = config.patch_size.unwrap_or(16);
    let within = |value: u64, least: u64, most: u64| {
        let value = Some(value).filter(|value| (least..=most).contains(value));
        value.and_then(|value| u32::try_from(value).ok())
    };
    // The grid is written into one line of a patch.
    match (within(edge, 2, 256), within(most, 1, MAX_PATCHES)) {
        (Some(edge), Some(most)) if config.do_resize != Some(false) => Ok(Patches { edge, most }),
        _ => Err(
            refused("cut pictures into patches of such a number or size")
                .with("patch_size", edge)
                .with("max_num_patches", most)
                .with("do_resize", config.do_resize.unwrap_or(true)),
        ),
    }
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
    use clip_filter_pixels::Alpha;

    use super::super::BUNDLED_TYPE;
    use super::*;

    fn from_processor(json: &[u8], model_type: &str) -> Result<PixelSpec> {
        read(json, model_type, Saved::Alone).map(|side| side.pixels)
    }

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
            r#"{"image_processor_type": "Siglip2ImageProcessor", "patch_size": 0}"#,
            r#"{"image_processor_type": "Siglip2ImageProcessor", "max_num_patches": 100000000}"#,
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
