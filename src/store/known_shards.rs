//! The shards that a store was asked for, finished or not, and where each was found last.

use std::{collections::HashMap, sync::OnceLock};

use serde::{Deserialize, Serialize};

use super::{
    blobs::{Blobs, Durability},
    manifest::{read_json, text_of},
    names::KNOWN_SHARDS,
    records::Record,
};
use crate::{error::Result, source::ShardIdentity};

/// Raised when a reader of the present list could misread what is written.
const FORMAT: u32 = 1;

/// In the order in which they were named first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KnownShards {
    format: u32,
    pub(super) shards: Vec<ShardIdentity>,
    /// As shards are given, by fingerprint; made when it is asked for.
    #[serde(skip)]
    paths: OnceLock<HashMap<String, Vec<String>>>,
}

impl Default for KnownShards {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl KnownShards {
    pub(super) fn new(shards: Vec<ShardIdentity>) -> Self {
        Self {
            format: FORMAT,
            shards,
            paths: OnceLock::new(),
        }
    }

    /// Those of the list, then those that only records name: of a store that was merged, or has lost the list.
    ///
    /// # Errors
    /// When the list is there and cannot be read.
    pub(super) fn read(blobs: &dyn Blobs, records: &[Record]) -> Result<Self> {
        let listed: Option<Self> = read_json(blobs, KNOWN_SHARDS)?;
        Ok(listed.unwrap_or_default().with(records))
    }

    fn with(mut self, records: &[Record]) -> Self {
        let known: std::collections::HashSet<String> = self
            .shards
            .iter()
            .map(|shard| shard.fingerprint.clone())
            .collect();
        let unknown = records
            .iter()
            .filter(|record| !known.contains(&record.fingerprint));
        let mut found: Vec<ShardIdentity> = unknown.flat_map(Record::shards).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        // Several models may have scored a shard.
        found.dedup();
        self.shards.extend(found);
        self
    }

    /// Makes `shards` known; those that they replace.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub(super) fn announce(
        blobs: &dyn Blobs,
        records: &[Record],
        shards: &[ShardIdentity],
    ) -> Result<(Self, Vec<ShardIdentity>)> {
        let (mut now, mut replaced) = (Self::default(), Vec::new());
        blobs.update(KNOWN_SHARDS, Durability::Whole, &mut |old| {
            let listed = old.and_then(|text| serde_json::from_slice::<Self>(text).ok());
            now = listed.unwrap_or_default().with(records);
            let changed = now.changed(shards).into_iter();
            replaced = changed.map(|(known, _)| known.clone()).collect();
            let text = now.record(shards).then(|| text_of(&now));
            text.transpose()
        })?;
        Ok((now, replaced))
    }

    /// Shards that are known under a path of `shards` with another content: known and found.
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

    /// As the shards of this content are given, sorted; of one that is not known, as `shard` is.
    pub(super) fn given_or(&self, shard: &ShardIdentity) -> Vec<String> {
        let given = self.paths().get(&shard.fingerprint).cloned();
        given.unwrap_or_else(|| vec![shard.given.clone()])
    }

    /// As the shards of each content are given, sorted, by its fingerprint.
    pub(super) fn paths(&self) -> &HashMap<String, Vec<String>> {
        self.paths.get_or_init(|| self.gather_paths())
    }

    fn gather_paths(&self) -> HashMap<String, Vec<String>> {
        let mut paths = HashMap::<String, Vec<String>>::new();
        for shard in &self.shards {
            let given = paths.entry(shard.fingerprint.clone()).or_default();
            given.push(shard.given.clone());
        }
        for given in paths.values_mut() {
            given.sort_unstable();
            given.dedup();
        }
        paths
    }

    /// Puts `shards` in, replacing those of the same path; true if that changed anything.
    fn record(&mut self, shards: &[ShardIdentity]) -> bool {
        let mut position: HashMap<String, usize> = self
            .shards
            .iter()
            .enumerate()
            .map(|(position, shard)| (shard.path.clone(), position))
            .collect();
        let mut changed = false;
        for shard in shards {
            match position.get(&shard.path) {
                Some(&at) if same(&self.shards[at], shard) => continue,
                Some(&at) => self.shards[at] = shard.clone(),
                None => {
                    position.insert(shard.path.clone(), self.shards.len());
                    self.shards.push(shard.clone());
                }
            }
            changed = true;
        }
        self.paths = OnceLock::new();
        changed
    }
}

/// However the one was given before.
fn same(known: &ShardIdentity, found: &ShardIdentity) -> bool {
    let of = |shard: &ShardIdentity| (shard.fingerprint.clone(), shard.size_bytes, shard.rows);
    of(known) == of(found)
}
