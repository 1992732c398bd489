//! Fills a score store and stops before the selection.

use std::time::Instant;

use arrow::array::{Array, AsArray};

use super::{
    context::{RunContext, ScoreOptions, StageTimes},
    deriving::DeriveFrom,
    scoring::scores_in,
};
use crate::{
    error::{Error, Result},
    schema::{CLIP_SCORE, STATUS, Status},
    score::check,
    source::BoundShards,
    store::ScoreStore,
    summary::{BadRows, Pass, RunSummary},
};

/// Fills a score store and reports what it holds of the shards.
///
/// # Errors
/// When an input, the model or the store fails; what was committed is kept.
pub async fn score(options: &ScoreOptions, context: RunContext) -> Result<RunSummary> {
    let start = Instant::now();
    let directory = options
        .scores
        .as_deref()
        .ok_or_else(|| Error::usage("find the score store: no directory was given"))?;
    let shards = options.open_shards()?;
    check(&options.derived, &options.method)?;
    let scored = scores_in(directory, options, &shards, &context).await?;
    let counters = &context.counters;
    let deriving = counters.pass(Pass::Derive);
    let from = DeriveFrom {
        options,
        shards: &shards,
        considered: None,
        context: &context,
    };
    let scored = from.derive(&options.derived, scored)?;
    drop(deriving);
    let bad = bad_rows(&scored.store, &shards)?;
    let summary = RunSummary {
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
        ..RunSummary::default()
    };
    let effort = StageTimes {
        threads: options.threads,
        memory: &scored.memory,
        wall: counters.passed(Pass::Score),
    };
    Ok(effort.added_to(summary, counters))
}

fn bad_rows(store: &ScoreStore, shards: &BoundShards) -> Result<BadRows> {
    let mut bad = BadRows::new();
    for shard in &shards.identities {
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
