//! What is scored, and how.

use std::{borrow::Cow, sync::Arc};

use crate::{
    config::{ByteSize, DEFAULT_MAX_PIXELS, OnBadShard, Reading, Share},
    engine::shards_that_may_pass,
    error::{Error, Result},
    machine,
    schema::ScoreColumn,
    score::MethodOptions,
    source::{BoundShards, ColumnChoice, FoundTable, KnownVersion, Places, TablePaths, Uids},
    store::{EmbeddingType, ShardIdentity, StoreAt, shards_in},
};

/// What is scored, how, and where the scores are kept. No field is read from the environment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScoreOptions {
    /// Files, directories, globs, brace ranges.
    pub inputs: Vec<String>,
    /// Where inputs may lie.
    pub places: Places,
    /// Columns the caller named.
    pub columns: ColumnChoice,
    /// Where scores are kept; `None` for a private store that goes with the run.
    pub scores: Option<StoreAt>,
    /// The share of the shards that is scored here, others by other workers; all of them if `None`.
    pub share: Option<Share>,
    /// Shards that have changed since they were scored are scored again.
    pub only_new: bool,
    /// How a new store keeps embeddings; an existing one goes on as it was made.
    pub embeddings: Option<EmbeddingType>,
    /// Most rows of a model batch; as suits the device if `None`.
    pub model_batch_rows: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// Memory that the run may use.
    pub memory_limit: ByteSize,
    /// Images of more pixels are bad rows.
    pub max_pixels: u64,
    /// How picture files are read.
    pub reading: Reading,
    /// Only rows whose uids are in this list are read; `None` for all.
    pub uids: Option<Arc<Uids>>,
    /// Follow image paths out of the shard's directory.
    pub allow_external_paths: bool,
    /// What becomes of a shard that cannot be read.
    pub on_bad_shard: OnBadShard,
    /// What derived columns are made with.
    pub method: MethodOptions,
    /// Derived columns to compute, besides those that a selection needs.
    pub derived: Vec<ScoreColumn>,
}

/// The shards that one worker scores.
pub(crate) struct OwnShards<'s> {
    pub(crate) identities: Cow<'s, [ShardIdentity]>,
    /// Their rows, without those that are left out.
    pub(crate) rows: u64,
}

