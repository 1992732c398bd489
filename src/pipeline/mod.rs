//! Names every room once, in order: shards, scores, selection, output.
//!
//! [`prepare`] refuses what can be refused before a model is loaded. [`run`] then fills the score store with what
//! it lacks (`scoring`, `filling`), computes the columns from embeddings that somebody named or the selection needs
//! (`derive`, steps in `method`), decides over the store which rows stay (`selecting`, solvers in `choosing`), and
//! reads those again to write them (`emit`). [`score`] stops before the selection. `work` is what a killed run leaves
//! to the next.
//! [`online`] does all of it in one pass, as a stream that whoever trains reads from.
//! [`inspect`] tells what shards, a store or a model are; [`mod@review`] what a selection keeps and cuts, and why.

mod adapt;
mod changes;
mod choosing;
mod derive;
mod emit;
mod encoding;
mod filling;
pub mod inspect;
mod method;
mod online;
mod options;
mod prepared;
mod rejecting;
pub mod review;
mod scoring;
mod selecting;
mod sql;
mod work;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    encode::EncoderFactory,
    engine::MemoryPlan,
    error::{Error, ErrorKind, Result},
    report::{Counters, ModelCard, Pass, RunReport, Stage},
    sink::Provenance,
    store::ScoreStore,
};

pub use adapt::{AdaptOptions, adapt};
pub use method::{Adaptation, DEFAULT_DIVERSITY_WEIGHT, MethodOptions};
pub use online::{OnlineOptions, OnlineReport, OnlineStream, online};
pub use options::{Order, RunOptions, ScoreOptions, SelectOptions, Solver, addable, addable_names};
pub use prepared::{Prepared, Shards};
pub use scoring::score;
pub use sql::{DEFAULT_TABLE, SqlOptions, open_sql};

/// Tells a run to stop; the other end is held by whoever may want that.
pub type Cancel = watch::Receiver<bool>;

/// Where encoders come from, asked only when something must be encoded.
pub trait Model: Send + Sync {
    /// Name, fingerprint and precision, without loading the model; `None` if a store may say which it was.
    ///
    /// # Errors
    /// When its files cannot be read.
    fn identity(&self) -> Result<Option<ModelCard>>;

    /// Loads the model; `stored` is the one that an existing store was made with.
    ///
    /// # Errors
    /// When it, or ONNX Runtime, cannot be loaded.
    fn load(&self, stored: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>>;
}

/// What a run works with besides its options.
pub struct RunContext<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// Progress, for whoever looks at it while the run goes on.
    pub counters: Arc<Counters>,
    /// Tells the run to stop.
    pub cancel: Cancel,
    /// Gets the physical plans of the queries.
    pub explain: &'a (dyn Fn(&str) + Sync),
    /// Gets what the user should know at once.
    pub say: &'a (dyn Fn(&str) + Sync),
}

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
    context: RunContext<'_>,
) -> Result<RunReport> {
    Ok(run_with(options, prepared, context, Reviews::No).await?.0)
}

/// As [`run`], and looks at what was decided; the run succeeds whatever becomes of that. `None` where a killed run
/// had only its last step left.
///
/// # Errors
/// As [`run`].
pub async fn run_reviewed(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext<'_>,
) -> Result<(RunReport, Option<Result<review::Review>>)> {
    run_with(options, prepared, context, Reviews::Yes).await
}

/// Whether a run is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reviews {
    Yes,
    No,
}

