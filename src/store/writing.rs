//! Shards become known, are claimed, and are scored part by part.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringArray},
    compute::{BatchCoalescer, cast},
    datatypes::SchemaRef,
};

use super::{
    ScoreStore, StoreAt, StoreSpec,
    blobs::Durability,
    claims::Claim,
    files::ParquetBlob,
    known_shards::KnownShards,
    manifest::{Manifest, put_json},
    migrate,
    names::{self, SCORES},
    records::{FORMAT, Record},
    score_file::{read_columns, read_metadata},
    stored_schema,
};
use crate::{
    error::{Error, Result},
    schema::STATUS,
    source::ShardIdentity,
    summary::ModelCard,
};

/// Rows given to the writer of a finished file at one time. Its pages depend on it, and so the bytes of the file.
const EVEN_ROWS: usize = 8192;

impl ScoreStore {
    /// Makes `shards` known; scores of those that have changed are forgotten.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn record(&mut self, shards: &[ShardIdentity]) -> Result<()> {
        let records = &self.manifest.records;
        let (known, replaced) = KnownShards::announce(self.blobs.as_ref(), records, shards)?;
        self.known = known;
        let is_known = |fingerprint: &String| {
            let mut shards = self.known.shards.iter();
            shards.any(|shard| shard.fingerprint == *fingerprint)
        };
        let replaced = replaced.into_iter().map(|shard| shard.fingerprint);
        let outdated: Vec<String> = replaced.filter(|shard| !is_known(shard)).collect();
        self.forget(&outdated)?;
        self.complete_records()
    }

    /// Claims a shard to score it; `None` while somebody else does. Whoever has it looks at its coverage anew.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub fn claim(&self, shard: &ShardIdentity) -> Result<Option<Box<dyn Claim>>> {
        self.claims.claim(&self.scored(&shard.fingerprint))
    }

    /// Keeps rows for good: `decided` are the rows of the shard up to the last one of `batches`.
    ///
    /// # Shape
    /// `batches` have [`ScoreStore::schema`] without the shard column.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn commit_part(
        &self,
        shard: &ShardIdentity,
        decided: Range<u64>,
        batches: &[RecordBatch],
    ) -> Result<()> {
        let part = ParquetBlob {
            blobs: self.blobs.as_ref(),
            name: &names::part(&self.scored(&shard.fingerprint), &decided),
            durability: Durability::Whole,
            schema: &self.base_schema(),
            metadata: Vec::new(),
        };
        part.put(batches.iter().map(|batch| self.with_shard(batch, shard)))
    }

    /// Keeps all rows of a shard that came at once: what parts and [`ScoreStore::complete`] would make, without parts.
    ///
    /// # Shape
    /// As [`ScoreStore::commit_part`].
    ///
    /// # Errors
    /// When the disk is full.
    pub fn commit_whole(&self, shard: &ShardIdentity, batches: &[RecordBatch]) -> Result<()> {
        let rows = batches.iter().map(|batch| self.with_shard(batch, shard));
        self.finish(shard, || self.write_scores(shard, rows))
    }

    /// Makes one file of the parts of a shard whose last row is decided, and its record.
    ///
    /// # Errors
    /// When a part cannot be read, or the disk is full.
    pub fn complete(&self, shard: &ShardIdentity) -> Result<()> {
        self.finish(shard, || {
            self.write_scores(shard, self.parts(&shard.fingerprint)?.batches())
        })
    }

    fn finish(&self, shard: &ShardIdentity, write: impl FnOnce() -> Result<()>) -> Result<()> {
        let scored = self.scored(&shard.fingerprint);
        if !self.is_finished(&shard.fingerprint)?
            && let Err(error) = write()
            // Somebody who took a claim over that was lost may have finished it, and taken the parts away.
            && !self.is_finished(&shard.fingerprint)?
        {
            return Err(error);
        }
        if self.blobs.size(&names::record(&scored))?.is_none() {
            self.write_record(shard)?;
        }
        // The name of the whole is safe.
        self.blobs.remove_all(&names::parts(&scored));
        Ok(())
    }

    /// Where the rows that the last run kept are remembered.
    pub fn selection_file(&self) -> StoreAt {
        self.at.within(self.selection_name())
    }

    /// The rows that the last run kept, as they were written; `None` if there was none.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn last_selection(&self) -> Result<Option<Vec<u8>>> {
        self.blobs.read(names::SELECTION)
    }

    fn selection_name(&self) -> &'static str {
        match self.at.local_path() {
            Some(directory) => migrate::selection_file(directory, self.format()),
            None => names::SELECTION,
        }
    }

    fn write_scores(
        &self,
        shard: &ShardIdentity,
        rows: impl Iterator<Item = Result<RecordBatch>>,
    ) -> Result<()> {
        let schema = self.base_schema();
        let file = ParquetBlob {
            blobs: self.blobs.as_ref(),
            name: &names::scores(&self.scored(&shard.fingerprint)),
            durability: Durability::Named,
            schema: &schema,
            metadata: self.metadata(shard),
        };
        file.put(EvenBatches::of(rows, &schema))
    }

    fn metadata(&self, shard: &ShardIdentity) -> Vec<(String, String)> {
        let of_shard = [
            ("shard", shard.given.clone()),
            ("fingerprint", shard.fingerprint.clone()),
            ("size_bytes", shard.size_bytes.to_string()),
            ("rows", shard.rows.to_string()),
        ];
        let of_shard = of_shard.into_iter();
        of_shard
            .map(|(key, value)| (format!("clip_filter.{key}"), value))
            .chain(stored_facts(&self.spec))
            .collect()
    }

    /// Puts what is to be known of a finished shard beside its scores, from which it can be made again.
    pub(super) fn write_record(&self, shard: &ShardIdentity) -> Result<Record> {
        let scored = self.scored(&shard.fingerprint);
        let mut statuses = BTreeMap::<String, u64>::new();
        for batch in read_columns(self.blobs.as_ref(), &names::scores(&scored), &[STATUS])? {
            for status in batch?.column(0).as_string::<i32>().iter().flatten() {
                match statuses.get_mut(status) {
                    Some(rows) => *rows += 1,
                    None => drop(statuses.insert(status.to_owned(), 1)),
                }
            }
        }
        let record = Record {
            format: FORMAT,
            fingerprint: shard.fingerprint.clone(),
            model: self.model.clone(),
            made_with: self.spec.made_with(),
            paths: self.known.given_or(shard),
            size_bytes: shard.size_bytes,
            rows: shard.rows,
            stored_rows: statuses.values().sum(),
            statuses,
            bundle: None,
        };
        let name = names::record(&scored);
        put_json(self.blobs.as_ref(), &name, Durability::Remade, &record)?;
        Ok(record)
    }

    /// Removes what is stored of shards that are not to be known any more, of whichever model.
    fn forget(&mut self, fingerprints: &[String]) -> Result<()> {
        if fingerprints.is_empty() {
            return Ok(());
        }
        let left = self.cut_bundles(fingerprints)?;
        for fingerprint in fingerprints {
            for model in self.manifest.models.keys() {
                let scored = names::scored(fingerprint, model);
                self.blobs.remove(&names::record(&scored));
                self.blobs.remove(&names::scores(&scored));
                self.blobs.remove_all(&names::parts(&scored));
            }
        }
        let gone = |record: &Record| fingerprints.contains(&record.fingerprint);
        self.replace_records(&left, &gone)
    }

    /// Puts records into the manifest, and takes those of the same shards and those that are `gone` out.
    fn replace_records(
        &mut self,
        records: &[Record],
        gone: &dyn Fn(&Record) -> bool,
    ) -> Result<()> {
        let keys: HashSet<(&str, &str)> = records.iter().map(Record::key).collect();
        self.manifest =
            Manifest::update(self.blobs.as_ref(), Durability::Whole, &mut |manifest| {
                manifest
                    .records
                    .retain(|record| !gone(record) && !keys.contains(&record.key()));
                manifest.records.extend(records.iter().cloned());
                Ok(())
            })?;
        Ok(())
    }

    /// Makes the records that a kill or a power cut took, and those anew whose shards are called otherwise by now.
    fn complete_records(&mut self) -> Result<()> {
        let paths = self.known.paths();
        let is_right = |record: &&Record| paths.get(&record.fingerprint) == Some(&record.paths);
        let ours = self.manifest.records.iter();
        let ours = ours.filter(|record| record.model == self.model);
        let right: HashSet<String> = ours.filter(is_right).map(Record::file).collect();
        let ending = format!("-{}.parquet", self.model);
        let mut written = self.complete_bundles(paths)?;
        for name in self.blobs.list(SCORES)? {
            let Some(short) = name.strip_suffix(&ending) else {
                continue;
            };
            let scored = names::scored(short, &self.model);
            if right.contains(&scored) {
                continue;
            }
            // Somebody who has the claim is about to write it.
            if let (Some(_claim), Some(shard)) = (self.claims.claim(&scored)?, self.of_file(&name))
            {
                written.push(self.write_record(&shard)?);
            }
        }
        if written.is_empty() {
            return Ok(());
        }
        self.replace_records(&written, &|_| false)
    }

    /// The shard of a file of scores; `None` if neither the file nor the list of shards says which.
    fn of_file(&self, name: &str) -> Option<ShardIdentity> {
        let mut known = self.known.shards.iter();
        let is_its = |shard: &&ShardIdentity| name.starts_with(names::short(&shard.fingerprint));
        if let Some(shard) = known.find(is_its) {
            return Some(shard.clone());
        }
        let pairs = read_metadata(self.blobs.as_ref(), &format!("{SCORES}/{name}")).ok()?;
        let fact = |key: &str| {
            let found = pairs
                .iter()
                .find(|(name, _)| name == &format!("clip_filter.{key}"));
            found.map(|(_, value)| value.clone())
        };
        let given = fact("shard")?;
        Some(ShardIdentity {
            path: given.clone(),
            given,
            fingerprint: fact("fingerprint")?,
            size_bytes: fact("size_bytes")?.parse().ok()?,
            rows: fact("rows")?.parse().ok()?,
        })
    }

    /// The columns of the files of `scores/` and `parts/`.
    fn base_schema(&self) -> SchemaRef {
        stored_schema(self.spec.embeddings, [])
    }

    fn with_shard(&self, batch: &RecordBatch, shard: &ShardIdentity) -> Result<RecordBatch> {
        let given =
            StringArray::from_iter_values(std::iter::repeat_n(&shard.given, batch.num_rows()));
        with_given(&self.base_schema(), given, batch)
    }
}

