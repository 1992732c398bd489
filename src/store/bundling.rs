//! Bundles are written, told anew, and cut.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{AsArray, RecordBatch, StringArray},
    compute::concat_batches,
    datatypes::SchemaRef,
};

use super::{
    ScoreStore, StoreSpec,
    blobs::Durability,
    bundles::{BundledRows, bundle_name, read_bundle},
    claims::Claim,
    files::ParquetBlob,
    manifest::put_json,
    names::{self, BUNDLES, scored},
    records::{FORMAT, InBundle, Record},
    score_file::read_metadata,
    stored_schema,
    writing::{stored_facts, with_given},
};
use crate::{
    error::{Error, Result},
    schema::STATUS,
    source::ShardIdentity,
};

/// The pair of a bundle's file from which its records can be made again.
const RECORDS_KEY: &str = "clip_filter.shards";

/// A shard of a bundle, with all its rows that are stored.
#[derive(Debug)]
pub struct BundledShard<'a> {
    /// The shard.
    pub shard: &'a ShardIdentity,
    /// In row order, as [`ScoreStore::commit_part`] takes them.
    pub batches: &'a [RecordBatch],
}

impl ScoreStore {
    /// Claims shards that are put [`super::together`]; `None` while somebody else has them. Whoever has them looks
    /// whether they are finished by now.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub fn claim_bundle(&self, shards: &[ShardIdentity]) -> Result<Option<Box<dyn Claim>>> {
        self.claims.claim(&self.bundle_of(shards))
    }

    /// Whether these shards are finished as one bundle. If somebody else has finished it, this store knows it from now
    /// on.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn has_bundle(&self, shards: &[ShardIdentity]) -> Result<bool> {
        let name = self.bundle_of(shards);
        if self.blobs.size(&names::bundle(&name))?.is_none() {
            return Ok(false);
        }
        self.bundles.add(&self.records_in(&name)?);
        let mut shards = shards.iter();
        Ok(shards.all(|shard| self.bundles.find(&shard.fingerprint).is_some()))
    }

    /// Keeps all rows of small shards that follow each other, as one file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn commit_bundle(&self, shards: &[BundledShard<'_>]) -> Result<()> {
        let fingerprints = shards.iter().map(|bundled| &bundled.shard.fingerprint);
        let name = bundle_name(fingerprints, &self.model);
        let records = self.records_of(&name, shards)?;
        let rows = joined(&stored_schema(self.spec.embeddings, []), shards)?;
        self.put_bundle(&name, &self.spec, &records, &rows)?;
        self.blobs.remove_all(&names::parts(&name));
        self.bundles.add(&records);
        Ok(())
    }

    fn bundle_of(&self, shards: &[ShardIdentity]) -> String {
        bundle_name(shards.iter().map(|shard| &shard.fingerprint), &self.model)
    }

    /// Puts the rows of a bundle, and then its records.
    fn put_bundle(
        &self,
        name: &str,
        spec: &StoreSpec,
        records: &[Record],
        rows: &RecordBatch,
    ) -> Result<()> {
        let text = serde_json::to_string(records)
            .map_err(|error| Error::internal("describe a bundle").source(error))?;
        let mut metadata = stored_facts(spec);
        metadata.push((RECORDS_KEY.to_owned(), text));
        let file = ParquetBlob {
            blobs: self.blobs.as_ref(),
            name: &names::bundle(name),
            durability: Durability::Named,
            schema: rows.schema_ref(),
            metadata,
        };
        file.put([Ok(rows.clone())])?;
        self.put_records(name, records)
    }

    fn put_records(&self, name: &str, records: &[Record]) -> Result<()> {
        let name = names::record(name);
        put_json(self.blobs.as_ref(), &name, Durability::Remade, &records)
    }

    fn records_of(&self, name: &str, shards: &[BundledShard<'_>]) -> Result<Vec<Record>> {
        let mut first_row = 0;
        let mut records = Vec::with_capacity(shards.len());
        for BundledShard { shard, batches } in shards {
            let mut statuses = BTreeMap::<String, u64>::new();
            for batch in *batches {
                let column = batch.column_by_name(STATUS);
                let column = column.ok_or_else(|| Error::internal("find the statuses of rows"))?;
                for status in column.as_string::<i32>().iter().flatten() {
                    *statuses.entry(status.to_owned()).or_default() += 1;
                }
            }
            let stored_rows = statuses.values().sum();
            records.push(Record {
                format: FORMAT,
                fingerprint: shard.fingerprint.clone(),
                model: self.model.clone(),
                made_with: self.spec.made_with(),
                paths: self.known.given_or(shard),
                size_bytes: shard.size_bytes,
                rows: shard.rows,
                stored_rows,
                statuses,
                bundle: Some(InBundle {
                    name: name.to_owned(),
                    first_row,
                }),
            });
            first_row += stored_rows;
        }
        Ok(records)
    }

    /// The records of a bundle, from their file or that of the rows; none where neither can be read.
    fn records_in(&self, name: &str) -> Result<Vec<Record>> {
        let found = Record::read(self.blobs.as_ref(), name)?;
        if found.is_empty() {
            return Ok(self.told_by_rows(name));
        }
        Ok(found)
    }

    fn told_by_rows(&self, name: &str) -> Vec<Record> {
        let pairs = read_metadata(self.blobs.as_ref(), &names::bundle(name)).unwrap_or_default();
        let mut pairs = pairs.into_iter();
        let text = pairs.find(|(key, _)| key == RECORDS_KEY);
        let records = text.and_then(|(_, text)| serde_json::from_str(&text).ok());
        let mut records: Vec<Record> = records.unwrap_or_default();
        let is_of_it = |record: &Record| {
            record.format == FORMAT
                && record.model == self.model
                && record
                    .bundle
                    .as_ref()
                    .is_some_and(|place| place.name == name)
        };
        records.retain(is_of_it);
        records
    }

    /// Makes the records of bundles that a kill or a power cut took, and those anew whose shards are called otherwise by
    /// now.
    pub(super) fn complete_bundles(
        &self,
        paths: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<Record>> {
        let mut known: HashMap<String, Vec<&Record>> = HashMap::new();
        for record in &self.manifest.records {
            if record.model == self.model
                && let Some(place) = &record.bundle
            {
                known.entry(place.name.clone()).or_default().push(record);
            }
        }
        let is_right = |record: &Record| {
            let now = paths.get(&record.fingerprint);
            now.is_none_or(|paths| *paths == record.paths)
        };
        let ending = format!("-{}.parquet", self.model);
        let mut written = Vec::new();
        for file in self.blobs.list(BUNDLES)? {
            let Some(hash) = file.strip_suffix(&ending) else {
                continue;
            };
            let name = scored(hash, &self.model);
            let known = known.get(&name);
            if known.is_some_and(|records| records.iter().all(|record| is_right(record))) {
                continue;
            }
            // Somebody who has the claim is about to write them.
            let Some(_claim) = self.claims.claim(&name)? else {
                continue;
            };
            let mut records = self.told_by_rows(&name);
            for record in &mut records {
                if let Some(paths) = paths.get(&record.fingerprint) {
                    record.paths.clone_from(paths);
                }
            }
            self.put_records(&name, &records)?;
            self.bundles.add(&records);
            written.extend(records);
        }
        Ok(written)
    }

    /// Takes shards out of the bundles of all models; the records of what is left of these.
    pub(super) fn cut_bundles(&self, fingerprints: &[String]) -> Result<Vec<Record>> {
        let gone: HashSet<&String> = fingerprints.iter().collect();
        let mut cut: BTreeMap<String, String> = BTreeMap::new();
        for record in &self.manifest.records {
            if let (true, Some(place)) = (gone.contains(&record.fingerprint), &record.bundle) {
                cut.insert(place.name.clone(), record.model.clone());
            }
        }
        let mut left = Vec::new();
        for (name, model) in cut {
            let Some(spec) = self.manifest.models.get(&model) else {
                continue;
            };
            left.extend(self.cut_bundle(&name, spec, &gone)?);
            self.blobs.remove(&names::record(&name));
            self.blobs.remove(&names::bundle(&name));
        }
        for fingerprint in fingerprints {
            self.bundles.forget(fingerprint);
        }
        self.bundles
            .add(left.iter().filter(|record| record.model == self.model));
        Ok(left)
    }

    /// Writes what is left of a bundle as another.
    fn cut_bundle(
        &self,
        name: &str,
        spec: &StoreSpec,
        gone: &HashSet<&String>,
    ) -> Result<Vec<Record>> {
        let blobs = self.blobs.as_ref();
        let of_it = |record: &&Record| {
            let place = record.bundle.as_ref();
            place.is_some_and(|place| place.name == name) && !gone.contains(&record.fingerprint)
        };
        let mut left: Vec<Record> = self
            .manifest
            .records
            .iter()
            .filter(of_it)
            .cloned()
            .collect();
        left.sort_by_key(|record| record.bundle.as_ref().map(|place| place.first_row));
        if left.is_empty() || blobs.size(&names::bundle(name))?.is_none() {
            return Ok(Vec::new());
        }
        let all = read_bundle(blobs, &names::bundle(name), None)?;
        let fingerprints = left.iter().map(|record| &record.fingerprint);
        let new = bundle_name(fingerprints, &spec.model_key());
        let (mut rows, mut first_row) = (Vec::new(), 0);
        for record in &mut left {
            let place = BundledRows::of_record(record);
            let place = place.ok_or_else(|| Error::internal("find a shard in its bundle"))?;
            rows.push(place.of(&all, blobs)?);
            record.bundle = Some(InBundle {
                name: new.clone(),
                first_row,
            });
            first_row += record.stored_rows;
        }
        let rows = concat_batches(all.schema_ref(), &rows)
            .map_err(|error| Error::internal("cut a bundle").source(error))?;
        self.put_bundle(&new, spec, &left, &rows)?;
        Ok(left)
    }
}

/// All rows as one batch of `schema`, whose first column says how the shard of a row was given.
fn joined(schema: &SchemaRef, shards: &[BundledShard<'_>]) -> Result<RecordBatch> {
    let batches: Vec<&RecordBatch> = shards.iter().flat_map(|of| of.batches).collect();
    let Some(first) = batches.first() else {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    };
    let rows = concat_batches(first.schema_ref(), batches.iter().copied())
        .map_err(|error| Error::internal("join the rows of a bundle").source(error))?;
    let given = shards.iter().flat_map(|BundledShard { shard, batches }| {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        std::iter::repeat_n(shard.given.as_str(), rows)
    });
    with_given(schema, StringArray::from(given.collect::<Vec<_>>()), &rows)
}
