//! The manifest: what a store holds, in one file. It is merged from the models and the records, and can be again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    StoreSpec,
    blobs::{Blobs, Durability, put_bytes},
    files::BoxedError,
    names::{self, MANIFEST, MODELS, RECORDS, SCORES},
    records::{FORMAT, Record},
};
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) written_by: String,
    /// What each model scored with, by its key.
    pub(super) models: BTreeMap<String, StoreSpec>,
    /// By fingerprint and model.
    pub(super) records: Vec<Record>,
}

/// Read before the rest, which another format may have changed.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    written_by: String,
}

impl Manifest {
    pub(super) fn new() -> Self {
        Self {
            format: FORMAT,
            written_by: concat!("clip-filter ", env!("CARGO_PKG_VERSION")).to_owned(),
            models: BTreeMap::new(),
            records: Vec::new(),
        }
    }

    /// True where there is a manifest, of whatever format, even a damaged one, or what one is merged from.
    pub(super) fn is_at(blobs: &dyn Blobs) -> bool {
        let Ok(Some(text)) = blobs.read(MANIFEST) else {
            let folder = |name| blobs.list(name).is_ok_and(|names| !names.is_empty());
            return folder(MODELS) && (folder(SCORES) || folder(RECORDS));
        };
        // Other programs have files of that name too, but whole ones.
        let damaged = || serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_err();
        serde_json::from_slice::<Head>(&text).is_ok() || damaged()
    }

    /// The format of the store in `blobs`; `None` where there is no store.
    pub(super) fn format_at(blobs: &dyn Blobs) -> Result<Option<u32>> {
        if let Some(text) = blobs.read(MANIFEST)? {
            return head(blobs, &text).map(|head| Some(head.format));
        }
        Ok(Self::is_at(blobs).then_some(FORMAT))
    }

    /// What is in `blobs`, with finished shards that the file does not name yet; `None` where there is no store.
    pub(super) fn read(blobs: &dyn Blobs) -> Result<Option<Self>> {
        let text = blobs.read(MANIFEST)?;
        match &text {
            None if !Self::is_at(blobs) => Ok(None),
            text => Self::merged(blobs, text.as_deref()).map(Some),
        }
    }

    /// What `old` says and the models and records of `blobs` beside it.
    fn merged(blobs: &dyn Blobs, old: Option<&[u8]>) -> Result<Self> {
        let mut manifest = match old {
            Some(text) => Self::parse(blobs, text)?,
            None => Self::new(),
        };
        manifest.merge(blobs)?;
        Ok(manifest)
    }

    /// Adds the models and records of `blobs` that it does not name.
    pub(super) fn merge(&mut self, blobs: &dyn Blobs) -> Result<()> {
        for name in blobs.list(MODELS)? {
            let Some(key) = name.strip_suffix(".json") else {
                continue;
            };
            if !self.models.contains_key(key) {
                let spec = read_json(blobs, &names::model(key))?;
                self.models.extend(spec.map(|spec| (key.to_owned(), spec)));
            }
        }
        let known: std::collections::HashSet<String> =
            self.records.iter().map(Record::file).collect();
        for name in blobs.list(RECORDS)? {
            let scored = name.strip_suffix(".json").unwrap_or(&name);
            if !known.contains(scored) {
                // One that cannot be read is made again by who writes next.
                self.records.extend(Record::read(blobs, scored)?);
            }
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        self.records.sort_by(|a, b| a.key().cmp(&b.key()));
        self.records.dedup_by(|a, b| a.key() == b.key());
    }

    /// Writes what is in `blobs`, and what `change` makes of it.
    ///
    /// # Errors
    /// When the file is damaged, `change` fails, or there is no room.
    pub(super) fn update(
        blobs: &dyn Blobs,
        durability: Durability,
        change: &mut dyn FnMut(&mut Self) -> Result<()>,
    ) -> Result<Self> {
        let mut now = None;
        blobs.update(MANIFEST, durability, &mut |old| {
            let mut manifest = Self::merged(blobs, old)?;
            change(&mut manifest)?;
            manifest.sort();
            let text = text_of(&manifest)?;
            let changed = old != Some(text.as_slice());
            now = Some(manifest);
            Ok(changed.then_some(text))
        })?;
        now.ok_or_else(|| Error::internal("merge a manifest"))
    }

    fn parse(blobs: &dyn Blobs, text: &[u8]) -> Result<Self> {
        let head = head(blobs, text)?;
        if head.format != FORMAT {
            return Err(Error::input("read the score store: its format is another")
                .with("store", blobs.place("").trim_end_matches('/'))
                .with(
                    "its format",
                    format!("{} ({})", head.format, head.written_by),
                )
                .with("known format", FORMAT)
                .hint("use the version of clip-filter that wrote it, or a newer one"));
        }
        serde_json::from_slice(text).map_err(|error| damaged(blobs, error))
    }
}

fn head(blobs: &dyn Blobs, text: &[u8]) -> Result<Head> {
    serde_json::from_slice(text).map_err(|error| damaged(blobs, error))
}

pub(super) fn damaged(blobs: &dyn Blobs, error: impl Into<BoxedError>) -> Error {
    Error::input("read the manifest of the score store")
        .with("file", blobs.place(MANIFEST))
        .source(error)
        .hint("it is damaged: remove it, and it is made again from the other files; those in scores/ stay readable as Parquet")
}

/// A small file of facts; `None` where there is none, or half of one.
pub(super) fn read_json<T: DeserializeOwned>(blobs: &dyn Blobs, name: &str) -> Result<Option<T>> {
    let text = blobs.read(name)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Writes a small file of facts.
pub(super) fn put_json(
    blobs: &dyn Blobs,
    name: &str,
    durability: Durability,
    facts: &impl Serialize,
) -> Result<()> {
    put_bytes(blobs, name, durability, &text_of(facts)?)
}

pub(super) fn text_of(facts: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(facts)
        .map_err(|error| Error::internal("describe what a score store holds").source(error))?;
    text.push(b'\n');
    Ok(text)
}
