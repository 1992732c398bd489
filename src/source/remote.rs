//! Shards in object stores, and on web servers.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, io,
    num::NonZeroUsize,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use bytes::Bytes;

use super::{
    Listed, Listing, LogFile, ShardFile, TableFolder, TableFormat,
    places::{Place, is_set_aside, is_shard_name},
    reach::MATCHING,
    table_folder::format_of_key,
    windows::Windows,
};
use crate::{
    error::{Error, Result},
    remote::{Facts, Object, ObjectStores},
};

/// Read at once from the end of a file: the footer of most, and the index of its pages.
const TAIL_BYTES: u64 = 64 << 10;
/// Requests under way at a time where each is short.
const REQUESTS: usize = 32;

/// Object stores and web servers as a place of shards.
pub struct RemoteFiles {
    stores: Arc<ObjectStores>,
    /// Folders that were looked at, so that none is twice.
    tables: Mutex<HashMap<String, Option<TableFormat>>>,
}

impl fmt::Debug for RemoteFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteFiles")
    }
}

impl RemoteFiles {
    /// Files of these stores.
    pub fn new(stores: Arc<ObjectStores>) -> Self {
        Self {
            stores,
            tables: Mutex::default(),
        }
    }

    /// Shards among what lies below `base`, by the part of their names behind it, and folders of tables.
    fn shards_of(&self, base: &Object, wanted: impl Fn(&str) -> bool) -> Result<Listing> {
        let facts = base.below()?;
        let start = base.url().len() + 1;
        let mut tables = BTreeSet::new();
        for fact in &facts {
            let within = fact.url.get(start..).unwrap_or_default();
            if let Some((folder, format)) = format_of_key(within) {
                tables.insert((format!("{}/{folder}", base.url()), format));
            }
        }
        let mut listing = Listing::default();
        for fact in facts {
            let within = fact.url.get(start..).unwrap_or_default();
            let is_set_aside = within.split('/').any(is_set_aside);
            if !is_set_aside
                && within.rsplit('/').next().is_some_and(is_shard_name)
                && wanted(&fact.url)
            {
                listing.files.push(listed(fact));
            }
        }
        let holds = |folder: &str| {
            let is_within = |file: &Listed| file.name.starts_with(folder);
            listing.files.iter().any(is_within)
        };
        let tables = tables.into_iter().filter(|(folder, _)| holds(folder));
        listing.tables = tables
            .map(|(folder, format)| TableFolder {
                format,
                name: folder.trim_end_matches('/').to_owned(),
            })
            .collect();
        Ok(listing)
    }

