//! Which pictures are read, and how.

use clap::{Args as ClapArgs, ValueEnum};

use crate::config::{DEFAULT_MAX_PIXELS, Orientation, Reading, Truncated};

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Bad rows")]
pub(super) struct ImageArgs {
    /// Images that declare more pixels are bad rows
    #[arg(
        long,
        value_name = "N",
        env = "CLIP_FILTER_MAX_PIXELS",
        default_value_t = DEFAULT_MAX_PIXELS
    )]
    pub(super) max_pixels: u64,
    /// What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    /// upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with
    #[arg(
        long,
        value_enum,
        env = "CLIP_FILTER_ORIENTATION",
        default_value = "ignore"
    )]
    orientation: OrientationArg,
    /// What becomes of images whose file ends early. Part of what a score store was made with
    #[arg(
        long,
        value_enum,
        env = "CLIP_FILTER_TRUNCATED",
        default_value = "drop"
    )]
    truncated: TruncatedArg,
    /// Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)
    #[arg(long, env = "CLIP_FILTER_ALLOW_EXTERNAL_PATHS")]
    pub(super) allow_external_paths: bool,
}

impl ImageArgs {
    pub(super) fn reading(&self) -> Reading {
        Reading {
            orientation: match self.orientation {
                OrientationArg::Ignore => Orientation::Ignore,
                OrientationArg::Apply => Orientation::Apply,
            },
            truncated: match self.truncated {
                TruncatedArg::Drop => Truncated::Drop,
                TruncatedArg::Fill => Truncated::Fill,
            },
        }
    }
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
