//! Scores of one model by shard and row, to be read.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use arrow::datatypes::SchemaRef;

use super::{
    DerivedSpec, ShardScores, StoreAt,
    backing::StateLock,
    blobs::Blobs,
    bundles::Bundles,
    claims::Claims,
    derived::DerivedColumns,
    known_shards::KnownShards,
    manifest::Manifest,
    names::{self, PARTS, SCORES},
    parts::Parts,
    spec::StoreSpec,
    stored_schema,
};
use crate::{
    config::ImageChoice,
    error::{Error, Result},
    schema::STATUS,
    source::{LeftOut, ShardIdentity},
};

/// How much of a shard a store has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Every row before this one is in the store, or was left out by the store's condition.
    pub decided_rows: u64,
    /// The shard is finished.
    pub complete: bool,
}

/// Scores, facts and embeddings of one model by shard and row.
#[derive(Debug)]
pub struct ScoreStore {
    pub(super) at: StoreAt,
    /// Where the store is on another machine.
    scratch: Option<tempfile::TempDir>,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) claims: Arc<dyn Claims>,
    /// Names the model in files.
    pub(super) model: String,
    pub(super) spec: StoreSpec,
    pub(super) manifest: Manifest,
    pub(super) known: KnownShards,
    pub(super) bundles: Arc<Bundles>,
    schema: SchemaRef,
    derived: Option<DerivedColumns>,
    /// Of the state and the derived columns.
    pub(super) lock: StateLock,
}

/// What a store consists of, before it is said which of its models is meant.
pub(super) struct StorePlace {
    pub(super) at: StoreAt,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) claims: Arc<dyn Claims>,
    pub(super) lock: StateLock,
}

/// One model of a store.
pub(super) struct OneModel {
    /// Names it in files.
    pub(super) key: String,
    pub(super) spec: StoreSpec,
}

impl ScoreStore {
    /// # Errors
    /// When what it knows cannot be read.
    pub(super) fn with(place: StorePlace, manifest: Manifest, model: OneModel) -> Result<Self> {
        let known = KnownShards::read(place.blobs.as_ref(), &manifest.records)?;
        let bundles = Bundles::of(place.blobs.as_ref(), &manifest.records, &model.key)?;
        let scratch = match place.at.local_path() {
            Some(_) => None,
            None => Some(
                tempfile::tempdir()
                    .map_err(|error| Error::output("make a temporary directory").source(error))?,
            ),
        };
        let store = Self {
            scratch,
            bundles: Arc::new(bundles),
            schema: stored_schema(model.spec.embeddings, []),
            derived: None,
            at: place.at,
            blobs: place.blobs,
            claims: place.claims,
            lock: place.lock,
            model: model.key,
            spec: model.spec,
            manifest,
            known,
        };
        store.reread()
    }

    /// The same store with the derived columns that it has by now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn reread(mut self) -> Result<Self> {
        self.derived = DerivedColumns::read(&self.blobs, &self.model)?;
        let columns = self
            .derived
            .iter()
            .flat_map(|derived| &derived.spec.columns);
        self.schema = stored_schema(self.spec.embeddings, columns);
        Ok(self)
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
    pub fn at(&self) -> &StoreAt {
        &self.at
    }

    /// A directory of this machine for files of a run that have no name: that of the store, or a temporary one that goes with
    /// this value.
    pub fn scratch_directory(&self) -> PathBuf {
        let temporary = self.scratch.as_ref().map(tempfile::TempDir::path);
        let directory = self.at.local_path().or(temporary);
        directory.map(Into::into).unwrap_or_default()
    }

    /// What its scores were made with.
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// What the scores of every model were made with, by the name of the model in files.
    pub fn models(&self) -> impl Iterator<Item = (&str, &StoreSpec)> {
        let models = self.manifest.models.iter();
        models.map(|(key, spec)| (key.as_str(), spec))
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
        &self.known.shards
    }

