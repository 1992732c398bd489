//! Score columns from embeddings that a run needs and its store lacks.

use std::sync::{Arc, OnceLock};

use super::context::{Narrow, PagesRead, Prepared, RunContext, Scored, load_of_store, loaded};
use crate::{
    engine::EncodeRuntime,
    error::{Error, Result},
    options::{RunOptions, ScoreOptions},
    schema::ScoreColumn,
    score::{Considered, Deriving, work_budget},
    source::BoundShards,
    store::{DerivedSpec, EmbeddingType, ScoreStore},
    summary::Pass,
};

/// What columns are derived from, and with what.
pub(super) struct DeriveFrom<'a> {
    pub(super) options: &'a ScoreOptions,
    pub(super) shards: &'a BoundShards,
    /// Rows that count; all if `None`.
    pub(super) considered: Option<&'a Considered>,
    pub(super) context: &'a RunContext,
}

/// Adds what the selection, the output and the conditions of a run need beside the model's scores.
pub(super) async fn derive_for_run(
    options: &RunOptions,
    prepared: &Prepared,
    scored: Scored,
    context: &RunContext,
) -> Result<Scored> {
    let columns = options.derived();
    if columns.is_empty() {
        return Ok(scored);
    }
    let _deriving = context.counters.pass(Pass::Derive);
    let narrow = Narrow {
        options,
        prepared,
        scored: &scored,
        context,
    };
    let considered = narrow.early().await?;
    let from = DeriveFrom {
        options: &options.scoring,
        shards: &prepared.shards,
        considered: considered.as_ref(),
        context,
    };
    if options.share.is_some() {
        return match from.with_deriving(&scored.store, |deriving| deriving.has(&columns))? {
            true => Ok(scored),
            false => Err(Error::usage(
                "write a part of the output: scores from embeddings are not in the store yet",
            )
            .with("columns", columns_in(&columns))
            .hint("run the same command once with --dry-run in place of OUT and --part: it computes them over all shards")),
        };
    }
    from.derive(&columns, scored)
}

fn columns_in(columns: &[ScoreColumn]) -> String {
    let names: Vec<_> = columns.iter().map(|column| column.name()).collect();
    names.join(",")
}

/// Options whose order is settled, and what is to be said of it.
pub(super) struct Settled {
    pub(super) options: RunOptions,
    pub(super) note: Option<String>,
}

/// Settles the order of a run that asked for none: by `clip_score` where captions cannot be compared, or only in place of
/// scores from embeddings that the store has.
pub(super) async fn settle_order(
    asked: &RunOptions,
    prepared: &Prepared,
    scored: &Scored,
    context: &RunContext,
) -> Result<Settled> {
    let options = asked.settled(&scored.store);
    let unasked = asked.compares_unasked();
    let by_score = |why: &str| Settled {
        options: asked.with_settled_order(false),
        note: Some(format!("rows are ordered by clip_score: {why}")),
    };
    if options.select.ordered_by() != Some(ScoreColumn::S_CLIPLOSS) {
        let without = scored.store.spec().embeddings == EmbeddingType::None;
        return Ok(match unasked && without {
            true => by_score(
                "the store keeps no embeddings to compare captions by (--embeddings f16 in another directory)",
            ),
            false => Settled {
                options,
                note: None,
            },
        });
    }
    let others = |spec: &DerivedSpec| spec.columns != [ScoreColumn::S_CLIPLOSS.name()];
    if unasked && scored.store.derived().is_some_and(others) {
        let narrow = Narrow {
            options: &options,
            prepared,
            scored,
            context,
        };
        let considered = narrow.early().await?;
        let from = DeriveFrom {
            options: &options.scoring,
            shards: &prepared.shards,
            considered: considered.as_ref(),
            context,
        };
        let columns = options.derived();
        if from.with_deriving(&scored.store, |deriving| deriving.replaces(&columns))? {
            return Ok(by_score(
                "the store has scores from embeddings that were made otherwise, which s_cliploss would replace (--select s-cliploss does)",
            ));
        }
    }
    Ok(Settled {
        options,
        note: None,
    })
}

impl DeriveFrom<'_> {
    /// Makes `columns` columns of the store.
    pub(super) fn derive(&self, columns: &[ScoreColumn], mut scored: Scored) -> Result<Scored> {
        if columns.is_empty() {
            return Ok(scored);
        }
        let shared = |_| Error::internal("write to a score store that is being read");
        let store = Arc::try_unwrap(scored.store).map_err(shared)?;
        // Somebody else may come between; then the columns are looked at anew.
        let store = store.exclusive()?;
        let derived = self.with_deriving(&store, |deriving| deriving.run(columns));
        self.context.counters.set_step("");
        derived?;
        scored.store = Arc::new(store.reread()?);
        Ok(scored)
    }

    /// Calls `work` with all that columns are derived with; a model is loaded when a text must be embedded.
    pub(super) fn with_deriving<T>(
        &self,
        store: &ScoreStore,
        work: impl FnOnce(&Deriving<'_>) -> Result<T>,
    ) -> Result<T> {
        let runtime: OnceLock<EncodeRuntime> = OnceLock::new();
        let embed = |text: &str| match runtime.get() {
            Some(runtime) => runtime.embed_text(text),
            None => {
                let started = self.start_model(store)?;
                runtime.get_or_init(|| started).embed_text(text)
            }
        };
        let options = self.options;
        work(&Deriving {
            store,
            shards: self.shards,
            options: &options.method,
            considered: self.considered,
            keeps_state: options.only_new,
            budget: work_budget(options.memory_limit, options.threads),
            embed: &embed,
            say: self.context.say.as_ref(),
            step: &|step| self.context.counters.set_step(step),
            cancelled: &self.context.stopping(),
        })
    }

    /// The model that the store was made with.
    fn start_model(&self, store: &ScoreStore) -> Result<EncodeRuntime> {
        let stored = &store.spec().model;
        let factory = load_of_store(self.context.model.as_ref(), stored, "class prompts")?;
        let pages = PagesRead::of_pairs(self.shards);
        let model = loaded(self.options, self.shards, factory, pages)?;
        let counters = Arc::clone(&self.context.counters);
        Ok(EncodeRuntime::new(model, counters))
    }
}
