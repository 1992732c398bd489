//! Fills a score store and stops before the selection.

use std::time::Instant;

use arrow::array::{Array, AsArray};

use super::{
    context::{RunContext, Scored, StageTimes, check_store},
    deriving::DeriveFrom,
    scoring::scores_in,
};
use crate::{
    error::{Error, Result},
    options::ScoreOptions,
    schema::{CLIP_SCORE, STATUS, Status},
    score::check,
    source::{BoundShards, FoundTable, KnownVersion},
    store::{ScoreStore, ShardIdentity, StoreAt, StoreSpec},
    summary::{BadRows, Pass, RunSummary},
};

/// Fills a score store and reports what it holds of the shards.
///
/// # Errors
/// When an input, the model or the store fails; what was committed is kept.
pub async fn score(options: &ScoreOptions, context: RunContext) -> Result<RunSummary> {
    let start = Instant::now();
    let at = options
        .store_at()
        .ok_or_else(|| Error::usage("find the score store: no directory was given"))?;
    check_store(options)?;
    if options.share.is_some() && !options.derived.is_empty() {
        return Err(
            Error::usage("compute scores from embeddings of a share of the shards").hint(
                "merge the store when all shares are scored, then compute them once over all",
            ),
        );
    }
    check(&options.derived, &options.method)?;
    let found = options.found_since(known_versions(&at, options)?)?;
    if found.shards.is_empty() && !found.versions.is_empty() {
        return nothing_new(&at, options, found, &context, start);
    }
    let versions = found.versions.clone();
    let mut shards = options.open_found(found, None)?;
    let scored = loop {
        match scored(&at, options, &shards, &context).await {
            Ok(scored) => break scored,
            Err(error) => match options.without_bad(&shards, &error) {
                Some(left) => {
                    (context.say)(&format!("left out a shard: {}", error.in_one_line()));
                    shards = left;
                }
                None => return Err(error),
            },
        }
    };
    if options.share.is_none() && shards.set.bad.is_empty() {
        scored
            .store
            .record_versions(&versions, &shards.identities)?;
    }
    let counters = &context.counters;
    let own = options.own(&shards);
    let bad = bad_rows(&scored.store, &own.identities)?;
    let summary = RunSummary {
        rows_in: own.rows,
        bad_shards: shards.set.bad.clone(),
        rows_kept: own.rows - bad.values().sum::<u64>(),
        rows_bad: bad.values().sum(),
        bad,
        rows_scored: scored.rows_scored,
        pairs_per_sec: scored.pairs_per_sec(),
        selection: "every row".to_owned(),
        model: scored.store.spec().model.clone(),
        outputs: vec![at.to_string()],
        seconds: start.elapsed().as_secs_f64(),
        warnings: shards.set.notes.clone(),
        ..RunSummary::default()
    };
    let effort = StageTimes {
        threads: options.threads,
        memory: &scored.memory,
        wall: counters.passed(Pass::Score),
    };
    Ok(effort.added_to(summary, counters))
}

/// Versions of tables whose files need not be opened: the store has their rows, and nothing is computed from all rows.
fn known_versions(at: &StoreAt, options: &ScoreOptions) -> Result<Vec<KnownVersion>> {
    let wants_all = options.share.is_some() || !options.derived.is_empty();
    if !options.only_new || wants_all || ScoreStore::spec_at(at)?.is_none() {
        return Ok(Vec::new());
    }
    ScoreStore::open(at)?.known_versions()
}

/// Ends a run that has no file to open.
fn nothing_new(
    at: &StoreAt,
    options: &ScoreOptions,
    found: FoundTable,
    context: &RunContext,
    start: Instant,
) -> Result<RunSummary> {
    let store = ScoreStore::open(at)?;
    let stored = store.spec();
    let identity = context.model.identity()?;
    let named = |name: &Option<String>, known: &String| name.as_ref().unwrap_or(known).clone();
    // Without a file nobody knows more of what this run would have scored.
    store.check(&StoreSpec {
        model: identity.unwrap_or_else(|| stored.model.clone()),
        image_column: named(&options.columns.image, &stored.image_column),
        text_column: named(&options.columns.text, &stored.text_column),
        max_pixels: options.max_pixels,
        reading: options.reading,
        allow_external_paths: options.allow_external_paths,
        embeddings: options.embeddings.unwrap_or(stored.embeddings),
        ..stored.clone()
    })?;
    store.record_versions(&found.versions, &[])?;
    Ok(RunSummary {
        selection: "every row".to_owned(),
        model: stored.model.clone(),
        outputs: vec![at.to_string()],
        seconds: start.elapsed().as_secs_f64(),
        warnings: found.notes,
        ..RunSummary::default()
    })
}

/// Rows and columns that the store lacks are made.
async fn scored(
    at: &StoreAt,
    options: &ScoreOptions,
    shards: &BoundShards,
    context: &RunContext,
) -> Result<Scored> {
    let scored = scores_in(at, options, shards, context).await?;
    let _deriving = context.counters.pass(Pass::Derive);
    let from = DeriveFrom {
        options,
        shards,
        considered: None,
        context,
    };
    from.derive(&options.derived, scored)
}

fn bad_rows(store: &ScoreStore, shards: &[ShardIdentity]) -> Result<BadRows> {
    let mut bad = BadRows::new();
    for shard in shards {
        let mut cursor = store.scores(shard)?.cursor(&[CLIP_SCORE, STATUS], 0)?;
        while let Some(rows) = cursor.advance()? {
            if rows.columns[0].null_count() == 0 {
                continue;
            }
            for status in rows.columns[1].as_string::<i32>().iter().flatten() {
                if status != Status::Ok.as_str() {
                    *bad.entry(status.to_owned()).or_default() += 1;
                }
            }
        }
    }
    Ok(bad)
}