async fn run_with(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext<'_>,
    reviews: Reviews,
) -> Result<(RunReport, Option<Result<review::Review>>)> {
    let start = Instant::now();
    let mut prepared = prepared;
    if let Some(unfinished) = prepared.take_unfinished() {
        prepared.finish(&unfinished)?;
        return Ok((unfinished.report, None));
    }
    prepared.check_condition(options)?;
    let scored = scoring::scores_of(options, &prepared, &context).await?;
    let scored = derived(options, &prepared, scored, &context).await?;
    let counters = &context.counters;
    let selecting = counters.pass(Pass::Select);
    let mut chosen = selecting::select(options, &prepared, &scored, &context).await?;
    drop(selecting);
    let reviewed = (reviews == Reviews::Yes)
        .then(|| review::of_run((options, &prepared), (&scored, &chosen), &context));
    // A bit per row and rule, that nothing needs any more.
    chosen.steps = selecting::Steps::default();
    let provenance = Provenance {
        model: scored.store.spec().model.clone(),
        command: options.command.clone(),
        selection: options.describe_selection(),
        derived: derived_provenance(options, &scored.store),
    };
    let mut report = counted(&prepared, (&scored, &chosen), &provenance);
    let memory = scored.memory.clone();
    if options.writes() {
        report.rows_written = chosen.written.rows();
    }
    let writing = counters.pass(Pass::Write);
    let staged = emit::emit(options, &prepared, (scored, chosen), &provenance, &context).await?;
    drop(writing);
    report.outputs = staged.outputs;
    let wall = counters.passed(Pass::Score) + counters.passed(Pass::Write);
    report = with_stages(report, counters, wall, (options.scoring.threads, &memory));
    report.seconds = start.elapsed().as_secs_f64();
    prepared.commit(&report, staged.moves)?;
    Ok((report, reviewed))
}

/// What a run has decided, before anything is written.
fn counted(
    prepared: &Prepared,
    (scored, chosen): (&scoring::Scored, &selecting::Chosen),
    provenance: &Provenance,
) -> RunReport {
    let rows_in = prepared.shards.set.rows();
    RunReport {
        rows_in,
        rows_kept: chosen.kept,
        rows_cut: rows_in - chosen.kept - chosen.rows_bad(),
        rows_bad: chosen.rows_bad(),
        bad: chosen.bad.clone(),
        rows_scored: scored.rows_scored,
        pairs_per_sec: scored.pairs_per_sec(),
        lowest_kept_score: chosen.lowest_score,
        selection: provenance.selection.clone(),
        model: provenance.model.clone(),
        ..RunReport::default()
    }
}

/// Adds what the selection, the output and the conditions need beside the model's scores.
async fn derived(
    options: &RunOptions,
    prepared: &Prepared,
    scored: scoring::Scored,
    context: &RunContext<'_>,
) -> Result<scoring::Scored> {
    let columns = options.derived();
    if columns.is_empty() {
        return Ok(scored);
    }
    let _deriving = context.counters.pass(Pass::Derive);
    let considered = selecting::considered(options, prepared, &scored, context).await?;
    let considered = considered
        .as_ref()
        .map(|(rows, condition)| (rows, condition.as_str()));
    let of_shards = (&options.scoring, &prepared.shards);
    derive::derive(of_shards, &columns, considered, scored, context)
}

/// What the derived columns of a run were made with.
fn derived_provenance(options: &RunOptions, store: &ScoreStore) -> Option<String> {
    let spec = store.derived().filter(|_| !options.used().is_empty())?;
    serde_json::to_string(&spec.made_with).ok()
}

/// `report` with what stages did within `wall`, and what encoders have to say; every pass has one thread that reads and one that writes.
fn with_stages(
    report: RunReport,
    counters: &Counters,
    wall: Duration,
    (threads, memory): (usize, &MemoryPlan),
) -> RunReport {
    let mut report = report.with_stages(counters, wall, |stage| match stage {
        Stage::Read | Stage::Write => 1,
        Stage::Decode => threads,
        Stage::Encode => memory.encoders,
    });
    report
        .warnings
        .extend(RunReport::encoder_warnings(counters));
    report
}

/// Loads the model; `stored` is the one that a store was made with.
fn load(context: &RunContext<'_>, stored: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>> {
    let _loading = context.counters.pass(Pass::Load);
    context.model.load(stored)
}

/// Rows that are settled before a run starts, so that its progress begins where the last one ended.
fn count_settled(counters: &Counters, rows_total: u64, settled: u64) {
    counters.rows_total.store(rows_total, Ordering::Relaxed);
    counters.rows_skipped.fetch_add(settled, Ordering::Relaxed);
}

/// The error of a run that was told to stop.
fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: it was interrupted")
        .hint("run the same command again: it goes on from the last committed scores")
}
