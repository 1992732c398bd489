//! Columns that are computed from stored embeddings, over all rows at once.
//!
//! ```text
//! DIR/derived/current.json                  what the columns were made with, and in which directory they are
//! DIR/derived/<generation>/<fingerprint>.parquet   one file per shard, row by row beside that of `shards/`
//! ```
//!
//! A change of any parameter or shard makes a new generation; `current.json` is replaced when it is whole.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    ScoreStore,
    files::{failed, replace, sync_parent, write_parquet},
    score_store::name_of,
};
use crate::{error::Result, store::ShardIdentity};

const CURRENT: &str = "current.json";

/// What a set of derived columns was made with; equal specs give equal columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DerivedSpec {
    /// The columns that are there.
    pub columns: Vec<String>,
    /// Parameters by name.
    pub made_with: BTreeMap<String, String>,
    /// What `selection_score` was made with besides, if it is there.
    #[serde(default)]
    pub selection: Option<String>,
    /// Fingerprints of the shards they were made over, in order.
    pub shards: Vec<String>,
}

impl DerivedSpec {
    /// True if columns of `self` are those that `wanted` asks for.
    pub fn serves(&self, wanted: &Self) -> bool {
        let has = |name: &String| self.columns.contains(name);
        self.made_with == wanted.made_with
            && self.shards == wanted.shards
            && (wanted.selection.is_none() || self.selection == wanted.selection)
            && wanted.columns.iter().all(has)
    }

    fn generation(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = Sha256::digest(text);
        hash.iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The derived columns that a store has.
#[derive(Debug, Clone)]
pub(super) struct DerivedColumns {
    pub(super) spec: DerivedSpec,
    directory: PathBuf,
}

impl DerivedColumns {
    /// None if there are none, or they cannot be read: they are made again then.
    pub(super) fn read(store: &Path) -> Option<Self> {
        let root = root(store);
        let text = std::fs::read(root.join(CURRENT)).ok()?;
        let spec: DerivedSpec = serde_json::from_slice(&text).ok()?;
        let directory = root.join(spec.generation());
        Some(Self { spec, directory })
    }

    pub(super) fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.directory.join(name)).ok()
    }

    pub(super) fn file(&self, fingerprint: &str) -> Option<PathBuf> {
        Some(shard_file(&self.directory, fingerprint)).filter(|file| file.is_file())
    }
}

/// Derived columns under construction; nothing of them is seen before [`DerivedWriter::finish`].
#[derive(Debug)]
pub struct DerivedWriter {
    root: PathBuf,
    directory: PathBuf,
    spec: DerivedSpec,
}

impl DerivedWriter {
    /// Starts a set of columns in the store's directory; the store must be open for writing.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(store: &ScoreStore, spec: DerivedSpec) -> Result<Self> {
        let root = root(store.directory());
        let directory = root.join(spec.generation());
        std::fs::create_dir_all(&directory).map_err(|error| failed(&directory, error))?;
        Ok(Self {
            root,
            directory,
            spec,
        })
    }

    /// Writes the columns of one shard, a row for each stored row.
    ///
    /// # Errors
    /// When a batch is an error, or the disk is full.
    pub fn shard(
        &self,
        shard: &ShardIdentity,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = Result<RecordBatch>>,
    ) -> Result<()> {
        let file = shard_file(&self.directory, &shard.fingerprint);
        write_parquet(&file, schema, Vec::new(), batches)
    }

    /// Keeps what the columns were made with beside them.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn artifact(&self, name: &str, bytes: &[u8]) -> Result<()> {
        replace(&self.directory.join(name), bytes)
    }

    /// Makes the columns those of the store, and removes the ones before.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        sync_parent(&self.directory.join(CURRENT));
        let text = serde_json::to_vec_pretty(&self.spec).map_err(|error| {
            crate::error::Error::internal("describe derived columns").source(error)
        })?;
        replace(&self.root.join(CURRENT), &text)?;
        let entries = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries.filter(|entry| entry.path() != self.directory) {
            if entry.path().is_dir() {
                // A leftover is of no use to anybody, and found again next time.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

fn root(store: &Path) -> PathBuf {
    store.join("derived")
}

fn shard_file(directory: &Path, fingerprint: &str) -> PathBuf {
    directory.join(format!("{}.parquet", name_of(fingerprint)))
}