impl ScoreOptions {
    /// Scores `inputs`: files, directories, globs or brace ranges. Columns are found, no store is kept, threads and
    /// memory are what suits this machine ([`machine::threads`], [`machine::default_memory_limit`]).
    pub fn new(inputs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            inputs: inputs.into_iter().map(Into::into).collect(),
            places: Places::default(),
            columns: ColumnChoice::default(),
            scores: None,
            share: None,
            only_new: false,
            embeddings: None,
            model_batch_rows: None,
            threads: machine::threads(),
            memory_limit: machine::default_memory_limit(),
            max_pixels: DEFAULT_MAX_PIXELS,
            reading: Reading::default(),
            uids: None,
            allow_external_paths: false,
            on_bad_shard: OnBadShard::Fail,
            method: MethodOptions::default(),
            derived: Vec::new(),
        }
    }

    /// Finds inputs in these places too.
    #[must_use]
    pub fn with_places(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// Takes images, captions and labels from these columns.
    #[must_use]
    pub fn with_columns(mut self, columns: ColumnChoice) -> Self {
        self.columns = columns;
        self
    }

    /// Keeps scores there, and uses those that are; a URL is opened by the object stores of [`Self::with_places`].
    #[must_use]
    pub fn with_scores(mut self, at: impl Into<StoreAt>) -> Self {
        self.scores = Some(at.into());
        self
    }

    /// Where scores are kept, to be opened.
    pub(crate) fn store_at(&self) -> Option<StoreAt> {
        let at = self.scores.clone()?;
        Some(at.in_places(&self.places))
    }

    /// Scores this share of the shards only.
    #[must_use]
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Scores shards again that have changed since they were scored.
    #[must_use]
    pub fn with_only_new(mut self) -> Self {
        self.only_new = true;
        self
    }

    /// Keeps embeddings in a new store this way.
    #[must_use]
    pub fn with_embeddings(mut self, embeddings: EmbeddingType) -> Self {
        self.embeddings = Some(embeddings);
        self
    }

    /// Gives the model batches of at most so many rows.
    #[must_use]
    pub fn with_model_batch_rows(mut self, rows: usize) -> Self {
        self.model_batch_rows = Some(rows);
        self
    }

    /// Uses so many threads.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Uses at most so much memory.
    #[must_use]
    pub fn with_memory_limit(mut self, limit: ByteSize) -> Self {
        self.memory_limit = limit;
        self
    }

    /// Takes images of more pixels for bad rows.
    #[must_use]
    pub fn with_max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// Reads picture files this way.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Reads only rows whose uids are in this list.
    #[must_use]
    pub fn with_uids(mut self, uids: Uids) -> Self {
        self.uids = Some(Arc::new(uids));
        self
    }

    /// Follows image paths out of the shard's directory.
    #[must_use]
    pub fn with_external_paths(mut self) -> Self {
        self.allow_external_paths = true;
        self
    }

    /// Treats shards that cannot be read this way. One that turns out to be damaged while its rows are read is left out
    /// too, and the others are decided without it; in one pass it is an error even so.
    #[must_use]
    pub fn with_on_bad_shard(mut self, on_bad_shard: OnBadShard) -> Self {
        self.on_bad_shard = on_bad_shard;
        self
    }

    /// Makes derived columns with this.
    #[must_use]
    pub fn with_method(mut self, method: MethodOptions) -> Self {
        self.method = method;
        self
    }

    /// Computes these columns from embeddings too.
    #[must_use]
    pub fn with_derived(mut self, columns: impl IntoIterator<Item = ScoreColumn>) -> Self {
        self.derived = columns.into_iter().collect();
        self
    }

    /// Those of `shards` that are scored here.
    pub(crate) fn own<'s>(&self, shards: &'s BoundShards) -> OwnShards<'s> {
        let Some(share) = self.share else {
            return OwnShards {
                identities: Cow::Borrowed(&shards.identities),
                rows: shards.set.rows(),
            };
        };
        let (mut identities, mut rows) = (Vec::new(), 0);
        let all = shards.identities.iter().zip(&shards.set.shards);
        for ((identity, shard), is_own) in all.zip(shards_in(share, &shards.identities)) {
            if is_own {
                identities.push(identity.clone());
                rows += shard.rows_in();
            }
        }
        OwnShards {
            identities: Cow::Owned(identities),
            rows,
        }
    }

    /// The shards that `inputs` name, with what is said of them.
    pub(crate) fn found(&self, inputs: &[String]) -> Result<FoundTable> {
        self.places_read().find(inputs)?.table()
    }

    /// The shards of the run but for files of tables that are in the `known` versions.
    pub(crate) fn found_since(&self, known: Vec<KnownVersion>) -> Result<FoundTable> {
        let places = self.places_read().with_known_versions(known);
        places.find(&self.inputs)?.table()
    }

    fn places_read(&self) -> Places {
        let paths = TablePaths::when(self.allow_external_paths);
        self.places.clone().with_table_paths(paths)
    }

    /// Opens every shard that is named, but for those of which no row can fulfil `condition`.
    ///
    /// # Errors
    /// When one cannot be read and is not left out for that, or its columns cannot be told.
    pub(crate) fn open_shards(&self, condition: Option<&str>) -> Result<BoundShards> {
        self.open_found(self.found(&self.inputs)?, condition)
    }

    /// As [`ScoreOptions::open_shards`], of what was found.
    pub(crate) fn open_found(
        &self,
        found: FoundTable,
        condition: Option<&str>,
    ) -> Result<BoundShards> {
        let passing = condition.and_then(|text| shards_that_may_pass(text, &found.shards));
        let open = |table| BoundShards::of_found(table, self.on_bad_shard, &self.columns);
        let some = passing
            .map(|passing| open(found.only(&passing)))
            .transpose()?;
        // Where files have such a column of another type, the condition means that.
        let some = some.filter(|some| found.has_types_of(&some.set.schema));
        let shards = some.map_or_else(|| open(found), Ok)?;
        shards.check_labels(self.scores.is_some())?;
        let Some(uids) = &self.uids else {
            return Ok(shards);
        };
        if self.scores.is_some() {
            return Err(Error::usage("keep scores of listed uids only: a store has all rows of a shard")
                .hint("leave --scores out, or score all rows and select by uid from the store with --where"));
        }
        uids.only(&shards)
    }

    /// The shards that are left when the one that `error` says is damaged may go; `None` if it may not, or was all.
    pub(crate) fn without_bad(&self, shards: &BoundShards, error: &Error) -> Option<BoundShards> {
        let skips = self.on_bad_shard == OnBadShard::Skip;
        skips.then(|| shards.without_bad(error)).flatten()
    }
}
