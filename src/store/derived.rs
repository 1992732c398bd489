//! Columns that are computed from stored embeddings, over all rows at once.
//!
//! ```text
//! DIR/state/<model>/current.json                           what the columns were made with, which names the generation
//! DIR/state/<model>/<generation>/...                       what else came of making them, for the next time
//! DIR/derived/<model>/<generation>/<fingerprint>.parquet   one file per shard, row by row beside that of `scores/`
//! DIR/derived/<model>/<generation>/<bundle>.parquet        one for small shards that follow each other, which `current.json` lists
//! ```
//!
//! A change of any parameter or shard makes a new generation; `current.json` is replaced when it is whole.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    ScoreStore, ShardIdentity,
    blobs::{Blobs, Durability, put_bytes},
    bundles::{BundledRows, bundle_name},
    files::ParquetBlob,
    manifest::{put_json, read_json},
    names::{DERIVED, STATE, short},
};
use crate::digest::hex;
use crate::error::Result;

const CURRENT: &str = "current.json";
/// Raised when a reader of the present format could misread what is written: one of the first knows no bundles.
const FORMAT: u32 = 2;
/// What a store without bundles says.
const WITHOUT_BUNDLES: u32 = 1;

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
        hex(&Sha256::digest(text)[..8])
    }
}

/// What [`CURRENT`] holds.
#[derive(Debug, Serialize, Deserialize)]
struct Current {
    #[serde(default = "first_format")]
    format: u32,
    #[serde(flatten)]
    spec: DerivedSpec,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bundles: Vec<DerivedBundle>,
}

fn first_format() -> u32 {
    WITHOUT_BUNDLES
}

/// A file with the columns of several shards.
#[derive(Debug, Serialize, Deserialize)]
struct DerivedBundle {
    /// Without its ending.
    name: String,
    /// Fingerprints and stored rows, in the order of its rows.
    shards: Vec<(String, u64)>,
}

/// Where the columns of a shard are.
#[derive(Debug, Clone)]
pub(super) enum DerivedPlace {
    /// All rows of a file.
    File(String),
    /// These of a file.
    Bundled {
        rows: BundledRows,
        columns: Arc<[String]>,
    },
}

/// The derived columns that a store has of one model.
#[derive(Debug, Clone)]
pub(super) struct DerivedColumns {
    blobs: Arc<dyn Blobs>,
    pub(super) spec: DerivedSpec,
    folders: Folders,
    columns: Arc<[String]>,
    /// Those in bundles, by fingerprint.
    bundled: Arc<HashMap<String, BundledRows>>,
}

/// Where a generation is.
#[derive(Debug, Clone)]
struct Folders {
    columns: String,
    state: String,
}

impl Folders {
    fn of(model: &str, generation: &str) -> Self {
        Self {
            columns: format!("{DERIVED}/{model}/{generation}"),
            state: format!("{STATE}/{model}/{generation}"),
        }
    }

    fn shard(&self, fingerprint: &str) -> String {
        format!("{}/{}.parquet", self.columns, short(fingerprint))
    }

    fn bundle(&self, name: &str) -> String {
        format!("{}/{name}.parquet", self.columns)
    }

    fn artifact(&self, name: &str) -> String {
        format!("{}/{name}", self.state)
    }
}

