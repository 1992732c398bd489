//! Versions of tables that were scored to their last row: their files need not be opened again.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    ScoreStore,
    blobs::Durability,
    manifest::{read_json, text_of},
    names::{self, SCORES},
};
use crate::{
    error::Result,
    source::{KnownVersion, ShardIdentity, TableVersion},
};

/// Raised when a reader of the present list could misread what is written.
const FORMAT: u32 = 1;

/// The last version of each table.
#[derive(Debug, Default, Serialize, Deserialize)]
struct KnownTables {
    format: u32,
    tables: Vec<ScoredVersion>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ScoredVersion {
    table: String,
    id: String,
    number: u64,
    /// The fingerprint of each file, by what the log tells it apart by.
    files: BTreeMap<String, String>,
}

impl ScoredVersion {
    fn is_of(&self, version: &TableVersion) -> bool {
        self.table == version.table && self.id == version.id
    }
}

impl ScoreStore {
    /// The versions of tables that were scored last, with those of their files of which every row is here still.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn known_versions(&self) -> Result<Vec<KnownVersion>> {
        let known = self.known_tables()?.tables;
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let scores: HashSet<String> = self.blobs.list(SCORES)?.into_iter().collect();
        let is_finished = |fingerprint: &str| {
            self.bundles.find(fingerprint).is_some()
                || scores.contains(&format!("{}.parquet", self.scored(fingerprint)))
        };
        let versions = known.into_iter().map(|version| {
            let all = version.files.len();
            let files = version.files.into_iter();
            let finished = files.filter(|(_, fingerprint)| is_finished(fingerprint));
            let files: std::collections::BTreeSet<String> = finished.map(|(key, _)| key).collect();
            KnownVersion {
                table: version.table,
                id: version.id,
                number: version.number,
                is_whole: files.len() == all,
                files,
            }
        });
        Ok(versions.collect())
    }

    /// Remembers versions of tables whose files are all scored: `shards`, and those that were known before.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn record_versions(
        &self,
        versions: &[TableVersion],
        shards: &[ShardIdentity],
    ) -> Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        let fingerprints: HashMap<&str, &String> = shards
            .iter()
            .map(|shard| (shard.path.as_str(), &shard.fingerprint))
            .collect();
        let name = names::known_tables(&self.model);
        self.blobs.update(&name, Durability::Whole, &mut |old| {
            let old = old.and_then(|text| serde_json::from_slice(text).ok());
            let mut known = KnownTables::read(old);
            for version in versions {
                let before = known.tables.iter().position(|it| it.is_of(version));
                let before = before.map(|at| known.tables.swap_remove(at).files);
                let files = version.files.iter().map(|(key, address)| {
                    let fingerprint = match address {
                        Some(address) => fingerprints.get(address.as_str()).copied(),
                        None => before.as_ref().and_then(|files| files.get(key)),
                    };
                    Some((key.clone(), fingerprint?.clone()))
                });
                // One of which a file is missing is none.
                let Some(files) = files.collect() else {
                    continue;
                };
                known.tables.push(ScoredVersion {
                    table: version.table.clone(),
                    id: version.id.clone(),
                    number: version.number,
                    files,
                });
            }
            known.tables.sort_by(|a, b| a.table.cmp(&b.table));
            text_of(&known).map(Some)
        })
    }

    fn known_tables(&self) -> Result<KnownTables> {
        let name = names::known_tables(&self.model);
        Ok(KnownTables::read(read_json(self.blobs.as_ref(), &name)?))
    }
}

impl KnownTables {
    /// None of another format.
    fn read(found: Option<Self>) -> Self {
        let found = found.filter(|known| known.format == FORMAT);
        found.unwrap_or(Self {
            format: FORMAT,
            tables: Vec::new(),
        })
    }
}
