//! The score store: shards, their parts, and what was derived from them.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    compute::cast,
    datatypes::SchemaRef,
};

use super::{
    DerivedSpec, DirLock, ShardScores,
    derived::DerivedColumns,
    files::{failed, sync_parent, write_parquet},
    manifest::{Manifest, StoreSpec},
    stored_schema,
};
use crate::{
    error::{Error, Result},
    source::ShardIdentity,
};

/// Characters of a fingerprint that name a file.
const NAME_CHARS: usize = 32;

/// How much of a shard a store has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Every row before this one is in the store, or was left out by the store's condition.
    pub decided_rows: u64,
    /// The shard is finished.
    pub complete: bool,
}

/// Scores, facts and embeddings by shard and row, in a directory.
#[derive(Debug)]
pub struct ScoreStore {
    directory: PathBuf,
    manifest: Manifest,
    schema: SchemaRef,
    derived: Option<DerivedColumns>,
    lock: DirLock,
}

impl ScoreStore {
    /// Opens a store to read it; others may read it too.
    ///
    /// # Errors
    /// When there is none, it is damaged or of another format, or somebody writes to it.
    pub fn open(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            return Err(missing(directory));
        }
        let lock = DirLock::shared(directory)?;
        let manifest = Manifest::read(directory)?.ok_or_else(|| missing(directory))?;
        Ok(Self::with(directory, manifest, lock))
    }

    /// Opens a store to look at it, also while somebody writes to it, and keeps nobody from that.
    ///
    /// Parts of a shard may become one file meanwhile: who looks opens the scores of a shard anew when a file is
    /// gone.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another format.
    pub fn look(directory: &Path) -> Result<Self> {
        let manifest = Manifest::read(directory)?.ok_or_else(|| missing(directory))?;
        Ok(Self::with(directory, manifest, DirLock::none()))
    }

    /// True if `directory` is a score store: it has a manifest that names a format.
    pub fn is_at(directory: &Path) -> bool {
        Manifest::is_at(directory)
    }

    /// True if another process writes to it at this moment.
    pub fn is_in_use(&self) -> bool {
        DirLock::is_exclusive(&self.directory)
    }

    /// What the store in `directory` was made with; `None` if there is no store.
    ///
    /// # Errors
    /// When its manifest cannot be read.
    pub fn spec_at(directory: &Path) -> Result<Option<StoreSpec>> {
        Ok(Manifest::read(directory)?.map(|manifest| manifest.spec))
    }

    /// Opens a store to write to it, makes it if there is none.
    ///
    /// # Errors
    /// When it was made with another spec, somebody uses it, or it cannot be written to.
    pub fn open_or_create(directory: &Path, spec: &StoreSpec) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        let lock = DirLock::exclusive(directory)?;
        let manifest = match Manifest::read(directory)? {
            Some(manifest) => manifest,
            None => {
                let manifest = Manifest::new(spec.clone());
                manifest.write(directory)?;
                manifest
            }
        };
        let store = Self::with(directory, manifest, lock);
        store.check(spec)?;
        Ok(store)
    }

    fn with(directory: &Path, manifest: Manifest, lock: DirLock) -> Self {
        let derived = DerivedColumns::read(directory);
        let columns = derived.iter().flat_map(|derived| &derived.spec.columns);
        Self {
            directory: directory.to_path_buf(),
            schema: stored_schema(manifest.spec.embeddings, columns),
            derived,
            manifest,
            lock,
        }
    }

    /// True if it was opened to write to it.
    pub fn is_exclusive(&self) -> bool {
        self.lock.is_writers()
    }

    /// The same store with the derived columns that it has by now.
    #[must_use]
    pub fn reread(self) -> Self {
        Self::with(&self.directory, self.manifest, self.lock)
    }

    /// A file that is kept beside the derived columns.
    pub fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        self.derived.as_ref()?.artifact(name)
    }

    /// What its derived columns were made with, if it has any.
    pub fn derived(&self) -> Option<&DerivedSpec> {
        self.derived.as_ref().map(|derived| &derived.spec)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it was made with.
    pub fn spec(&self) -> &StoreSpec {
        &self.manifest.spec
    }

    /// The format of its files.
    pub fn format(&self) -> u32 {
        self.manifest.format
    }

    /// The program that made it, with its version.
    pub fn written_by(&self) -> &str {
        &self.manifest.written_by
    }

    /// The shards it knows.
    pub fn shards(&self) -> &[ShardIdentity] {
        &self.manifest.shards
    }

    /// The columns of its files, derived ones last.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Refuses a store that was made with anything but `wanted`.
    ///
    /// # Errors
    /// Names the first difference, with both values.
    pub fn check(&self, wanted: &StoreSpec) -> Result<()> {
        match self.manifest.spec.difference(wanted) {
            None => Ok(()),
            Some((what, ours, theirs)) => Err(Error::input(format!(
                "use the score store: it was made with another {what}"
            ))
            .with("store", self.directory.display())
            .with("the store has", ours)
            .with("this run has", theirs)
            .hint("score into another --scores directory, or call it as the store was made")),
        }
    }

    /// Refuses shards whose content has changed since they were scored.
    ///
    /// # Errors
    /// Names the first, with both fingerprints.
    pub fn check_shards(&self, shards: &[ShardIdentity]) -> Result<()> {
        let changed = self.manifest.changed(shards);
        match changed.first() {
            None => Ok(()),
            Some((known, found)) => Err(Error::input(
                "use the score store: a shard has changed since it was scored",
            )
            .with("shard", &found.path)
            .with("scored fingerprint", &known.fingerprint)
            .with("found fingerprint", &found.fingerprint)
            .with("changed shards", changed.len())
            .hint("--only-new scores new and changed shards")),
        }
    }

    /// Makes `shards` known; scores of those that have changed are forgotten.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn record(&mut self, shards: &[ShardIdentity]) -> Result<()> {
        let outdated: Vec<String> = self
            .manifest
            .changed(shards)
            .into_iter()
            .map(|(known, _)| known.fingerprint.clone())
            .collect();
        if self.manifest.record(shards) {
            self.manifest.write(&self.directory)?;
        }
        for fingerprint in outdated {
            let known = |shard: &ShardIdentity| shard.fingerprint == fingerprint;
            if !self.manifest.shards.iter().any(known) {
                // The manifest no longer names it; a leftover is harmless.
                let _ = std::fs::remove_file(self.shard_file(&fingerprint));
                let _ = std::fs::remove_dir_all(self.parts_directory(&fingerprint));
            }
        }
        Ok(())
    }

    /// How far a shard is.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn coverage(&self, shard: &ShardIdentity) -> Result<Coverage> {
        if self.shard_file(&shard.fingerprint).is_file() {
            return Ok(Coverage {
                decided_rows: shard.rows,
                complete: true,
            });
        }
        let parts = self.parts(&shard.fingerprint)?;
        Ok(Coverage {
            decided_rows: parts.last().map_or(0, |(rows, _)| rows.end),
            complete: false,
        })
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
        let directory = self.parts_directory(&shard.fingerprint);
        std::fs::create_dir_all(&directory).map_err(|error| failed(&directory, error))?;
        let path = directory.join(format!("{:012}-{:012}.parquet", decided.start, decided.end));
        let rows = batches.iter().map(|batch| self.with_shard(batch, shard));
        write_parquet(&path, &self.base_schema(), Vec::new(), rows)
    }

    /// Makes one file of the parts of a shard whose last row is decided.
    ///
    /// # Errors
    /// When a part cannot be read, or the disk is full.
    pub fn complete(&self, shard: &ShardIdentity) -> Result<()> {
        let path = self.shard_file(&shard.fingerprint);
        let parent = self.directory.join("shards");
        std::fs::create_dir_all(&parent).map_err(|error| failed(&parent, error))?;
        let metadata = vec![
            ("clip_filter.shard".to_owned(), shard.path.clone()),
            (
                "clip_filter.fingerprint".to_owned(),
                shard.fingerprint.clone(),
            ),
            ("clip_filter.rows".to_owned(), shard.rows.to_string()),
            (
                "clip_filter.model".to_owned(),
                serde_json::to_string(&self.manifest.spec.model).unwrap_or_default(),
            ),
        ];
        let parts = self.parts(&shard.fingerprint)?;
        let batches = parts
            .into_iter()
            .map(|(_, part)| super::rows::read_file(&part));
        let batches = batches.flat_map(|reader| match reader {
            Ok(batches) => Box::new(batches) as Box<dyn Iterator<Item = Result<RecordBatch>>>,
            Err(error) => Box::new(std::iter::once(Err(error))),
        });
        write_parquet(&path, &self.base_schema(), metadata, batches)?;
        // The parts must not go before the name of the whole is safe.
        sync_parent(&path);
        sync_parent(&parent);
        let _ = std::fs::remove_dir_all(self.parts_directory(&shard.fingerprint));
        Ok(())
    }

    /// The rows of a shard that are stored.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn scores(&self, shard: &ShardIdentity) -> Result<ShardScores> {
        let file = self.shard_file(&shard.fingerprint);
        if file.is_file() {
            let derived = self.derived.as_ref();
            let derived = derived.and_then(|derived| derived.file(&shard.fingerprint));
            return Ok(ShardScores::complete(file, shard.rows)?.with_derived(derived));
        }
        let parts = self.parts(&shard.fingerprint)?;
        Ok(ShardScores::parts(
            parts.into_iter().map(|(_, path)| path).collect(),
        ))
    }

    /// The size of its files.
    pub fn size_bytes(&self) -> u64 {
        fn below(directory: &Path) -> u64 {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(facts) if facts.is_dir() => below(&entry.path()),
                    Ok(facts) => facts.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        below(&self.directory)
    }

    /// The columns of the files of `shards/` and `parts/`.
    fn base_schema(&self) -> SchemaRef {
        stored_schema(self.manifest.spec.embeddings, [])
    }

    fn shard_file(&self, fingerprint: &str) -> PathBuf {
        self.directory
            .join("shards")
            .join(format!("{}.parquet", name_of(fingerprint)))
    }

    fn parts_directory(&self, fingerprint: &str) -> PathBuf {
        self.directory.join("parts").join(name_of(fingerprint))
    }

    /// The parts that follow each other from row 0 on. A power loss may keep a later one and lose one before
    /// it; what is behind a gap is encoded again.
    fn parts(&self, fingerprint: &str) -> Result<Vec<(Range<u64>, PathBuf)>> {
        let directory = self.parts_directory(fingerprint);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Error::input("list the score store")
                    .with("directory", directory.display())
                    .source(error));
            }
        };
        let mut parts: Vec<(Range<u64>, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((range_of(&entry.path())?, entry.path())))
            .collect();
        // Of two that start alike the longer one was written over a gap that has closed since.
        parts.sort_by_key(|(rows, _)| (rows.start, std::cmp::Reverse(rows.end)));
        let mut end = 0;
        parts.retain(|(rows, _)| {
            let follows = rows.start == end && rows.end > end;
            if follows {
                end = rows.end;
            }
            follows
        });
        Ok(parts)
    }

    fn with_shard(&self, batch: &RecordBatch, shard: &ShardIdentity) -> Result<RecordBatch> {
        let failed = |error| Error::internal("shape rows for the score store").source(error);
        let path =
            StringArray::from_iter_values(std::iter::repeat_n(&shard.path, batch.num_rows()));
        let schema = self.base_schema();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(path)];
        for (column, field) in batch.columns().iter().zip(schema.fields().iter().skip(1)) {
            columns.push(cast(column, field.data_type()).map_err(failed)?);
        }
        RecordBatch::try_new(schema, columns).map_err(failed)
    }
}

fn missing(directory: &Path) -> Error {
    Error::input("open the score store: there is none")
        .with("directory", directory.display())
        .hint(format!(
            "clip-filter score IN... --scores {}",
            directory.display()
        ))
}

pub(super) fn name_of(fingerprint: &str) -> &str {
    fingerprint.get(..NAME_CHARS).unwrap_or(fingerprint)
}

/// The rows in a part's name; `None` for any other file.
fn range_of(path: &Path) -> Option<Range<u64>> {
    if path.extension()? != "parquet" {
        return None;
    }
    let (start, end) = path.file_stem()?.to_str()?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}
