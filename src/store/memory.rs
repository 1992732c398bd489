//! Test doubles: blobs and claims as an object store has them. Whole blobs are put, and nothing is renamed; a claim is
//! an object that is made once and has a deadline.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    blobs::{BlobFile, Blobs, ChangeBlob, Durability, WriteBlob},
    claims::{Claim, Claims},
};
use crate::{
    error::{Error, Result},
    source::{ShardBytes, memory::MemoryFile},
};

/// Content of a blob, and how often it was put.
type Versioned = (u64, Vec<u8>);

#[derive(Debug, Default)]
pub(super) struct MemoryBlobs {
    blobs: Mutex<BTreeMap<String, Versioned>>,
}

impl MemoryBlobs {
    fn blobs(&self) -> MutexGuard<'_, BTreeMap<String, Versioned>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_if(&self, name: &str, version: u64, bytes: Vec<u8>) -> bool {
        let mut blobs = self.blobs();
        let now = blobs.get(name).map_or(0, |(version, _)| *version);
        if now != version {
            return false;
        }
        blobs.insert(name.to_owned(), (version + 1, bytes));
        true
    }

    /// Every blob.
    pub(super) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let blobs = self.blobs();
        let all = blobs
            .iter()
            .map(|(name, (_, bytes))| (name.clone(), bytes.clone()));
        all.collect()
    }
}

impl Blobs for MemoryBlobs {
    fn place(&self, name: &str) -> String {
        format!("memory:{name}")
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.blobs().get(name).map(|(_, bytes)| bytes.len() as u64))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.blobs().get(name).map(|(_, bytes)| bytes.clone()))
    }

    fn open(&self, name: &str) -> Result<BlobFile> {
        let bytes = self.read(name)?;
        let bytes = bytes.ok_or_else(|| Error::input("find a blob").with("name", name))?;
        Ok(ShardBytes::new(Arc::new(MemoryFile::new(bytes))))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = format!("{folder}/");
        let blobs = self.blobs();
        let below = blobs.keys().filter_map(|name| name.strip_prefix(&prefix));
        let mut direct: Vec<String> = below
            .filter_map(|name| name.split('/').next().map(str::to_owned))
            .collect();
        direct.dedup();
        Ok(direct)
    }

    fn put(&self, name: &str, _: Durability, write: WriteBlob<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        let mut blobs = self.blobs();
        let version = blobs.get(name).map_or(0, |(version, _)| *version);
        blobs.insert(name.to_owned(), (version + 1, bytes));
        Ok(())
    }

    fn update(&self, name: &str, _: Durability, change: ChangeBlob<'_>) -> Result<()> {
        loop {
            let old = self.blobs().get(name).cloned();
            let bytes = old.as_ref().map(|(_, bytes)| bytes.as_slice());
            let Some(new) = change(bytes)? else {
                return Ok(());
            };
            if self.put_if(name, old.map_or(0, |(version, _)| version), new) {
                return Ok(());
            }
        }
    }

    fn keep_names(&self, _: &str) {}

    fn remove(&self, name: &str) {
        self.blobs().remove(name);
    }

    fn remove_all(&self, folder: &str) {
        let prefix = format!("{folder}/");
        self.blobs().retain(|name, _| !name.starts_with(&prefix));
    }

    fn total_bytes(&self) -> u64 {
        self.blobs()
            .values()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum()
    }
}

/// How long a claim holds without being renewed.
const HOLDS: u64 = 10;

#[derive(Debug, Default)]
struct Held {
    now: u64,
    owners: u64,
    /// Owner and deadline by name.
    claims: BTreeMap<String, (u64, u64)>,
}

/// Claims of several processes, in one.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryClaims {
    held: Arc<Mutex<Held>>,
}

impl MemoryClaims {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass.
    pub(super) fn pass(&self, time: u64) {
        self.held().now += time;
    }
}

impl Claims for MemoryClaims {
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let mut held = self.held();
        let now = held.now;
        if held
            .claims
            .get(name)
            .is_some_and(|(_, deadline)| *deadline > now)
        {
            return Ok(None);
        }
        held.owners += 1;
        let owner = held.owners;
        held.claims.insert(name.to_owned(), (owner, now + HOLDS));
        Ok(Some(Box::new(MemoryClaim {
            claims: self.clone(),
            name: name.to_owned(),
            owner,
        })))
    }

    fn is_claimed(&self, name: &str) -> bool {
        let held = self.held();
        let claim = held.claims.get(name);
        claim.is_some_and(|(_, deadline)| *deadline > held.now)
    }
}

#[derive(Debug)]
struct MemoryClaim {
    claims: MemoryClaims,
    name: String,
    owner: u64,
}

impl Claim for MemoryClaim {
    fn renew(&self) {
        let mut held = self.claims.held();
        let until = held.now + HOLDS;
        if let Some((owner, deadline)) = held.claims.get_mut(&self.name)
            && *owner == self.owner
        {
            *deadline = until;
        }
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        let mut held = self.claims.held();
        if held
            .claims
            .get(&self.name)
            .is_some_and(|(owner, _)| *owner == self.owner)
        {
            held.claims.remove(&self.name);
        }
    }
}
