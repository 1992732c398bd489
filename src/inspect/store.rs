//! The facts of a score store.

use serde::Serialize;

use super::{
    content::Content,
    derived::{DerivedFacts, known},
    distribution::Scores,
};
use crate::{
    error::Result,
    source::{Places, ShardSet},
    store::{ScoreStore, ShardIdentity, StoreAt, StoreSpec},
    summary::BadRows,
};

/// What a score store holds.
#[derive(Debug, Serialize)]
pub struct StoreFacts {
    /// Where it is.
    pub directory: String,
    /// Format of its files.
    pub format: u32,
    /// The program that made it.
    pub written_by: String,
    /// Another process was writing to it.
    pub in_use: bool,
    /// Shards that were being scored.
    pub claims: usize,
    /// Size of its files.
    pub size_bytes: u64,
    /// Everything that decides what it holds of a row, of the first of its models.
    pub made_with: StoreSpec,
    /// Every model it has scores of.
    pub models: Vec<StoredModel>,
    /// Rows of all shards it knows.
    pub rows: u64,
    /// Rows of them that are in the store, or that its condition left out.
    pub rows_decided: u64,
    /// Rows in the store.
    pub rows_stored: u64,
    /// Rows in the store without a score.
    pub rows_bad: u64,
    /// The same by status.
    pub bad: BadRows,
    /// The distribution of `clip_score`; `None` if there is not one.
    pub scores: Option<Scores>,
    /// Columns that are computed from embeddings; `None` if there are none.
    pub derived: Option<DerivedFacts>,
    /// Every shard it knows.
    pub shards: Vec<StoredShard>,
}

/// A model that a store has scores of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredModel {
    /// Ends the names of its files.
    pub key: String,
    /// As it was called when the store was made.
    pub name: String,
    /// Of its weights.
    pub precision: String,
    /// Of every file that decides a score.
    pub fingerprint: String,
}

/// A shard as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredShard {
    /// Where it was when it was scored.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Rows before this one are in the store, or its condition left them out.
    pub decided_rows: u64,
    /// How far it is.
    pub progress: Progress,
    /// What has become of the file.
    pub file: FileState,
}

/// How far a shard is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// No row.
    Missing,
    /// Some rows.
    Partial,
    /// Every row.
    Complete,
}

/// A shard's file, compared with what was scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// It has not changed.
    Same,
    /// Its fingerprint is another.
    Changed,
    /// It is not where it was.
    Gone,
    /// It cannot be read.
    Unreadable,
}

impl StoreFacts {
    pub(super) fn read(at: StoreAt, places: &Places) -> Result<Self> {
        let store = ScoreStore::look(at)?;
        let in_use = store.is_in_use()?;
        let shards = store
            .shards()
            .iter()
            .map(|shard| StoredShard::of(&store, shard, places))
            .collect::<Result<Vec<_>>>()?;
        let mut content = Content::read(&store, &shards, &known(store.derived()))?;
        let derived = DerivedFacts::of(&store, &mut content);
        let total = |rows: fn(&StoredShard) -> u64| shards.iter().map(rows).sum();
        Ok(Self {
            directory: store.at().to_string(),
            format: store.format(),
            written_by: store.written_by().to_owned(),
            in_use,
            claims: store.claimed()?.len(),
            size_bytes: store.size_bytes(),
            made_with: store.spec().clone(),
            models: store
                .models()
                .map(|(key, spec)| StoredModel::of(key, spec))
                .collect(),
            rows: total(|shard| shard.rows),
            rows_decided: total(|shard| shard.decided_rows),
            rows_stored: content.rows,
            rows_bad: content.bad.values().sum(),
            bad: content.bad,
            scores: content.scores,
            derived,
            shards,
        })
    }
}

impl StoredModel {
    fn of(key: &str, spec: &StoreSpec) -> Self {
        Self {
            key: key.to_owned(),
            name: spec.model.name.clone(),
            precision: spec.model.precision.clone(),
            fingerprint: spec.model.fingerprint.clone(),
        }
    }
}

impl StoredShard {
    pub(super) fn of(store: &ScoreStore, shard: &ShardIdentity, places: &Places) -> Result<Self> {
        let coverage = store.coverage(shard)?;
        Ok(Self {
            path: shard.path.clone(),
            rows: shard.rows,
            decided_rows: coverage.decided_rows,
            progress: match (coverage.complete, coverage.decided_rows) {
                (true, _) => Progress::Complete,
                (false, 0) => Progress::Missing,
                (false, _) => Progress::Partial,
            },
            file: FileState::of(shard, places),
        })
    }
}

impl FileState {
    fn of(shard: &ShardIdentity, places: &Places) -> Self {
        let Ok(file) = places.at(&shard.path) else {
            return Self::Unreadable;
        };
        match ShardSet::open(std::slice::from_ref(&file)) {
            Ok(set) if set.shards[0].fingerprint == shard.fingerprint => Self::Same,
            Ok(_) => Self::Changed,
            Err(_) if !file.exists() => Self::Gone,
            Err(_) => Self::Unreadable,
        }
    }
}
