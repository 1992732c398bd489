//! Bundles: files that hold the rows of several small shards, so that thousands of shards of a few rows are not
//! thousands of files that are written, synced, opened and read one by one.
//!
//! Shards that follow each other in a run are put together until they have [`BUNDLE_ROWS`] rows. A bundle is claimed,
//! written and read as one; its name is made of those of its shards, and its rows lie in their order. Two runs that are
//! given the same shards make the same bundles, also where one of them finds some finished.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::Schema};
use sha2::{Digest, Sha256};

use super::{
    blobs::Blobs,
    names::{self, BUNDLES},
    records::Record,
    score_file::{Stored, damaged},
};
use crate::{
    config::Share,
    digest::hex,
    error::{Error, Result},
    source::ShardIdentity,
};

/// A shard of more rows has a file of its own.
const SMALL_SHARD_ROWS: u64 = 64;
/// A bundle is full when the next shard would make it more.
const BUNDLE_ROWS: u64 = 256;
/// Bundles, with the columns that were asked for, of which the rows are kept: scans come to shards in the order in which
/// these were bundled.
const KEPT_IN_MEMORY: usize = 4;

/// Those of `shards` that are put together: stretches of at least two small ones that follow each other and `are_open`.
pub fn together(shards: &[ShardIdentity], is_open: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut bundles: Vec<Range<usize>> = Vec::new();
    let mut rows = 0;
    for (number, shard) in shards.iter().enumerate() {
        if shard.rows > SMALL_SHARD_ROWS || !is_open(number) {
            continue;
        }
        match bundles.last_mut() {
            Some(last) if last.end == number && rows + shard.rows <= BUNDLE_ROWS => {
                last.end += 1;
                rows += shard.rows;
            }
            _ => {
                bundles.push(number..number + 1);
                rows = shard.rows;
            }
        }
    }
    bundles.retain(|bundle| bundle.len() > 1);
    bundles
}

/// Which of `shards` are in a share of the work: by a hash of the path as it was given, which is the same on every machine. Small
/// ones that are put together when all are new are in one share, so that shares make the bundles that one worker makes.
pub fn shards_in(share: Share, shards: &[ShardIdentity]) -> Vec<bool> {
    let has = |shard: &ShardIdentity| {
        let hash = Sha256::digest(&shard.given);
        let start = hash.first_chunk::<8>().copied().unwrap_or_default();
        share.has(u64::from_le_bytes(start))
    };
    let mut found: Vec<bool> = shards.iter().map(has).collect();
    for bundle in together(shards, |_| true) {
        let of_all = found[bundle.start];
        found[bundle].fill(of_all);
    }
    found
}

/// What a bundle of `fingerprints` is called in names of one model.
pub(super) fn bundle_name<'a>(
    fingerprints: impl IntoIterator<Item = &'a String>,
    model: &str,
) -> String {
    let mut hash = Sha256::new();
    for fingerprint in fingerprints {
        hash.update(fingerprint);
        hash.update([0]);
    }
    names::scored(&hex(&hash.finalize()), model)
}

/// The stored rows of one shard in a bundle.
#[derive(Debug, Clone)]
pub(super) struct BundledRows {
    /// The bundle's, in the store.
    file: String,
    rows: Range<u64>,
}

impl BundledRows {
    /// Rows of a file of the store that holds those of several shards.
    pub(super) fn in_file(file: String, rows: Range<u64>) -> Self {
        Self { file, rows }
    }

    /// Where a record says that they are; `None` if that is no bundle.
    pub(super) fn of_record(record: &Record) -> Option<Self> {
        let place = record.bundle.as_ref()?;
        let end = place.first_row.saturating_add(record.stored_rows);
        Some(Self {
            file: names::bundle(&place.name),
            rows: place.first_row..end,
        })
    }

    /// These of `all` that the bundle has.
    pub(super) fn of(&self, all: &RecordBatch, blobs: &dyn Blobs) -> Result<RecordBatch> {
        let within = |row: u64| {
            usize::try_from(row)
                .ok()
                .filter(|&row| row <= all.num_rows())
        };
        match (within(self.rows.start), within(self.rows.end)) {
            (Some(start), Some(end)) if start <= end => Ok(all.slice(start, end - start)),
            _ => Err(damaged(
                &blobs.place(&self.file),
                "it has fewer rows than its record says",
            )),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.rows.end - self.rows.start
    }
}

/// Which shards of one model are in bundles, and the rows of those that were read last.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    /// By fingerprint.
    places: Mutex<HashMap<String, BundledRows>>,
    /// The one that was read last comes last.
    read: Mutex<VecDeque<ReadBundle>>,
}

#[derive(Debug)]
struct ReadBundle {
    file: String,
    columns: Vec<String>,
    rows: RecordBatch,
}

impl Bundles {
    /// Those of `records` that are of `model` and whose bundle is there.
    pub(super) fn of(blobs: &dyn Blobs, records: &[Record], model: &str) -> Result<Self> {
        let bundles = Self::default();
        let there: HashSet<String> = blobs.list(BUNDLES)?.into_iter().collect();
        let is_there = |name: &str| there.contains(&format!("{name}.parquet"));
        let ours = records.iter().filter(|record| record.model == model);
        bundles.add(ours.filter(|record| {
            let place = record.bundle.as_ref();
            place.is_some_and(|place| is_there(&place.name))
        }));
        Ok(bundles)
    }

