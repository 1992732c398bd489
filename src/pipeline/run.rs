//! The main job: score what is not scored yet, select, write.

use std::time::Instant;

use super::{
    changes,
    context::{Narrow, OwnShare, Prepared, RunContext, StageTimes},
    deriving::{Settled, derive_for_run, settle_order},
    emitting::{self, Emitted, Emitting, KeptRows},
    rejecting::Rejecting,
    reporting, scoring, selecting,
};
use crate::{
    config::OnError,
    error::Result,
    options::RunOptions,
    report::Report,
    select::Chosen,
    selection::Repeats,
    sink::{Provenance, ShareFacts, Staged, list_uids},
    store::ScoreStore,
    summary::{Pass, RunSummary},
};

/// Opens the shards and finds out what can be refused before a model is loaded.
///
/// # Errors
/// When an input cannot be read, its columns cannot be told, or the output may not be put where it should go.
pub fn prepare(options: &RunOptions) -> Result<Prepared> {
    Prepared::check(options)
}

/// Scores what is not scored yet, selects and writes. Needs a runtime of tokio; dropping the future does not stop
/// a write that has begun, [`RunContext::cancel`] does.
///
/// # Errors
/// When an input, the model, or the output fails. What was at the output before is then still there, and scores
/// that were committed are used by the next run.
pub async fn run(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext,
) -> Result<RunSummary> {
    Ok(run_with(options, prepared, context, Reports::No).await?.0)
}

/// As [`run`], and looks at what was decided; the run succeeds whatever becomes of that. `None` where a killed run
/// had only its last step left.
///
/// # Errors
/// As [`run`].
pub async fn run_reported(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext,
) -> Result<(RunSummary, Option<Result<Report>>)> {
    run_with(options, prepared, context, Reports::Yes).await
}

/// Whether a run is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reports {
    Yes,
    No,
}

async fn run_with(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext,
    reports: Reports,
) -> Result<(RunSummary, Option<Result<Report>>)> {
    let start = Instant::now();
    let options = &options.over(&prepared.shards.set.schema);
    let mut prepared = prepared;
    if let Some(unfinished) = prepared.take_unfinished() {
        let model = context.model.identity();
        if unfinished.note.may_be_of(model.ok().flatten().as_ref()) {
            prepared.finish(options, &unfinished)?;
            return Ok((unfinished.note.summary, None));
        }
        prepared.start_over(options)?;
    }
    prepared.check_condition(options)?;
    let done = loop {
        match decide_and_write(options, &prepared, &context, reports).await {
            Ok(done) => break done,
            // What is scored is stored: only the damaged shard is lost.
            Err(error) if prepared.leave_out(&options.scoring, &error) => {
                (context.say)(&format!("left out a shard: {}", error.in_one_line()));
            }
            Err(error) => return Err(error),
        }
    };
    let mut summary = done.summary;
    summary.seconds = start.elapsed().as_secs_f64();
    match done.share {
        None => prepared.commit(options, &summary, done.staged)?,
        Some(facts) => prepared.leave(facts, done.staged)?,
    }
    Ok((summary, done.reported))
}

/// A run of which nothing is visible yet.
struct Done {
    summary: RunSummary,
    reported: Option<Result<Report>>,
    staged: Vec<Staged>,
    /// What is known of it, if it is a share of an output.
    share: Option<ShareFacts>,
}

