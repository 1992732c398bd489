//! How picture files are read, whatever the model.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DEFAULT_MAX_PIXELS;

/// How picture files are read; part of what decides a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// What happens to pictures that are stored in another position than they are looked at.
    pub orientation: Orientation,
    /// What happens to pictures whose file ends early.
    pub truncated: Truncated,
}

/// What happens to a picture whose metadata say that it has to be turned to be upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// It stays as it is stored, as open_clip trains; a TIFF is turned all the same, as Pillow turns it.
    #[default]
    Ignore,
    /// It is turned, as Hugging Face `datasets` does.
    Apply,
}

/// What happens to a picture whose file ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truncated {
    /// It is a bad row.
    #[default]
    Drop,
    /// What is missing is filled, as Pillow does with `ImageFile.LOAD_TRUNCATED_IMAGES`.
    Fill,
}

/// What was said about pictures; the rest is the default, or what a score store was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageChoice {
    /// Images of more pixels are bad rows.
    pub max_pixels: Option<u64>,
    /// As in [`Reading`].
    pub orientation: Option<Orientation>,
    /// As in [`Reading`].
    pub truncated: Option<Truncated>,
}

impl ImageChoice {
    /// Images of more pixels are bad rows.
    pub fn max_pixels(&self) -> u64 {
        self.max_pixels.unwrap_or(DEFAULT_MAX_PIXELS)
    }

    /// How picture files are read.
    pub fn reading(&self) -> Reading {
        self.over(Reading::default())
    }

    /// `reading`, but for what was said.
    pub fn over(&self, reading: Reading) -> Reading {
        Reading {
            orientation: self.orientation.unwrap_or(reading.orientation),
            truncated: self.truncated.unwrap_or(reading.truncated),
        }
    }
}

impl Reading {
    /// Whether nothing else was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignore => "ignore",
            Self::Apply => "apply",
        })
    }
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Fill => "fill",
        })
    }
}