    /// The columns of its files, derived ones last.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// True if another process writes to it at this moment.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn is_in_use(&self) -> Result<bool> {
        Ok(self.at.backing()?.is_exclusive() || !self.claimed()?.is_empty())
    }

    /// Shards that are being scored at this moment, as they are called in names of files.
    ///
    /// # Errors
    /// When the shards in work cannot be listed.
    pub fn claimed(&self) -> Result<Vec<String>> {
        let mut names = self.blobs.list(PARTS)?;
        names.retain(|name| self.claims.is_claimed(name));
        Ok(names)
    }

    /// Refuses a store that was made with anything but `wanted`.
    ///
    /// # Errors
    /// Names the first difference, with both values.
    pub fn check(&self, wanted: &StoreSpec) -> Result<()> {
        check(&self.at, &self.spec, wanted)
    }

    /// Refuses a store whose pictures were read in another way than was asked for.
    ///
    /// # Errors
    /// Names the first difference, with both values.
    pub fn check_images(&self, asked: &ImageChoice) -> Result<()> {
        let mut wanted = self.spec.clone();
        wanted.reading = asked.over(wanted.reading);
        wanted.max_pixels = asked.max_pixels.unwrap_or(wanted.max_pixels);
        self.check(&wanted)
    }

    /// Refuses shards whose content has changed since they were scored.
    ///
    /// # Errors
    /// Names the first, with both fingerprints.
    pub fn check_shards(&self, shards: &[ShardIdentity]) -> Result<()> {
        let changed = self.known.changed(shards);
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

    /// How far a shard is.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn coverage(&self, shard: &ShardIdentity) -> Result<Coverage> {
        if self.is_finished(&shard.fingerprint)? {
            return Ok(Coverage {
                decided_rows: shard.rows,
                complete: true,
            });
        }
        Ok(Coverage {
            decided_rows: self.parts(&shard.fingerprint)?.decided_rows(),
            complete: false,
        })
    }

    /// How far each of `shards` is, asked for together: few requests where the store is far.
    ///
    /// # Errors
    /// As [`ScoreStore::coverage`].
    pub fn coverages(&self, shards: &[ShardIdentity]) -> Result<Vec<Coverage>> {
        // A shard that is finished between the two is in both.
        let in_work: HashSet<String> = self.blobs.list(PARTS)?.into_iter().collect();
        let files: HashSet<String> = self.blobs.list(SCORES)?.into_iter().collect();
        let coverage = |shard: &ShardIdentity| {
            let scored = self.scored(&shard.fingerprint);
            let is_bundled = self.bundles.find(&shard.fingerprint).is_some();
            let complete = is_bundled || files.contains(&format!("{scored}.parquet"));
            let decided_rows = match (complete, in_work.contains(&scored)) {
                (true, _) => shard.rows,
                (false, true) => self.parts(&shard.fingerprint)?.decided_rows(),
                (false, false) => 0,
            };
            Ok(Coverage {
                decided_rows,
                complete,
            })
        };
        shards.iter().map(coverage).collect()
    }

    /// Rows of `shards` that are not decided.
    ///
    /// # Errors
    /// As [`ScoreStore::coverage`].
    pub fn missing_rows(&self, shards: &[ShardIdentity]) -> Result<u64> {
        let coverages = self.coverages(shards)?.into_iter();
        let missing = coverages
            .zip(shards)
            .map(|(coverage, shard)| shard.rows.saturating_sub(coverage.decided_rows));
        Ok(missing.sum())
    }

    /// Removes parts that a kill has left of shards that are finished: nobody reads them any more.
    ///
    /// # Errors
    /// When the store cannot be listed. What cannot be removed stays.
    pub fn sweep(&self) -> Result<()> {
        let left = self.blobs.list(PARTS)?;
        if left.is_empty() {
            return Ok(());
        }
        let files: HashSet<String> = self.blobs.list(SCORES)?.into_iter().collect();
        for scored in left {
            if files.contains(&format!("{scored}.parquet")) && !self.claims.is_claimed(&scored) {
                self.blobs.remove_all(&names::parts(&scored));
            }
        }
        Ok(())
    }

    /// The rows of a shard that are stored.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn scores(&self, shard: &ShardIdentity) -> Result<ShardScores> {
        if self.is_finished(&shard.fingerprint)? {
            let derived = self.derived.as_ref();
            let derived = derived.map(|derived| derived.place(&shard.fingerprint));
            let derived = derived.transpose()?.flatten();
            let scores = match self.bundles.find(&shard.fingerprint) {
                Some(rows) => ShardScores::bundled(&self.blobs, &self.bundles, rows, shard.rows),
                None => {
                    let name = names::scores(&self.scored(&shard.fingerprint));
                    ShardScores::complete(&self.blobs, name, shard.rows)?
                }
            };
            return Ok(scores.with_derived(derived, &self.bundles));
        }
        let parts = self.parts(&shard.fingerprint)?;
        Ok(ShardScores::parts(&self.blobs, parts.files()))
    }

    /// The rows of a finished shard that are not stored: its table had given them up.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn left_out(&self, shard: &ShardIdentity) -> Result<LeftOut> {
        let scores = self.scores(shard)?;
        if scores.rows() == Some(shard.rows) {
            return Ok(LeftOut::default());
        }
        let (mut gaps, mut next) = (Vec::new(), 0);
        let mut cursor = scores.cursor(&[STATUS], 0)?;
        while let Some(rows) = cursor.advance()? {
            for position in 0..rows.len() {
                let row = u64::try_from(rows.row(position)).unwrap_or(0);
                if row > next {
                    gaps.push(next..row);
                }
                next = row + 1;
            }
        }
        if shard.rows > next {
            gaps.push(next..shard.rows);
        }
        Ok(LeftOut::of_runs(gaps))
    }

    /// The size of its files.
    pub fn size_bytes(&self) -> u64 {
        self.blobs.total_bytes()
    }

    /// Whether every row of a shard is in one file.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn is_finished(&self, fingerprint: &str) -> Result<bool> {
        let name = names::scores(&self.scored(fingerprint));
        Ok(self.bundles.find(fingerprint).is_some() || self.blobs.size(&name)?.is_some())
    }

    /// What a shard is called in names of this model.
    pub(super) fn scored(&self, fingerprint: &str) -> String {
        names::scored(fingerprint, &self.model)
    }

    pub(super) fn parts(&self, fingerprint: &str) -> Result<Parts> {
        Parts::of(&self.blobs, &self.scored(fingerprint))
    }
}

/// Refuses a store whose scores were made with anything but `wanted`.
pub(super) fn check(at: &StoreAt, spec: &StoreSpec, wanted: &StoreSpec) -> Result<()> {
    match spec.difference(wanted) {
        None => Ok(()),
        Some((what, ours, theirs)) => Err(Error::input(format!(
            "use the score store: it was made with another {what}"
        ))
        .with("store", at)
        .with("the store has", ours)
        .with("this run has", theirs)
        .hint("score into another --scores directory, or call it as the store was made")),
    }
}
