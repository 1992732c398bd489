//! Which store a run uses, what it lacks, and how that is filled.

mod claiming;
mod committing;
mod filling;

use std::{path::Path, sync::Arc};

use super::context::{PagesRead, Prepared, RunContext, Scored, count_settled, load, loaded};
use crate::{
    config::OnError,
    encode::EncoderFactory,
    engine::{EncodeRuntime, RowCondition, WholePage},
    error::{Error, Result},
    options::{RunOptions, ScoreOptions},
    secrets,
    source::{BoundShards, Classes},
    store::{EmbeddingType, ScoreStore, ShardIdentity, StoreAt, StoreSpec},
    summary::ModelCard,
};
use filling::Fill;

/// What is to be filled, and how.
struct Wanted<'a> {
    options: &'a ScoreOptions,
    shards: &'a BoundShards,
    /// Rows that fail it are left out of a private store.
    condition: Option<RowCondition>,
    /// Nothing is scored: one of several workers writes what all have scored.
    only_stored: bool,
    /// The first bad row is an error.
    fail_on_bad: bool,
    /// What is read when all is scored, and may be too large for the memory limit.
    written: Option<&'a WholePage>,
}

/// The scores of shards in a store of the user's, filled where it lacks some.
pub(super) async fn scores_in(
    at: &StoreAt,
    options: &ScoreOptions,
    shards: &BoundShards,
    context: &RunContext,
) -> Result<Scored> {
    let wanted = Wanted {
        options,
        shards,
        condition: None,
        only_stored: false,
        fail_on_bad: false,
        written: None,
    };
    wanted.scores_in(at, context).await
}

/// The scores of a run, from the store it names or from one of its own.
pub(super) async fn scores_of(
    options: &RunOptions,
    prepared: &Prepared,
    context: &RunContext,
) -> Result<Scored> {
    let scoring = &options.scoring;
    if let Some(at) = scoring.store_at() {
        let wanted = Wanted {
            options: scoring,
            shards: &prepared.shards,
            condition: None,
            only_stored: options.share.is_some(),
            fail_on_bad: false,
            written: prepared.written_page(),
        };
        return wanted.scores_in(&at, context).await;
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
        // What is left out of one of two equal files would be missed of the other.
        condition: prepared
            .condition(options)
            .filter(|_| !prepared.shards.set.has_twins()),
        only_stored: false,
        fail_on_bad: options.on_error == OnError::Fail,
        written: prepared.written_page(),
    };
    match &prepared.work {
        Some(work) => wanted.private_scores(&work.scores(), context).await,
        None => {
            let temporary = tempfile::tempdir()
                .map_err(|error| Error::output("make a temporary directory").source(error))?;
            let scored = wanted.private_scores(temporary.path(), context).await?;
            Ok(scored.holding(temporary))
        }
    }
}

