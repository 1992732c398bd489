//! Which store a run uses, what it lacks, and how that is filled.

use std::{path::Path, sync::Arc, time::Instant};

use super::{
    Prepared, RunContext, RunOptions, ScoreOptions, Shards, count_settled,
    derive::derive,
    encoding::Encoding,
    filling::{self, Fill},
    load,
    method::check,
    with_stages,
};
use crate::{
    config::{ByteSize, OnError},
    encode::EncoderFactory,
    engine::{EncodeRuntime, Loaded, MemoryPlan, RowCondition},
    error::{Error, Result},
    preprocess::PathPolicy,
    report::{BadRows, ModelCard, Pass, RunReport},
    schema::{CLIP_SCORE, STATUS},
    source::Classes,
    store::{EmbeddingType, ScoreStore, StoreSpec},
};

/// A store that has every row that is wanted of the shards.
pub(super) struct Scored {
    pub(super) store: Arc<ScoreStore>,
    pub(super) memory: MemoryPlan,
    /// Rows that this run encoded.
    pub(super) rows_scored: u64,
    /// The store holds only rows that fulfil the early parts of this run's condition.
    pub(super) is_private: bool,
    /// From the first row asked for to the last; loading the model is not in it.
    seconds: f64,
    /// Holds a store that is needed no longer than the run.
    _temporary: Option<tempfile::TempDir>,
}

impl Scored {
    /// The rows of a store as they are.
    pub(super) fn stored(store: ScoreStore, limit: ByteSize) -> Self {
        Self {
            store: Arc::new(store),
            memory: MemoryPlan::without_model(limit),
            rows_scored: 0,
            is_private: false,
            seconds: 0.0,
            _temporary: None,
        }
    }

    /// Keeps the directory of a store that is needed no longer than its rows.
    pub(super) fn holding(self, temporary: tempfile::TempDir) -> Self {
        Self {
            _temporary: Some(temporary),
            ..self
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    pub(super) fn pairs_per_sec(&self) -> f64 {
        self.rows_scored as f64 / self.seconds.max(1e-9)
    }
}

/// What is to be filled, and how.
struct Wanted<'a> {
    options: &'a ScoreOptions,
    shards: &'a Shards,
    /// Rows that fail it are left out of a private store.
    condition: Option<RowCondition>,
    /// The first bad row is an error.
    fail_on_bad: bool,
}

/// The scores of a run, from the store it names or from one of its own.
pub(super) async fn scores_of(
    options: &RunOptions,
    prepared: &Prepared,
    context: &RunContext<'_>,
) -> Result<Scored> {
    let scoring = &options.scoring;
    if let Some(directory) = &scoring.scores {
        let wanted = Wanted {
            options: scoring,
            shards: &prepared.shards,
            condition: None,
            fail_on_bad: false,
        };
        return wanted.scores_in(directory, context).await;
    }
    let embeddings = match (options.adds_embeddings(), options.needs_embeddings()) {
        (true, _) => EmbeddingType::F32,
        (false, true) => EmbeddingType::F16,
        (false, false) => EmbeddingType::None,
    };
    let private = ScoreOptions {
        only_new: true,
        embeddings: Some(embeddings),
        ..scoring.clone()
    };
    let wanted = Wanted {
        options: &private,
        shards: &prepared.shards,
        condition: prepared.condition(options),
        fail_on_bad: options.on_error == OnError::Fail,
    };
    match &prepared.work {
        Some(work) => wanted.private_scores(&work.scores(), context).await,
        None => {
            let temporary = tempfile::tempdir()
                .map_err(|error| Error::output("make a temporary directory").source(error))?;
            let scored = wanted.private_scores(temporary.path(), context).await?;
            Ok(Scored {
                _temporary: Some(temporary),
                ..scored
            })
        }
    }
}

/// Fills a score store and reports what it holds of the shards.
///
/// # Errors
/// When an input, the model or the store fails; what was committed is kept.
pub async fn score(options: &ScoreOptions, context: RunContext<'_>) -> Result<RunReport> {
    let start = Instant::now();
    let directory = options
        .scores
        .as_deref()
        .ok_or_else(|| Error::usage("find the score store: no directory was given"))?;
    let shards = Shards::open(options)?;
    check(&options.derived, &options.method)?;
    let wanted = Wanted {
        options,
        shards: &shards,
        condition: None,
        fail_on_bad: false,
    };
    let scored = wanted.scores_in(directory, &context).await?;
    let counters = &context.counters;
    let deriving = counters.pass(Pass::Derive);
    let scored = derive((options, &shards), &options.derived, None, scored, &context)?;
    drop(deriving);
    let bad = bad_rows(&scored.store, &shards)?;
    let report = RunReport {
        rows_in: shards.set.rows(),
        rows_kept: shards.set.rows() - bad.values().sum::<u64>(),
        rows_bad: bad.values().sum(),
        bad,
        rows_scored: scored.rows_scored,
        pairs_per_sec: scored.pairs_per_sec(),
        selection: "every row".to_owned(),
        model: scored.store.spec().model.clone(),
        outputs: vec![directory.display().to_string()],
        seconds: start.elapsed().as_secs_f64(),
        ..RunReport::default()
    };
    let wall = counters.passed(Pass::Score);
    let encoding = (options.threads, &scored.memory);
    Ok(with_stages(report, counters, wall, encoding))
}

fn bad_rows(store: &ScoreStore, shards: &Shards) -> Result<BadRows> {
    use arrow::array::{Array, AsArray};
    let mut bad = BadRows::new();
    for shard in &shards.identities {
        let mut cursor = store.scores(shard)?.cursor(&[CLIP_SCORE, STATUS], 0)?;
        while let Some(rows) = cursor.advance()? {
            if rows.columns[0].null_count() == 0 {
                continue;
            }
            for status in rows.columns[1].as_string::<i32>().iter().flatten() {
                if status != crate::schema::Status::Ok.as_str() {
                    *bad.entry(status.to_owned()).or_default() += 1;
                }
            }
        }
    }
    Ok(bad)
}

impl Wanted<'_> {
    /// A store of the user's: what was made otherwise, or has changed, is refused.
    async fn scores_in(&self, directory: &Path, context: &RunContext<'_>) -> Result<Scored> {
        let Some(spec) = ScoreStore::spec_at(directory)? else {
            let factory = load(context, None)?;
            let spec = self.spec(factory.card().clone(), None);
            return self.fill(directory, (factory, spec), context).await;
        };
        let identity = context.model.identity()?;
        let wanted = self.spec(identity.unwrap_or_else(|| spec.model.clone()), Some(&spec));
        let store = ScoreStore::open(directory)?;
        store.check(&wanted)?;
        if !self.options.only_new {
            store.check_shards(&self.shards.identities)?;
        }
        if !self.is_complete(&store)? {
            // Another process must not come between looking and writing; the lock is taken anew.
            drop(store);
            let factory = load(context, Some(&spec.model))?;
            let spec = self.spec(factory.card().clone(), Some(&spec));
            return self.fill(directory, (factory, spec), context).await;
        }
        count_settled(
            &context.counters,
            self.shards.set.rows(),
            self.shards.set.rows(),
        );
        Ok(Scored::stored(store, self.options.memory_limit))
    }

