//! open_clip's configuration of pictures, also where another file has its keys.

use clip_filter_pixels::{Corner, Filter, PixelSpec, Resize};
use serde::Deserialize;
use serde_json::Value;

use super::{CLIP_MEAN, CLIP_STD, ImageSide, alpha, checked, parse, refused, square_or_pair};
use crate::error::Result;

/// The keys of `open_clip_config.json` that decide pixels; its `model_cfg` alone has them at the top.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipConfig {
    model_cfg: Option<OpenClipModel>,
    vision_cfg: OpenClipVision,
    preprocess_cfg: OpenClipPreprocess,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipModel {
    vision_cfg: OpenClipVision,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipVision {
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

/// Reads `open_clip_config.json`; what `preprocess` says, its part that decides pixels in a file of its own, goes first.
///
/// # Errors
/// When a file is damaged or resizes in a way that is not known.
pub(super) fn read(config: Option<&[u8]>, preprocess: Option<&[u8]>) -> Result<ImageSide> {
    let config: OpenClipConfig = config.map_or(Ok(OpenClipConfig::default()), parse)?;
    let vision = config
        .model_cfg
        .map_or(config.vision_cfg, |model| model.vision_cfg);
    let preprocess = match preprocess {
        Some(json) => parse(json)?,
        None => config.preprocess_cfg,
    };
    let size = preprocess.size.clone().or(vision.image_size);
    pixels(preprocess, size.as_ref())
}

/// Reads a processor's configuration that has the keys of open_clip.
///
/// # Errors
/// As [`read`].
pub(super) fn of_processor(json: &[u8]) -> Result<ImageSide> {
    read(None, Some(json))
}

fn pixels(preprocess: OpenClipPreprocess, size: Option<&Value>) -> Result<ImageSide> {
    let (height, width) = square_or_pair(size)?;
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
    let pixels = checked(PixelSpec {
        alpha: alpha(preprocess.clip_filter_alpha.as_deref(), "")?,
        resize: Some(resize),
        filter,
        crop,
        corner: Corner::HalfToEven,
        rescale: 1.0 / 255.0,
        mean: preprocess.mean.unwrap_or(CLIP_MEAN),
        std: preprocess.std.unwrap_or(CLIP_STD),
    })?;
    Ok(ImageSide {
        pixels,
        reference: "open_clip (Pillow resizes, torchvision crops)",
    })
}

#[cfg(test)]
mod tests {
    use clip_filter_pixels::Alpha;

    use super::*;

    #[test]
    fn open_clip_follows_its_resize_mode() {
        let json = br#"{"model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12}, "text_cfg": {}},
            "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}}"#;
        let expected = PixelSpec {
            alpha: Alpha::Drop,
            resize: Some(Resize::ShortestEdge(224)),
            filter: Filter::Bicubic,
            crop: Some((224, 224)),
            corner: Corner::HalfToEven,
            rescale: 1.0 / 255.0,
            mean: CLIP_MEAN,
            std: CLIP_STD,
        };
        assert_eq!(read(Some(json), None).unwrap().pixels, expected);
        let squash = br#"{"model_cfg": {"vision_cfg": {"image_size": 256}},
            "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"}}"#;
        let spec = read(Some(squash), None).unwrap().pixels;
        assert_eq!(
            spec.resize,
            Some(Resize::Exact {
                height: 256,
                width: 256
            })
        );
        assert_eq!((spec.crop, spec.filter), (None, Filter::Bilinear));
        let longest = br#"{"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg": {"resize_mode": "longest"}}"#;
        assert!(read(Some(longest), None).is_err());
    }

    #[test]
    fn the_model_part_alone_and_a_preprocess_file_beside_it_are_read() {
        let config = br#"{"embed_dim": 512, "vision_cfg": {"image_size": 32}, "text_cfg": {}}"#;
        let alone = read(Some(config), None).unwrap().pixels;
        assert_eq!(alone.crop, Some((32, 32)));
        let beside = br#"{"size": [48, 48], "mean": [0.5, 0.5, 0.5], "resize_mode": "squash", "fill_color": 0}"#;
        let pixels = read(Some(config), Some(beside)).unwrap().pixels;
        let exact = Resize::Exact {
            height: 48,
            width: 48,
        };
        assert_eq!((pixels.resize, pixels.mean), (Some(exact), [0.5; 3]));
        assert!(read(None, Some(b"{}")).is_err());
    }
}
