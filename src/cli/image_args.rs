//! Which pictures are read, and how.

use clap::{Args as ClapArgs, ValueEnum};

use crate::config::{ImageChoice, Orientation, Reading, Truncated};

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Bad rows")]
pub(super) struct ImageArgs {
    /// Images that declare more pixels are bad rows [default: 178956970]
    #[arg(long, value_name = "N", env = "CLIP_FILTER_MAX_PIXELS")]
    max_pixels: Option<u64>,
    /// What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    /// upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with [default: ignore]
    #[arg(long, value_enum, env = "CLIP_FILTER_ORIENTATION")]
    orientation: Option<OrientationArg>,
    /// What becomes of images whose file ends early. Part of what a score store was made with [default: drop]
    #[arg(long, value_enum, env = "CLIP_FILTER_TRUNCATED")]
    truncated: Option<TruncatedArg>,
    /// Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)
    #[arg(long, env = "CLIP_FILTER_ALLOW_EXTERNAL_PATHS")]
    pub(super) allow_external_paths: bool,
}

impl ImageArgs {
    pub(super) fn choice(&self) -> ImageChoice {
        ImageChoice {
            max_pixels: self.max_pixels,
            orientation: self.orientation.map(|orientation| match orientation {
                OrientationArg::Ignore => Orientation::Ignore,
                OrientationArg::Apply => Orientation::Apply,
            }),
            truncated: self.truncated.map(|truncated| match truncated {
                TruncatedArg::Drop => Truncated::Drop,
                TruncatedArg::Fill => Truncated::Fill,
            }),
        }
    }
}

/// How picture files were read, in the options that say so.
pub(super) fn read(reading: Reading) -> String {
    let Reading {
        orientation,
        truncated,
    } = reading;
    format!("--orientation {orientation}, --truncated {truncated}")
}

/// `--orientation`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrientationArg {
    /// Leave them as they are stored, as open_clip trains
    Ignore,
    /// Turn them, as Hugging Face datasets does
    Apply,
}

/// `--truncated`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TruncatedArg {
    /// Count them as bad rows
    Drop,
    /// Fill in what is missing, as Pillow does with LOAD_TRUNCATED_IMAGES
    Fill,
}
