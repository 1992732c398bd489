//! What scores were made with.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    config::{ImageChoice, Reading},
    digest::hex,
    error::Result,
    summary::ModelCard,
};

/// How a store keeps embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingType {
    /// Half precision: 2 bytes per number, 3 significant digits.
    #[default]
    F16,
    /// As the model gave them.
    F32,
    /// Not at all.
    None,
}

impl FromStr for EmbeddingType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f16" => Ok(Self::F16),
            "f32" => Ok(Self::F32),
            "none" => Ok(Self::None),
            _ => Err(format!("'{text}' is not one of f16, f32, none")),
        }
    }
}

impl fmt::Display for EmbeddingType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::None => "none",
        })
    }
}

/// Everything that decides what a store holds of a row of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// The model that scored.
    pub model: ModelCard,
    /// The column that was taken as image.
    pub image_column: String,
    /// The column that was taken as caption, or as class label.
    pub text_column: String,
    /// What stood for captions, where the column holds class labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_captions: Option<String>,
    /// Images of more pixels are bad rows.
    pub max_pixels: u64,
    /// How picture files were read.
    #[serde(default, skip_serializing_if = "Reading::is_default")]
    pub reading: Reading,
    /// Image paths out of the shard's directory were followed.
    pub allow_external_paths: bool,
    /// Only rows of this condition are in it; all if `None`. Secrets in it are hidden, and a hash tells it from others.
    pub condition: Option<String>,
    /// How embeddings are kept.
    pub embeddings: EmbeddingType,
}

impl StoreSpec {
    /// Names the model in files: equal for models that give the same embeddings. 16 hex digits.
    pub fn model_key(&self) -> String {
        let model = &self.model;
        hash(&[&model.fingerprint, &model.precision, &model.preprocessing])
    }

    /// Names all that decides what a store holds of a row; where and by what program it was made is not in it.
    pub fn made_with(&self) -> String {
        let optional = |text: &Option<String>| {
            text.clone()
                .map_or_else(String::new, |text| format!("={text}"))
        };
        let mut facts = vec![
            self.model_key(),
            self.image_column.clone(),
            self.text_column.clone(),
            optional(&self.class_captions),
            self.max_pixels.to_string(),
            self.allow_external_paths.to_string(),
            optional(&self.condition),
            self.embeddings.to_string(),
        ];
        let Reading {
            orientation,
            truncated,
        } = self.reading;
        // Stores of before it could be chosen keep their name.
        if !self.reading.is_default() {
            facts.extend([orientation.to_string(), truncated.to_string()]);
        }
        let facts: Vec<&str> = facts.iter().map(String::as_str).collect();
        hash(&facts)
    }

    /// How pictures were read.
    pub fn images(&self) -> ImageChoice {
        ImageChoice {
            max_pixels: Some(self.max_pixels),
            orientation: Some(self.reading.orientation),
            truncated: Some(self.reading.truncated),
        }
    }

    /// The first thing in which `self`, what a store was made with, differs from `wanted`: name and both values.
    pub(super) fn difference(&self, wanted: &Self) -> Option<(&'static str, String, String)> {
        let model = |card: &ModelCard| {
            format!(
                "{} ({}, sha256 {})",
                card.name, card.precision, card.fingerprint
            )
        };
        let captions = |spec: &Self| {
            spec.class_captions
                .clone()
                .unwrap_or_else(|| "none".to_owned())
        };
        let condition = |spec: &Self| spec.condition.clone().unwrap_or_else(|| "none".to_owned());
        let same_model = self.model.fingerprint == wanted.model.fingerprint
            && self.model.precision == wanted.model.precision;
        let (ours, theirs) = (&self.model.preprocessing, &wanted.model.preprocessing);
        let facts = [
            (
                "model",
                same_model,
                model(&self.model),
                model(&wanted.model),
            ),
            differs("preprocessing", ours, theirs),
            differs("image column", &self.image_column, &wanted.image_column),
            differs("caption column", &self.text_column, &wanted.text_column),
            differs("class captions", &captions(self), &captions(wanted)),
            differs("--max-pixels", &self.max_pixels, &wanted.max_pixels),
            differs(
                "--orientation",
                &self.reading.orientation,
                &wanted.reading.orientation,
            ),
            differs(
                "--truncated",
                &self.reading.truncated,
                &wanted.reading.truncated,
            ),
            differs(
                "--allow-external-paths",
                &self.allow_external_paths,
                &wanted.allow_external_paths,
            ),
            differs("rows", &condition(self), &condition(wanted)),
            differs("embeddings", &self.embeddings, &wanted.embeddings),
        ];
        facts
            .into_iter()
            .find(|(_, same, ..)| !same)
            .map(|(what, _, ours, theirs)| (what, ours, theirs))
    }
}

fn differs<T: PartialEq + fmt::Display>(
    what: &'static str,
    ours: &T,
    theirs: &T,
) -> (&'static str, bool, String, String) {
    (what, ours == theirs, ours.to_string(), theirs.to_string())
}

/// 16 hex digits that tell lists of texts apart.
fn hash(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hex(&hash.finalize()[..8])
}
