//! What a store was made with, and the shards that it knows.

use std::{collections::HashMap, fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};

use super::files::replace;
use crate::{
    error::{Error, Result},
    source::ShardIdentity,
    summary::ModelCard,
};

const MANIFEST: &str = "manifest.json";
/// Raised when a reader of the present format could misread what is written.
const FORMAT: u32 = 1;

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

/// Everything that decides what a store holds of a row.
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
    /// Image paths out of the shard's directory were followed.
    pub allow_external_paths: bool,
    /// Only rows of this condition are in it; all if `None`.
    pub condition: Option<String>,
    /// How embeddings are kept.
    pub embeddings: EmbeddingType,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) written_by: String,
    pub(super) spec: StoreSpec,
    pub(super) shards: Vec<ShardIdentity>,
}

/// Read before the rest, which another format may have changed.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    written_by: String,
}

impl Manifest {
    pub(super) fn new(spec: StoreSpec) -> Self {
        Self {
            format: FORMAT,
            written_by: concat!("clip-filter ", env!("CARGO_PKG_VERSION")).to_owned(),
            spec,
            shards: Vec::new(),
        }
    }

    /// True where there is a manifest, of whatever format, even a damaged one.
    pub(super) fn is_at(directory: &Path) -> bool {
        let Ok(text) = std::fs::read(directory.join(MANIFEST)) else {
            return false;
        };
        // Other programs have files of that name too, but whole ones.
        let damaged = || serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_err();
        serde_json::from_slice::<Head>(&text).is_ok() || damaged()
    }

    /// `None` where there is no manifest.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(MANIFEST);
        let failed = |error: super::files::BoxedError| {
            Error::input("read the manifest of the score store")
                .with("file", path.display())
                .source(error)
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let damaged = |error: serde_json::Error| {
            failed(error.into())
                .hint("it is damaged: restore it, or score into a new directory; the files in shards/ stay readable as Parquet")
        };
        let head: Head = serde_json::from_str(&text).map_err(damaged)?;
        if head.format != FORMAT {
            return Err(Error::input("read the score store: its format is another")
                .with("store", directory.display())
                .with(
                    "its format",
                    format!("{} ({})", head.format, head.written_by),
                )
                .with("known format", FORMAT)
                .hint("use the version of clip-filter that wrote it, or a newer one"));
        }
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("write a manifest").source(error))?;
        replace(&directory.join(MANIFEST), text.as_bytes())
    }

    /// Shards that are known under a path of `shards` with another content: path, known and found fingerprint.
    pub(super) fn changed<'a>(
        &'a self,
        shards: &'a [ShardIdentity],
    ) -> Vec<(&'a ShardIdentity, &'a ShardIdentity)> {
        let known: HashMap<&str, &ShardIdentity> = self
            .shards
            .iter()
            .map(|shard| (shard.path.as_str(), shard))
            .collect();
        shards
            .iter()
            .filter_map(|found| Some((*known.get(found.path.as_str())?, found)))
            .filter(|(known, found)| known.fingerprint != found.fingerprint)
            .collect()
    }

    /// Puts `shards` in, replacing those of the same path; true if that changed anything.
    pub(super) fn record(&mut self, shards: &[ShardIdentity]) -> bool {
        let mut position: HashMap<String, usize> = self
            .shards
            .iter()
            .enumerate()
            .map(|(position, shard)| (shard.path.clone(), position))
            .collect();
        let mut changed = false;
        for shard in shards {
            match position.get(&shard.path) {
                Some(&at) if self.shards[at] == *shard => continue,
                Some(&at) => self.shards[at] = shard.clone(),
                None => {
                    position.insert(shard.path.clone(), self.shards.len());
                    self.shards.push(shard.clone());
                }
            }
            changed = true;
        }
        changed
    }
}

impl StoreSpec {
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