    /// The table whose folder an object lies in directly.
    fn table_around(&self, object: &Object) -> Result<Option<TableFolder>> {
        let Some((folder, _)) = object.url().rsplit_once('/') else {
            return Ok(None);
        };
        let known = self.tables().get(folder).copied();
        let format = match known {
            Some(format) => format,
            None => {
                let log = self.stores.object(&format!("{folder}/_delta_log"))?;
                let format = log.has_below()?.then_some(TableFormat::Delta);
                self.tables().insert(folder.to_owned(), format);
                format
            }
        };
        Ok(format.map(|format| TableFolder {
            format,
            name: folder.to_owned(),
        }))
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<TableFormat>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listed(facts: Facts) -> Listed {
    Listed {
        size_bytes: Some(facts.size_bytes),
        version: facts.version,
        ..Listed::named(facts.url)
    }
}

fn nothing_there(name: &str) -> Error {
    Error::input("open the input: nothing is there")
        .with("url", crate::secrets::without_credentials(name))
}

impl Place for RemoteFiles {
    fn exists(&self, file: &Listed) -> bool {
        let object = self.stores.object(&file.name);
        object.is_ok_and(|object| {
            let there = object.facts().is_ok_and(|facts| facts.is_some());
            there || !object.is_web() && object.has_below().unwrap_or(false)
        })
    }

    fn below(&self, name: &str) -> Result<Listing> {
        let object = self.stores.object(name)?;
        if let Some(facts) = object.facts()? {
            let tables = match object.is_web() {
                true => None,
                false => self.table_around(&object)?,
            };
            return Ok(Listing {
                files: vec![listed(facts)],
                tables: tables.into_iter().collect(),
                ..Listing::default()
            });
        }
        if object.is_web() {
            return Err(nothing_there(name));
        }
        let found = self.shards_of(&object, |_| true)?;
        match found.files.is_empty() {
            false => Ok(found),
            true if object.has_below()? => Err(Error::input("find a shard below the URL")
                .with("url", name)
                .hint(
                    "names of shards end in .parquet or .pq; name files of other names themselves",
                )),
            true => Err(nothing_there(name)),
        }
    }

    fn table_at(&self, name: &str) -> Result<Option<TableFolder>> {
        if is_shard_name(name.rsplit('/').next().unwrap_or(name)) {
            return Ok(None);
        }
        let object = self.stores.object(name)?;
        if object.is_web() {
            return Ok(None);
        }
        // Beside no file of its own name, which the object of a listing is not asked for.
        self.table_around(&object.child("_delta_log")?)
    }

    fn log(&self, name: &str) -> Result<Vec<LogFile>> {
        let object = self.stores.object(name)?;
        let start = object.url().len() + 1;
        let files = object.below()?.into_iter().map(|facts| LogFile {
            path: facts.url.get(start..).unwrap_or_default().to_owned(),
            written_millis: facts.written_millis,
            file: listed(facts),
        });
        Ok(files.collect())
    }

    fn below_each(&self, names: &[String]) -> Vec<Result<Listing>> {
        let each = names.len().div_ceil(REQUESTS).max(1);
        thread::scope(|scope| {
            let listing = |names: &[String]| -> Vec<_> {
                names.iter().map(|name| self.below(name)).collect()
            };
            let running: Vec<_> = names
                .chunks(each)
                .map(|names| scope.spawn(move || listing(names)))
                .collect();
            let done = running.into_iter().flat_map(|thread| match thread.join() {
                Ok(listings) => listings,
                // As if it had been done here.
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.collect()
        })
    }

    fn matching(&self, pattern: &str) -> Result<Listing> {
        let failed = |error| {
            Error::usage("read a glob")
                .with("input", pattern)
                .source(error)
        };
        let glob = glob::Pattern::new(pattern).map_err(failed)?;
        let literal = &pattern[..pattern.find(['*', '?', '[']).unwrap_or(pattern.len())];
        let base = literal.rsplit_once('/').map_or(literal, |(base, _)| base);
        if base.ends_with('/') {
            return Err(Error::usage("read a glob over buckets")
                .with("input", pattern)
                .hint("name the bucket"));
        }
        let object = self.stores.object(base)?;
        // A folder that matches stands for all shards in it.
        let wanted = |url: &str| {
            let mut ends = url
                .match_indices('/')
                .map(|(end, _)| end)
                .collect::<Vec<_>>();
            ends.push(url.len());
            ends.iter()
                .any(|end| glob.matches_with(&url[..*end], MATCHING))
        };
        let found = self.shards_of(&object, wanted)?;
        match found.files.is_empty() {
            true => Err(Error::input("find a file that matches").with("pattern", pattern)),
            false => Ok(found),
        }
    }

    fn requests(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(REQUESTS)
    }

    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>> {
        let object = self.stores.object(&file.name)?;
        let (size_bytes, version) = match file.size_bytes {
            Some(size_bytes) => (size_bytes, file.version.clone()),
            None => {
                let facts = object.facts()?.ok_or_else(|| nothing_there(&file.name))?;
                (facts.size_bytes, facts.version)
            }
        };
        Ok(Arc::new(RemoteFile {
            content: Arc::new(RemoteContent {
                object,
                size_bytes,
                version,
            }),
            tail: Mutex::default(),
        }))
    }
}

/// One content of an object.
#[derive(Debug)]
pub(super) struct RemoteContent {
    pub(super) object: Object,
    size_bytes: u64,
    version: Option<String>,
}

impl RemoteContent {
    pub(super) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.object
            .read(range, self.size_bytes, self.version.as_deref())
    }

    /// As [`RemoteContent::read`], without waiting.
    pub(super) fn ask(&self, range: Range<u64>) -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
        self.object
            .ask(range, self.size_bytes, self.version.as_deref())
    }
}

/// An object that is read in ranges; its end is asked for once.
struct RemoteFile {
    content: Arc<RemoteContent>,
    tail: Mutex<Option<Bytes>>,
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

impl ShardFile for RemoteFile {
    fn size_bytes(&self) -> u64 {
        self.content.size_bytes
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let size_bytes = self.content.size_bytes;
        let kept = self
            .tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(bytes) =
            kept.and_then(|tail| part_of(&tail, size_bytes - tail.len() as u64, &range))
        {
            return Ok(bytes);
        }
        if range.end < size_bytes {
            return self.content.read(range);
        }
        let start = range.start.min(size_bytes.saturating_sub(TAIL_BYTES));
        let tail = self.content.read(start..size_bytes)?;
        let bytes = part_of(&tail, start, &range).ok_or(io::ErrorKind::UnexpectedEof)?;
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = Some(tail);
        Ok(bytes)
    }

    fn is_planned(&self) -> bool {
        true
    }

    fn planned(&self, ranges: &[Range<u64>], window_bytes: u64) -> Option<Arc<dyn ShardFile>> {
        Some(Arc::new(Windows::new(
            Arc::clone(&self.content),
            self.content.size_bytes,
            ranges,
            window_bytes,
        )))
    }
}

/// `range` of a file, of which `bytes` from `start` on are at hand.
pub(super) fn part_of(bytes: &Bytes, start: u64, range: &Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    (to <= bytes.len() && from <= to).then(|| bytes.slice(from..to))
}
