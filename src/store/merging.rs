//! What several workers have scored, as one store.

use serde::Serialize;

use super::{ScoreStore, StoreAt};
use crate::{
    error::{Error, Result},
    source::ShardIdentity,
};

/// What a merged store holds of the shards that it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Shards in all.
    pub shards: usize,
    /// Their rows.
    pub rows: u64,
    /// Shards of which rows are missing.
    pub missing: Vec<MissingShard>,
    /// Shards that somebody was scoring meanwhile.
    pub in_work: usize,
}

/// A shard that is not scored to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingShard {
    /// As it was given.
    pub shard: String,
    /// Its rows.
    pub rows: u64,
    /// Rows that are not decided.
    pub missing_rows: u64,
}

impl Merged {
    /// Puts what is known of the shards that workers were given, whoever has scored them, in one manifest. A second time changes
    /// nothing.
    ///
    /// # Errors
    /// When there is no store, it cannot be written to, or a file of it has not the rows of its shard.
    pub fn of(at: impl Into<StoreAt>) -> Result<Self> {
        let store = ScoreStore::open(at)?.filled()?;
        let shards = store.shards();
        let mut missing = Vec::new();
        for (shard, coverage) in shards.iter().zip(store.coverages(shards)?) {
            if coverage.complete {
                check_rows(&store, shard)?;
                continue;
            }
            missing.push(MissingShard {
                shard: shard.given.clone(),
                rows: shard.rows,
                missing_rows: shard.rows.saturating_sub(coverage.decided_rows),
            });
        }
        Ok(Self {
            shards: shards.len(),
            rows: shards.iter().map(|shard| shard.rows).sum(),
            missing,
            in_work: store.claimed()?.len(),
        })
    }

    /// Rows that are not decided.
    pub fn missing_rows(&self) -> u64 {
        self.missing.iter().map(|shard| shard.missing_rows).sum()
    }
}

/// The file of a shard has the rows that its record says it has, and no more than the shard.
fn check_rows(store: &ScoreStore, shard: &ShardIdentity) -> Result<()> {
    let key = (shard.fingerprint.as_str(), store.model.as_str());
    let records = &store.manifest.records;
    let record = records.binary_search_by(|it| it.key().cmp(&key));
    let told = record.map_or(shard.rows, |at| records[at].stored_rows);
    match store.scores(shard)?.rows() {
        Some(stored) if stored != told || stored > shard.rows => Err(Error::output(
            "merge scores: a file has not the rows of its shard",
        )
        .with("shard", &shard.given)
        .with("rows of the shard", shard.rows)
        .with("rows that its record says", told)
        .with("rows in the store", stored)
        .hint("remove the file of that shard from the store, and score it again")),
        _ => Ok(()),
    }
}
