//! The shards of a run with their columns bound, and what a score store knows each by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ColumnBinding, ColumnChoice, Shard, ShardSet, expand};
use crate::{
    error::Result,
    selection::{Selection, SelectionBuilder},
};

/// A shard as a store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardIdentity {
    /// Where it was found, absolute.
    pub path: String,
    /// Hash of its size, footer and samples of its content, hex.
    pub fingerprint: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its rows.
    pub rows: u64,
}

impl ShardIdentity {
    /// What a score store knows `shard` by.
    pub fn of(shard: &Shard) -> Self {
        let path = std::path::absolute(&shard.path).unwrap_or_else(|_| shard.path.clone());
        Self {
            path: path.display().to_string(),
            fingerprint: shard.fingerprint.clone(),
            size_bytes: shard.size_bytes,
            rows: shard.rows,
        }
    }
}

/// The shards of a run, and which of their columns are a pair.
#[derive(Debug, Clone)]
pub struct BoundShards {
    /// The shards.
    pub set: Arc<ShardSet>,
    /// Their image, caption and key.
    pub binding: ColumnBinding,
    /// What a score store knows them by, in the same order.
    pub identities: Vec<ShardIdentity>,
}

impl BoundShards {
    /// Opens every shard that `inputs` name.
    ///
    /// # Errors
    /// When one cannot be read, or its columns cannot be told.
    pub fn open(inputs: &[String], columns: &ColumnChoice) -> Result<Self> {
        let set = ShardSet::open(&expand(inputs)?)?;
        let binding = ColumnBinding::detect(&set.schema, &set.metadata, columns)?;
        Ok(Self::new(set, binding))
    }

    /// Shards whose columns are known.
    pub fn new(set: ShardSet, binding: ColumnBinding) -> Self {
        Self {
            identities: set.shards.iter().map(ShardIdentity::of).collect(),
            set: Arc::new(set),
            binding,
        }
    }

    /// A selection of their rows that none is in yet.
    pub fn no_rows(&self) -> SelectionBuilder {
        Selection::builder(self.set.shards.iter().map(|shard| shard.rows))
    }
}