    /// A store of this run: one that an earlier run left is used if it fits, and made anew if not.
    async fn private_scores(&self, directory: &Path, context: &RunContext<'_>) -> Result<Scored> {
        let factory = load(context, None)?;
        let spec = self.spec(factory.card().clone(), None);
        if !matches!(ScoreStore::spec_at(directory), Ok(None)) {
            let fits = |store: ScoreStore| store.check(&spec).is_ok();
            if ScoreStore::open(directory).is_ok_and(fits) {
                (context.say)("going on from the scores of a run that did not finish");
            } else {
                (context.say)(
                    "a run that did not finish had other options: its scores are not used",
                );
                std::fs::remove_dir_all(directory).map_err(|error| {
                    Error::output("remove the scores of an earlier run")
                        .with("directory", directory.display())
                        .source(error)
                })?;
            }
        }
        let scored = self.fill(directory, (factory, spec), context).await?;
        Ok(Scored {
            is_private: true,
            ..scored
        })
    }

    /// Encodes every row that the store lacks.
    async fn fill(
        &self,
        directory: &Path,
        (factory, spec): (Arc<dyn EncoderFactory>, StoreSpec),
        context: &RunContext<'_>,
    ) -> Result<Scored> {
        let loaded = loaded(self.options, self.shards, factory)?;
        let memory = loaded.memory.clone();
        let mut store = ScoreStore::open_or_create(directory, &spec)?;
        if !self.options.only_new {
            store.check_shards(&self.shards.identities)?;
        }
        store.record(&self.shards.identities)?;
        let missing = self.missing_rows(&store)?;
        let rows = self.shards.set.rows();
        count_settled(&context.counters, rows, rows - missing);
        let fill = Fill {
            shards: self.shards,
            runtime: Arc::new(EncodeRuntime::new(loaded, Arc::clone(&context.counters))),
            memory: &memory,
            memory_limit: self.options.memory_limit,
            condition: self.condition.clone(),
            fail_on_bad: self.fail_on_bad,
        };
        let store = Arc::new(store);
        let filled = filling::fill(fill, &store, context).await?;
        Ok(Scored {
            store,
            memory,
            rows_scored: filled.rows,
            is_private: false,
            seconds: filled.seconds,
            _temporary: None,
        })
    }

    /// Rows that the store has not decided.
    fn missing_rows(&self, store: &ScoreStore) -> Result<u64> {
        let mut missing = 0;
        for shard in &self.shards.identities {
            let decided = store.coverage(shard)?.decided_rows;
            missing += shard.rows.saturating_sub(decided);
        }
        Ok(missing)
    }

    /// True if the store has a file of every shard.
    fn is_complete(&self, store: &ScoreStore) -> Result<bool> {
        for shard in &self.shards.identities {
            if !store.coverage(shard)?.complete {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn spec(&self, model: ModelCard, stored: Option<&StoreSpec>) -> StoreSpec {
        let kept = stored.map(|spec| spec.embeddings);
        StoreSpec {
            model,
            image_column: self.shards.binding.image.clone(),
            text_column: self.shards.binding.text.clone(),
            class_captions: self.shards.binding.class_captions().map(Classes::describe),
            max_pixels: self.options.max_pixels,
            allow_external_paths: self.options.allow_external_paths,
            condition: self
                .condition
                .as_ref()
                .map(|condition| condition.text.clone()),
            embeddings: self.options.embeddings.or(kept).unwrap_or_default(),
        }
    }
}

/// A model that encodes the pairs of `shards`.
pub(super) fn loaded(
    options: &ScoreOptions,
    shards: &Shards,
    factory: Arc<dyn EncoderFactory>,
) -> Result<Loaded> {
    let encoding = Encoding {
        memory_limit: options.memory_limit,
        threads: options.threads,
        model_batch_rows: options.model_batch_rows,
        max_pixels: options.max_pixels,
    };
    encoding.loaded(factory, |memory| PathPolicy {
        directories: shards.set.directories(),
        allow_external: options.allow_external_paths,
        max_bytes: memory.decode_bytes,
    })
}