    /// Adds those of `records` that are in bundles.
    pub(super) fn add<'a>(&self, records: impl IntoIterator<Item = &'a Record>) {
        let mut places = locked(&self.places);
        for record in records {
            if let Some(rows) = BundledRows::of_record(record) {
                places.insert(record.fingerprint.clone(), rows);
            }
        }
    }

    pub(super) fn forget(&self, fingerprint: &str) {
        locked(&self.places).remove(fingerprint);
    }

    /// Where the rows of a shard are; `None` if it is in no bundle.
    pub(super) fn find(&self, fingerprint: &str) -> Option<BundledRows> {
        locked(&self.places).get(fingerprint).cloned()
    }

    /// The named columns of the rows of one shard.
    pub(super) fn read(
        &self,
        blobs: &dyn Blobs,
        wanted: &BundledRows,
        columns: &[&str],
    ) -> Result<RecordBatch> {
        let mut kept = locked(&self.read);
        let is_it = |bundle: &ReadBundle| {
            bundle.file == wanted.file && bundle.columns.iter().eq(columns.iter())
        };
        let found = kept.iter().position(is_it).and_then(|at| kept.remove(at));
        let bundle = match found {
            Some(bundle) => bundle,
            None => ReadBundle {
                file: wanted.file.clone(),
                columns: columns.iter().map(|&name| name.to_owned()).collect(),
                rows: read_bundle(blobs, &wanted.file, Some(columns))?,
            },
        };
        let all = bundle.rows.clone();
        if kept.len() >= KEPT_IN_MEMORY {
            kept.pop_front();
        }
        kept.push_back(bundle);
        drop(kept);
        wanted.of(&all, blobs)
    }
}

/// All rows of a bundle; all columns if none is named.
pub(super) fn read_bundle(
    blobs: &dyn Blobs,
    file: &str,
    columns: Option<&[&str]>,
) -> Result<RecordBatch> {
    let stored = Stored::open(blobs, file)?;
    let schema = Arc::clone(stored.footer.schema());
    let mut batches = Vec::new();
    let mut rows = 0;
    for batch in stored.rows(columns, 0)? {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        if rows > BUNDLE_ROWS {
            return Err(damaged(
                &blobs.place(file),
                "it has more rows than a bundle has",
            ));
        }
        batches.push(batch);
    }
    let failed = |error| Error::internal("join the rows of a bundle").source(error);
    let schema = match batches.first() {
        Some(batch) => batch.schema(),
        None => Arc::new(projected(&schema, columns)),
    };
    concat_batches(&schema, &batches).map_err(failed)
}

fn projected(schema: &Schema, columns: Option<&[&str]>) -> Schema {
    let asked = |name: &str| columns.is_none_or(|columns| columns.contains(&name));
    let fields = schema.fields().iter();
    let fields = fields.filter(|field| asked(field.name()));
    Schema::new(fields.cloned().collect::<Vec<_>>())
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(rows: &[u64]) -> Vec<ShardIdentity> {
        let numbered = rows.iter().enumerate();
        numbered
            .map(|(number, &rows)| ShardIdentity {
                path: format!("/data/{number}"),
                given: number.to_string(),
                fingerprint: format!("{number:064}"),
                size_bytes: 1,
                rows,
            })
            .collect()
    }

    #[test]
    fn small_shards_that_follow_each_other_are_put_together() {
        let shards = shards(&[2, 3, 64, 65, 60, 60, 60, 60, 60, 1, 1000, 5]);
        assert_eq!(together(&shards, |_| true), [0..3, 4..8, 8..10]);
        assert_eq!(together(&shards, |number| number != 1), [4..8, 8..10]);
        assert!(together(&shards, |_| false).is_empty());
    }

    /// Whatever bundles somebody else has finished, the others are the same.
    #[test]
    fn bundles_stay_when_others_are_finished() {
        let shards = shards(&[30; 100]);
        let all = together(&shards, |_| true);
        assert!(all.len() > 10);
        for finished in &all {
            let left = together(&shards, |number| !finished.contains(&number));
            let others = all.iter().filter(|bundle| *bundle != finished);
            assert!(left.iter().eq(others), "{finished:?}: {left:?}");
        }
    }

    #[test]
    fn names_tell_bundles_and_models_apart() {
        let name = |prints: &[&str], model| {
            let prints: Vec<String> = prints.iter().map(|&print| print.to_owned()).collect();
            bundle_name(&prints, model)
        };
        assert_eq!(name(&["a", "b"], "m"), name(&["a", "b"], "m"));
        assert_ne!(name(&["a", "b"], "m"), name(&["b", "a"], "m"));
        assert_ne!(name(&["ab"], "m"), name(&["a", "b"], "m"));
        assert_ne!(name(&["a"], "m"), name(&["a"], "n"));
    }
}