async fn decide_and_write(
    options: &RunOptions,
    prepared: &Prepared,
    context: &RunContext,
    reports: Reports,
) -> Result<Done> {
    let scored = scoring::scores_of(options, prepared, context).await?;
    let Settled { options, note } = settle_order(options, prepared, &scored, context).await?;
    let options = &options;
    let scored = derive_for_run(options, prepared, scored, context).await?;
    let counters = &context.counters;
    let narrow = Narrow {
        options,
        prepared,
        scored: &scored,
        context,
    };
    let selecting = counters.pass(Pass::Select);
    let chosen = selecting::select(&narrow).await?;
    let rows_nan = narrow.rows_of_nan().await?;
    drop(selecting);
    let rejecting = Rejecting {
        shards: &prepared.shards,
        store: &scored.store,
        chosen: &chosen,
    };
    if options.on_error == OnError::Fail && chosen.rows_bad() > 0 {
        return Err(rejecting.first()?);
    }
    let reported = (reports == Reports::Yes).then(|| reporting::of_run(&narrow, &chosen));
    let provenance = Provenance {
        model: scored.store.spec().model.clone(),
        command: options.command.clone(),
        selection: options.describe_selection(),
        reading: scored.store.spec().reading,
        derived: derived_provenance(options, &scored.store),
    };
    let mut summary = counted(&narrow, &chosen, &provenance);
    summary.rows_nan = rows_nan;
    summary.warnings.extend(note);
    let memory = scored.memory.clone();
    let own = OwnShare::of(options, prepared, &chosen.written)?;
    if options.writes() {
        summary.rows_written = chosen.written.rows();
    }
    let writing = counters.pass(Pass::Write);
    let others = staged_beside(&narrow, &chosen)?;
    // A bit per row and rule, that nothing needs any more.
    drop(chosen.steps);
    let mut rows = KeptRows {
        written: chosen.written,
        repeats: chosen.repeats,
        first_file: false,
    };
    if let Some(own) = &own {
        summary.rows_written = own.facts.rows;
        rows.written = rows.written.within(&own.shards);
        rows.first_file = own.shards.first() == Some(&true);
    }
    let emitting = Emitting {
        options,
        prepared,
        provenance: &provenance,
        others,
    };
    let emitted = match own.as_ref().and_then(|own| own.left.as_ref()) {
        Some(left) => Emitted::before(left),
        None => emitting::emit(emitting, scored, rows, context).await?,
    };
    drop(writing);
    summary.outputs = emitted.outputs;
    summary.warnings.extend(emitted.notes);
    let effort = StageTimes {
        threads: options.scoring.threads,
        memory: &memory,
        wall: counters.passed(Pass::Score) + counters.passed(Pass::Write),
    };
    Ok(Done {
        summary: effort.added_to(summary, counters),
        reported,
        staged: emitted.staged,
        share: own.map(|own| own.facts),
    })
}

/// Rejects and changes; they become visible with the output.
fn staged_beside(narrow: &Narrow<'_>, chosen: &Chosen) -> Result<Vec<Staged>> {
    let (options, prepared) = (narrow.options, narrow.prepared);
    if !prepared.writes() {
        return Ok(Vec::new());
    }
    let mut staged = Vec::new();
    if let Some(path) = &options.rejects {
        let rejecting = Rejecting {
            shards: &prepared.shards,
            store: &narrow.scored.store,
            chosen,
        };
        staged.push(rejecting.list(prepared.stage_file(options, path)?)?);
    }
    if let Some(path) = &options.uids_out {
        let file = prepared.stage_file(options, path)?;
        staged.push(list_uids(&prepared.shards, &chosen.written, file)?);
    }
    staged.extend(changes::stage(options, prepared, narrow.scored, chosen)?);
    Ok(staged)
}

/// What a run has decided, before anything is written.
fn counted(narrow: &Narrow<'_>, chosen: &Chosen, provenance: &Provenance) -> RunSummary {
    let set = &narrow.prepared.shards.set;
    let rows_in = set.rows();
    RunSummary {
        rows_in,
        bad_shards: set.bad.clone(),
        rows_kept: chosen.kept,
        rows_repeated: chosen.repeats.as_ref().map(Repeats::total),
        rows_cut: rows_in - chosen.kept - chosen.rows_bad(),
        rows_bad: chosen.rows_bad(),
        bad: chosen.bad.clone(),
        rows_scored: narrow.scored.rows_scored,
        pairs_per_sec: narrow.scored.pairs_per_sec(),
        lowest_kept_score: chosen.lowest_score,
        lowest_kept_order: chosen.lowest_order,
        ordered_by: narrow.options.select.order_name().map(str::to_owned),
        selection: provenance.selection.clone(),
        model: provenance.model.clone(),
        warnings: set.notes.clone(),
        ..RunSummary::default()
    }
}

/// What the derived columns of a run were made with.
fn derived_provenance(options: &RunOptions, store: &ScoreStore) -> Option<String> {
    let spec = store.derived().filter(|_| !options.used().is_empty())?;
    serde_json::to_string(&spec.made_with).ok()
}