impl DerivedColumns {
    /// None if there are none, or of another format: they are made again then.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub(super) fn read(blobs: &Arc<dyn Blobs>, model: &str) -> Result<Option<Self>> {
        let current: Option<Current> = read_json(blobs.as_ref(), &current(model))?;
        let current = current.filter(|current| current.format <= FORMAT);
        Ok(current.map(|Current { spec, bundles, .. }| {
            let folders = Folders::of(model, &spec.generation());
            let mut bundled = HashMap::new();
            for bundle in bundles {
                let mut first = 0u64;
                for (fingerprint, rows) in bundle.shards {
                    let end = first.saturating_add(rows);
                    let file = folders.bundle(&bundle.name);
                    bundled.insert(fingerprint, BundledRows::in_file(file, first..end));
                    first = end;
                }
            }
            Self {
                blobs: Arc::clone(blobs),
                folders,
                columns: spec.columns.clone().into(),
                spec,
                bundled: Arc::new(bundled),
            }
        }))
    }

    pub(super) fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        self.blobs.read(&self.folders.artifact(name)).ok()?
    }

    /// Where the columns of a shard are, if they are there.
    pub(super) fn place(&self, fingerprint: &str) -> Result<Option<DerivedPlace>> {
        if let Some(rows) = self.bundled.get(fingerprint) {
            return Ok(Some(DerivedPlace::Bundled {
                rows: rows.clone(),
                columns: Arc::clone(&self.columns),
            }));
        }
        let name = self.folders.shard(fingerprint);
        Ok(self.blobs.size(&name)?.map(|_| DerivedPlace::File(name)))
    }
}

/// Derived columns under construction; nothing of them is seen before [`DerivedWriter::finish`].
#[derive(Debug)]
pub struct DerivedWriter {
    blobs: Arc<dyn Blobs>,
    model: String,
    generation: String,
    folders: Folders,
    spec: DerivedSpec,
    bundles: Vec<DerivedBundle>,
}

impl DerivedWriter {
    /// Starts a set of columns of a store, which is [`ScoreStore::exclusive`].
    pub fn new(store: &ScoreStore, spec: DerivedSpec) -> Self {
        let generation = spec.generation();
        Self {
            blobs: Arc::clone(&store.blobs),
            model: store.model.clone(),
            folders: Folders::of(&store.model, &generation),
            generation,
            spec,
            bundles: Vec::new(),
        }
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
        self.put(&self.folders.shard(&shard.fingerprint), schema, batches)
    }

    /// Writes the columns of shards that share a file; `rows` has how many are stored of each, whose values follow each
    /// other in `batches`.
    ///
    /// # Errors
    /// As [`DerivedWriter::shard`].
    pub fn bundle(
        &mut self,
        rows: impl IntoIterator<Item = (ShardIdentity, u64)>,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = Result<RecordBatch>>,
    ) -> Result<()> {
        let shards = rows
            .into_iter()
            .map(|(shard, rows)| (shard.fingerprint, rows));
        let shards: Vec<(String, u64)> = shards.collect();
        let fingerprints = shards.iter().map(|(fingerprint, _)| fingerprint);
        let name = bundle_name(fingerprints, &self.model);
        self.put(&self.folders.bundle(&name), schema, batches)?;
        self.bundles.push(DerivedBundle { name, shards });
        Ok(())
    }

    fn put(
        &self,
        name: &str,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = Result<RecordBatch>>,
    ) -> Result<()> {
        let file = ParquetBlob {
            blobs: self.blobs.as_ref(),
            name,
            durability: Durability::Whole,
            schema,
            metadata: Vec::new(),
        };
        file.put(batches)
    }

    /// Keeps what the columns were made with beside them.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn artifact(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let name = self.folders.artifact(name);
        put_bytes(self.blobs.as_ref(), &name, Durability::Named, bytes)
    }

    /// Makes the columns those of the store, and removes the ones before.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<()> {
        let blobs = self.blobs.as_ref();
        blobs.keep_names(&self.folders.columns);
        let current_state = Current {
            format: match self.bundles.is_empty() {
                true => WITHOUT_BUNDLES,
                false => FORMAT,
            },
            spec: self.spec,
            bundles: self.bundles,
        };
        let name = current(&self.model);
        put_json(blobs, &name, Durability::Named, &current_state)?;
        for root in [DERIVED, STATE] {
            let root = format!("{root}/{}", self.model);
            for generation in blobs.list(&root)? {
                if generation != self.generation && generation != CURRENT {
                    // A leftover is of no use to anybody, and found again next time.
                    blobs.remove_all(&format!("{root}/{generation}"));
                }
            }
        }
        Ok(())
    }
}

fn current(model: &str) -> String {
    format!("{STATE}/{model}/{CURRENT}")
}