impl Wanted<'_> {
    /// A store of the user's: what was made otherwise, or has changed, is refused.
    async fn scores_in(&self, at: &StoreAt, context: &RunContext) -> Result<Scored> {
        let Some(spec) = ScoreStore::spec_at(at)? else {
            self.check_may_score(at)?;
            let factory = load(context, None)?;
            let spec = self.spec(factory.card().clone(), None);
            return self.fill(at, &spec, factory, context).await;
        };
        let identity = context.model.identity()?;
        let wanted = self.spec(identity.unwrap_or_else(|| spec.model.clone()), Some(&spec));
        let store = ScoreStore::open(at)?;
        store.check(&wanted)?;
        if !self.options.only_new {
            store.check_shards(&self.shards.identities)?;
        }
        let own = self.options.own(self.shards);
        if !is_complete(&store, &own.identities)? {
            self.check_may_score(at)?;
            // Another process must not come between looking and writing; the lock is taken anew.
            drop(store);
            let factory = load(context, Some(&spec.model))?;
            let spec = self.spec(factory.card().clone(), Some(&spec));
            return self.fill(at, &spec, factory, context).await;
        }
        store.sweep()?;
        count_settled(&context.counters, own.rows, own.rows);
        Scored::stored(store, self.options.memory_limit, self.written)
    }

    fn check_may_score(&self, at: &StoreAt) -> Result<()> {
        match self.only_stored {
            false => Ok(()),
            true => Err(
                Error::input("write a part of the output: rows are not scored yet")
                    .with("scores", at)
                    .hint(
                        "clip-filter score fills the store, clip-filter merge says what is missing",
                    ),
            ),
        }
    }

    /// A store of this run: one that an earlier run left is used if it fits, and made anew if not.
    async fn private_scores(&self, directory: &Path, context: &RunContext) -> Result<Scored> {
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
        let scored = self
            .fill(&directory.into(), &spec, factory, context)
            .await?;
        Ok(Scored {
            is_private: self.condition.is_some(),
            ..scored
        })
    }

    /// Encodes every row that the store lacks.
    async fn fill(
        &self,
        at: &StoreAt,
        spec: &StoreSpec,
        factory: Arc<dyn EncoderFactory>,
        context: &RunContext,
    ) -> Result<Scored> {
        let pages = PagesRead {
            written: self.written,
            ..PagesRead::of_pairs(self.shards)
        };
        let loaded = loaded(self.options, self.shards, factory, pages)?;
        let memory = loaded.memory.clone();
        let mut store = ScoreStore::open_or_create(at, spec)?;
        if !self.options.only_new {
            store.check_shards(&self.shards.identities)?;
        }
        store.record(&self.shards.identities)?;
        let own = self.options.own(self.shards);
        let missing = store.missing_rows(&own.identities)?;
        // Rows that a table has given up are missing for good.
        let settled = own.rows.saturating_sub(missing);
        count_settled(&context.counters, own.rows, settled);
        let fill = Fill {
            shards: self.shards,
            share: self.options.share,
            runtime: Arc::new(EncodeRuntime::new(loaded, Arc::clone(&context.counters))),
            memory: &memory,
            memory_limit: self.options.memory_limit,
            condition: self.condition.clone(),
            fail_on_bad: self.fail_on_bad,
        };
        let store = Arc::new(store);
        let filled = filling::fill(fill, &store, context).await?;
        let merged = tokio::task::spawn_blocking(move || store.filled()).await;
        let store = merged.map_err(|error| Error::internal("merge records").source(error))??;
        Ok(Scored {
            store: Arc::new(store),
            memory,
            rows_scored: filled.rows,
            is_private: false,
            took: filled.took,
            _temporary: None,
        })
    }

    /// What tells the rows of a private store from all.
    fn rows_scored(&self) -> Option<String> {
        let condition = self.condition.as_ref();
        let condition = condition.map(|condition| secrets::told_apart(&condition.text));
        match (&self.options.uids, condition) {
            (None, condition) => condition,
            (Some(uids), condition) => Some(format!(
                "uids {} {}",
                uids.identity(),
                condition.unwrap_or_default()
            )),
        }
    }

    fn spec(&self, model: ModelCard, stored: Option<&StoreSpec>) -> StoreSpec {
        let kept = stored.map(|spec| spec.embeddings);
        StoreSpec {
            model,
            image_column: self.shards.binding.image.clone(),
            text_column: self.shards.binding.text.clone(),
            class_captions: self.shards.binding.class_captions().map(Classes::describe),
            max_pixels: self.options.max_pixels,
            reading: self.options.reading,
            allow_external_paths: self.options.allow_external_paths,
            condition: self.rows_scored(),
            embeddings: self.options.embeddings.or(kept).unwrap_or_default(),
        }
    }
}

/// True if the store has a file of every shard.
fn is_complete(store: &ScoreStore, shards: &[ShardIdentity]) -> Result<bool> {
    let coverages = store.coverages(shards)?;
    Ok(coverages.iter().all(|coverage| coverage.complete))
}
