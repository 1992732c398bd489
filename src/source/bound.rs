//! The shards of a run with their columns bound, and what a score store knows each by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ColumnBinding, ColumnChoice, FoundTable, Location, Shard, ShardSet};
use crate::{
    config::OnBadShard,
    digest::hex,
    error::{Error, Result},
    selection::{Selection, SelectionBuilder},
};

/// A shard as a store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardIdentity {
    /// Where it was found: an absolute path, or a URL.
    pub path: String,
    /// As it was given, which is the same on every machine that is given the same: the column `shard` of its scores.
    pub given: String,
    /// Hash of its size, footer and samples of its content, and of the rows that its table has given up, hex.
    pub fingerprint: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its rows.
    pub rows: u64,
}

impl ShardIdentity {
    /// What a score store knows `shard` by.
    pub fn of(shard: &Shard) -> Self {
        Self {
            path: shard.location.address(),
            given: shard.location.to_string(),
            fingerprint: fingerprint(shard),
            size_bytes: shard.size_bytes,
            rows: shard.rows,
        }
    }
}

/// A store has no scores of rows that a table has given up: with others given up it is another shard.
fn fingerprint(shard: &Shard) -> String {
    if shard.left_out.is_empty() {
        return shard.fingerprint.clone();
    }
    let mut hash = Sha256::new();
    hash.update(&shard.fingerprint);
    for run in shard.left_out.runs() {
        hash.update(run.start.to_le_bytes());
        hash.update(run.end.to_le_bytes());
    }
    hex(&hash.finalize())
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
    /// Opens every one of `files`.
    ///
    /// # Errors
    /// When one cannot be read, or its columns cannot be told.
    pub fn open(files: &[Location], columns: &ColumnChoice) -> Result<Self> {
        Self::bound(ShardSet::open(files)?, columns)
    }

    fn bound(set: ShardSet, columns: &ColumnChoice) -> Result<Self> {
        let binding = ColumnBinding::detect(&set.schema, &set.metadata, columns);
        let binding = binding.map_err(|error| {
            let several = ColumnBinding::several(&set.schema, columns).into_iter();
            several.fold(error, |error, column| match set.lacking(column) {
                Some(shard) => error.with(
                    "not in all",
                    format!("{column} is not in {}", shard.location),
                ),
                None => error,
            })
        })?;
        for column in [&binding.image, &binding.text] {
            if let Some(shard) = set.lacking(column) {
                return Err(Error::input(format!(
                    "find the column '{column}': other shards have it, this one does not"
                ))
                .with("shard", &shard.location)
                .hint("leave the shard out, or name a column that all have with --image-column and --text-column"));
            }
        }
        Ok(Self::new(set, binding))
    }

    /// As [`BoundShards::open`], of what inputs name.
    ///
    /// # Errors
    /// As [`ShardSet::of_found`], and when the columns cannot be told.
    pub fn of_found(
        found: FoundTable,
        on_bad_shard: OnBadShard,
        columns: &ColumnChoice,
    ) -> Result<Self> {
        Self::bound(ShardSet::of_found(found, on_bad_shard)?, columns)
    }

    /// Refuses labels that only folders have where scores, which follow from them, are found by the content of shards; in a
    /// store that others use too if they are `stored`.
    ///
    /// # Errors
    /// When labels are those of folders, and scores are stored or two shards have the same content.
    pub fn check_labels(&self, stored: bool) -> Result<()> {
        let label = self.binding.label_column();
        let Some(label) = label.filter(|label| self.set.is_of_one_value(label)) else {
            return Ok(());
        };
        let why = match stored {
            true => "a score store knows shards by their content, which does not have them",
            false if self.set.has_twins() => "two shards have the same content",
            false => return Ok(()),
        };
        Err(
            Error::usage(format!("score by the labels of folders: {why}"))
                .with("column", label)
                .hint("write the labels into the shards first: clip-filter sql --output has them"),
        )
    }

    /// The same without the shard that `error` says is damaged; `None` if it names none of them, or the only one.
    #[must_use]
    pub fn without_bad(&self, error: &Error) -> Option<Self> {
        let set = self.set.without_bad(error)?;
        Some(Self::new(set, self.binding.clone()))
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

    /// Their rows without those that are left out of a shard.
    pub fn rows_in(&self) -> Selection {
        let mut rows = self.no_rows();
        for (number, shard) in self.set.shards.iter().enumerate() {
            for row in shard.left_out.there(0..shard.rows).flatten() {
                if let Ok(row) = usize::try_from(row) {
                    rows.select(number, row);
                }
            }
        }
        rows.finish()
    }
}
