//! Derived columns that a run needs and its store lacks.

use std::sync::{Arc, OnceLock};

use super::{
    RunContext, ScoreOptions, Shards, interrupted,
    method::{Deriving, work_budget},
    scoring::{Scored, loaded},
};
use crate::{
    engine::EncodeRuntime,
    error::{Error, Result},
    schema::Derived,
    select::Selection,
    store::ScoreStore,
};

/// Computes `columns` over the rows that are `considered`, by the condition that is given with them.
pub(super) fn derive(
    (options, shards): (&ScoreOptions, &Shards),
    columns: &[Derived],
    considered: Option<(&Selection, &str)>,
    mut scored: Scored,
    context: &RunContext<'_>,
) -> Result<Scored> {
    if columns.is_empty() {
        return Ok(scored);
    }
    let shared = |_| Error::internal("write to a score store that is being read");
    let mut store = Arc::try_unwrap(scored.store).map_err(shared)?;
    if !store.is_exclusive() {
        // Somebody else may come between; then the columns are looked at anew.
        let (directory, spec) = (store.directory().to_path_buf(), store.spec().clone());
        drop(store);
        store = ScoreStore::open_or_create(&directory, &spec)?;
    }
    let derived = with_deriving((options, shards), &store, considered, context, |deriving| {
        deriving.run(columns)
    });
    context.counters.set_step("");
    derived?;
    scored.store = Arc::new(store.reread());
    Ok(scored)
}

/// Calls `work` with all that columns are derived with; a model is loaded when a text must be embedded.
pub(super) fn with_deriving<T>(
    (options, shards): (&ScoreOptions, &Shards),
    store: &ScoreStore,
    considered: Option<(&Selection, &str)>,
    context: &RunContext<'_>,
    work: impl FnOnce(&Deriving<'_>) -> Result<T>,
) -> Result<T> {
    let cancel = context.cancel.clone();
    let runtime: OnceLock<EncodeRuntime> = OnceLock::new();
    let embed = |text: &str| match runtime.get() {
        Some(runtime) => runtime.embed_text(text),
        None => {
            let started = start_model((options, shards), store, context)?;
            runtime.get_or_init(|| started).embed_text(text)
        }
    };
    work(&Deriving {
        store,
        shards,
        options: &options.method,
        considered,
        keeps_state: options.only_new,
        budget: work_budget(options.memory_limit, options.threads),
        embed: &embed,
        say: context.say,
        step: &|step| context.counters.set_step(step),
        cancelled: &|| {
            if *cancel.borrow() {
                Err(interrupted())
            } else {
                Ok(())
            }
        },
    })
}

/// The model that the store was made with.
fn start_model(
    (options, shards): (&ScoreOptions, &Shards),
    store: &ScoreStore,
    context: &RunContext<'_>,
) -> Result<EncodeRuntime> {
    let stored = &store.spec().model;
    let factory = context.model.load(Some(stored))?;
    if factory.card().fingerprint != stored.fingerprint {
        return Err(Error::input(
            "embed class prompts for this store: it was made with another model",
        )
        .with("the store has", &stored.fingerprint)
        .with("the model has", &factory.card().fingerprint)
        .hint("leave --model out: the store knows its model"));
    }
    let model = loaded(options, shards, factory)?;
    Ok(EncodeRuntime::new(model, Arc::clone(&context.counters)))
}