/// Rows as a store of `schema` has them: how their shards were `given` comes first.
pub(super) fn with_given(
    schema: &SchemaRef,
    given: StringArray,
    rows: &RecordBatch,
) -> Result<RecordBatch> {
    let failed = |error| Error::internal("shape rows for the score store").source(error);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(given)];
    for (column, field) in rows.columns().iter().zip(schema.fields().iter().skip(1)) {
        columns.push(cast(column, field.data_type()).map_err(failed)?);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)
}

/// What a file says of the model its scores are of. Nothing of it says where, when or by whom they were made.
pub(super) fn stored_facts(spec: &StoreSpec) -> Vec<(String, String)> {
    let model = ModelCard {
        device: String::new(),
        runtime: String::new(),
        ..spec.model.clone()
    };
    let model = serde_json::to_string(&model).unwrap_or_default();
    vec![
        ("clip_filter.model".to_owned(), model),
        ("clip_filter.made_with".to_owned(), spec.made_with()),
    ]
}

/// The same rows in batches of one size, whatever the parts were that they came in.
struct EvenBatches<I> {
    batches: I,
    even: BatchCoalescer,
    ended: bool,
}

impl<I: Iterator<Item = Result<RecordBatch>>> EvenBatches<I> {
    fn of(batches: I, schema: &SchemaRef) -> Self {
        Self {
            batches,
            even: BatchCoalescer::new(Arc::clone(schema), EVEN_ROWS),
            ended: false,
        }
    }
}

impl<I: Iterator<Item = Result<RecordBatch>>> Iterator for EvenBatches<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let failed = |error| Error::internal("join parts of scores").source(error);
        loop {
            if let Some(batch) = self.even.next_completed_batch() {
                return Some(Ok(batch));
            }
            let filled = match self.batches.next() {
                Some(Ok(batch)) => self.even.push_batch(batch),
                Some(Err(error)) => return Some(Err(error)),
                None if self.ended => return None,
                None => {
                    self.ended = true;
                    self.even.finish_buffered_batch()
                }
            };
            if let Err(error) = filled {
                return Some(Err(failed(error)));
            }
        }
    }
}
