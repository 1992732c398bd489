//! Shards in object stores, and on web servers.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    num::NonZeroUsize,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;

use super::{
    Listed, Listing, LogFile, ShardFile, TableFolder, TableFormat,
    place::{Place, is_set_aside, is_shard_name},
    reach::MATCHING,
    remote_file::{RemoteContent, RemoteFile, Tails},
    table_folder::{LOGS, format_of_key, is_iceberg_metadata},
};
use crate::{
    error::{Error, Result},
    remote::{Facts, Object, ObjectStores},
};

/// Requests under way at a time where each is short.
pub(super) const REQUESTS: usize = 32;

/// Object stores and web servers as a place of shards.
pub struct RemoteFiles {
    stores: Arc<ObjectStores>,
    /// Folders that were looked at, so that none is twice.
    tables: Mutex<HashMap<String, Option<TableFormat>>>,
    tails: Arc<Tails>,
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
            tails: Arc::default(),
        }
    }

    /// Shards among what lies below `base`, by the part of their names behind it, and folders of tables.
    fn shards_of(&self, base: &Object, wanted: impl Fn(&str) -> bool) -> Result<Listing> {
        let facts = base.below()?;
        let mut tables = BTreeSet::new();
        for fact in &facts {
            let within = base.name_within(&fact.url);
            if let Some((folder, format)) = format_of_key(within) {
                tables.insert((format!("{}/{folder}", base.url()), format));
            }
        }
        let mut listing = Listing::default();
        for fact in facts {
            let within = base.name_within(&fact.url);
            let is_set_aside = within.split('/').any(is_set_aside);
            if !is_set_aside
                && within.rsplit('/').next().is_some_and(is_shard_name)
                && wanted(&fact.url)
            {
                listing.files.push(listed(fact));
            }
        }
        // Of a table that lies around all of it.
        if tables.is_empty()
            && !listing.files.is_empty()
            && let Some(table) = self.table_around(base.folder())?
        {
            listing.tables.push(table);
            return Ok(listing);
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

    /// The table that files of a folder belong to: its folder is this one, the one above, or further up where folders
    /// between are those of values (`day=1`).
    fn table_around(&self, folder: Option<Object>) -> Result<Option<TableFolder>> {
        let (mut around, mut above_values) = (folder, true);
        while let Some(folder) = around {
            if let Some(format) = self.format_of(&folder)? {
                let name = folder.url().to_owned();
                return Ok(Some(TableFolder { format, name }));
            }
            if !above_values {
                return Ok(None);
            }
            let name = folder.url().rsplit('/').next().unwrap_or_default();
            above_values = name.contains('=');
            around = folder.folder();
        }
        Ok(None)
    }

    fn format_of(&self, folder: &Object) -> Result<Option<TableFormat>> {
        if let Some(known) = self.tables().get(folder.url()) {
            return Ok(*known);
        }
        let mut found = None;
        for (log, format) in LOGS {
            if folder.child(log)?.has_below()? {
                found = Some(format);
                break;
            }
        }
        if found.is_none()
            && folder
                .child("metadata")?
                .has_named_below(is_iceberg_metadata)?
        {
            found = Some(TableFormat::Iceberg);
        }
        self.tables().insert(folder.url().to_owned(), found);
        Ok(found)
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
                false => self.table_around(object.folder())?,
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
        let format = self.format_of(&object)?;
        Ok(format.map(|format| TableFolder {
            format,
            name: object.url().to_owned(),
        }))
    }

    fn log(&self, name: &str) -> Result<Vec<LogFile>> {
        let object = self.stores.object(name)?;
        let files = object.below()?.into_iter().map(|facts| LogFile {
            path: object.name_within(&facts.url).to_owned(),
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
        let content = match file.size_bytes {
            Some(size_bytes) => RemoteContent::new(object, size_bytes, file.version.clone()),
            None => {
                let facts = object.facts()?.ok_or_else(|| nothing_there(&file.name))?;
                RemoteContent::new(object, facts.size_bytes, facts.version)
            }
        };
        Ok(Arc::new(RemoteFile::new(content, Arc::clone(&self.tails))))
    }

    fn ask_ahead(&self, file: &Listed) {
        let object = self.stores.object(&file.name);
        if let (Ok(object), Some(size_bytes)) = (object, file.size_bytes) {
            let version = file.version.clone();
            self.tails
                .ask(&RemoteContent::new(object, size_bytes, version));
        }
    }
}

/// `range` of a file, of which `bytes` from `start` on are at hand.
pub(super) fn part_of(bytes: &Bytes, start: u64, range: &Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    (to <= bytes.len() && from <= to).then(|| bytes.slice(from..to))
}
