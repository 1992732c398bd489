//! What is known of the scores of a finished shard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    blobs::Blobs,
    manifest::read_json,
    names::{self, scored},
};
use crate::{error::Result, source::ShardIdentity};

/// Raised when a reader of the present format could misread what is written.
pub(super) const FORMAT: u32 = 2;

/// A finished shard of one model: what its file of scores holds, in few bytes.
///
/// Whoever finishes it writes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) format: u32,
    /// Of the shard's content.
    pub(super) fingerprint: String,
    /// Of the model, as files are named.
    pub(super) model: String,
    /// What they were made with besides.
    pub(super) made_with: String,
    /// As the shard and its copies were given, sorted.
    pub(super) paths: Vec<String>,
    pub(super) size_bytes: u64,
    /// Of the shard.
    pub(super) rows: u64,
    /// With scores or a reason why there are none; fewer than `rows` where a condition left some out.
    pub(super) stored_rows: u64,
    /// Stored rows by status.
    pub(super) statuses: BTreeMap<String, u64>,
    /// Where they are, if that is not a file of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<InBundle>,
}

/// Where the rows of a small shard are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InBundle {
    /// What the bundle is called in names.
    pub(super) name: String,
    pub(super) first_row: u64,
}

/// What a file of records holds: one, or those of a bundle.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Box<Record>),
    Many(Vec<Record>),
}

impl Record {
    /// Orders records, and tells two of one shard and model.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.fingerprint, &self.model)
    }

    /// What its file is called: as its shard in names of its model, or as its bundle.
    pub(super) fn file(&self) -> String {
        match &self.bundle {
            Some(bundle) => bundle.name.clone(),
            None => scored(&self.fingerprint, &self.model),
        }
    }

    /// Those in the file of this name; none where that is not there, or half of one.
    pub(super) fn read(blobs: &dyn Blobs, file: &str) -> Result<Vec<Self>> {
        Ok(match read_json(blobs, &names::record(file))? {
            Some(OneOrMany::One(record)) => vec![*record],
            Some(OneOrMany::Many(records)) => records,
            None => Vec::new(),
        })
    }

    /// The shard, where nothing says at which place it was found last.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardIdentity> + '_ {
        self.paths.iter().map(|path| ShardIdentity {
            path: path.clone(),
            given: path.clone(),
            fingerprint: self.fingerprint.clone(),
            size_bytes: self.size_bytes,
            rows: self.rows,
        })
    }
}
