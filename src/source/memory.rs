//! A place in memory that counts what is read of it: the second one beside local files, for tests.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;

use super::{Listed, Listing, Place, ShardFile, is_shard_name};
use crate::error::{Error, Result};

/// Bytes in memory.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    bytes: Bytes,
    ranges: AtomicU64,
    bytes_read: AtomicU64,
}

impl MemoryFile {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            ranges: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// Ranges that were read.
    pub(crate) fn ranges(&self) -> u64 {
        self.ranges.load(Relaxed)
    }

    /// Bytes of those ranges.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }
}

impl ShardFile for MemoryFile {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.ranges.fetch_add(1, Relaxed);
        self.bytes_read.fetch_add(range.end - range.start, Relaxed);
        let at = |position: u64| usize::try_from(position).map_err(io::Error::other);
        let (start, end) = (at(range.start)?, at(range.end)?);
        match end <= self.bytes.len() {
            true => Ok(self.bytes.slice(start..end)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Files by name.
#[derive(Debug, Default)]
pub(crate) struct MemoryPlace {
    files: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    file: Arc<MemoryFile>,
    version: Option<String>,
}

impl MemoryPlace {
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) -> Arc<MemoryFile> {
        let file = Arc::new(MemoryFile::new(bytes));
        let kept = Kept {
            file: Arc::clone(&file),
            version: None,
        };
        self.files.lock().unwrap().insert(name.to_owned(), kept);
        file
    }

    /// Says in listings that a file is of this version.
    pub(crate) fn set_version(&self, name: &str, version: &str) {
        let mut files = self.files.lock().unwrap();
        files.get_mut(name).unwrap().version = Some(version.to_owned());
    }

    fn listed(&self, wanted: impl Fn(&str) -> bool) -> Vec<Listed> {
        let files = self.files.lock().unwrap();
        let files = files.iter().filter(|(name, _)| wanted(name));
        files
            .map(|(name, kept)| Listed {
                size_bytes: Some(kept.file.size_bytes()),
                version: kept.version.clone(),
                ..Listed::named(name)
            })
            .collect()
    }
}

impl Place for MemoryPlace {
    fn at(&self, name: &str) -> Listed {
        let found = self.listed(|known| known == name).into_iter().next();
        found.unwrap_or_else(|| Listed::named(name))
    }

    fn exists(&self, file: &Listed) -> bool {
        self.below(&file.name).is_ok()
    }

    fn below(&self, name: &str) -> Result<Listing> {
        let in_it = |known: &str| {
            let rest = known.strip_prefix(name);
            let rest = rest.and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| rest.split('/').next_back().is_some_and(is_shard_name))
        };
        let found = self.listed(|known| known == name || in_it(known));
        match found.is_empty() {
            true => Err(Error::input("open the input").with("path", name)),
            false => Ok(found.into()),
        }
    }

    fn matching(&self, pattern: &str) -> Result<Listing> {
        let failed = |error| Error::usage("read a glob").source(error);
        let glob = glob::Pattern::new(pattern).map_err(failed)?;
        let found = self.listed(|known| {
            glob.matches(known) && known.split('/').next_back().is_some_and(is_shard_name)
        });
        match found.is_empty() {
            true => Err(Error::input("find a file that matches").with("pattern", pattern)),
            false => Ok(found.into()),
        }
    }

    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>> {
        let files = self.files.lock().unwrap();
        match files.get(&file.name) {
            Some(kept) => Ok(Arc::clone(&kept.file) as Arc<dyn ShardFile>),
            None => Err(Error::input("open the shard").with("shard", &file.name)),
        }
    }
}
