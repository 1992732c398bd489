//! Names every room once, in order: shards, scores, selection, output.

mod emit;
mod options;
mod prepared;
mod score_pass;
mod selecting;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    encode::EncoderFactory,
    engine::{MemoryNeeds, MemoryPlan},
    error::{Error, ErrorKind, Result},
    report::{Counters, RunReport, Stage},
    sink::Provenance,
    source::ShardSet,
};

pub use options::{ADDABLE, RunOptions};
pub use prepared::Prepared;

/// Tells a run to stop; the other end is held by whoever may want that.
pub type Cancel = watch::Receiver<bool>;

/// Opens the shards and finds out what can be refused before a model is loaded.
///
/// # Errors
/// When an input cannot be read, its columns cannot be told, or the output may not be put where it should go.
pub fn prepare(options: &RunOptions) -> Result<Prepared> {
    Prepared::check(options)
}

/// What a run works with besides its options.
pub struct RunContext<'a> {
    /// The model.
    pub factory: Arc<dyn EncoderFactory>,
    /// Progress, for whoever looks at it while the run goes on.
    pub counters: Arc<Counters>,
    /// Tells the run to stop.
    pub cancel: Cancel,
    /// Gets the physical plan of the scoring query.
    pub explain: &'a (dyn Fn(&str) + Sync),
}

/// Scores, selects and writes. Needs a runtime of tokio; dropping the future does not stop a write that has
/// begun, [`RunContext::cancel`] does.
///
/// # Errors
/// When an input, the model, or the output fails. What was at the output before is then still there.
pub async fn run(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext<'_>,
) -> Result<RunReport> {
    let start = Instant::now();
    let RunContext {
        factory,
        counters,
        cancel,
        explain,
    } = context;
    counters
        .rows_total
        .store(prepared.set.rows(), Ordering::Relaxed);
    let memory = memory_plan(options, factory.as_ref())?;
    let runtime = prepared.runtime(options, Arc::clone(&factory), &memory, &counters);
    let wide = prepared.wide_plan(options, runtime, &memory, &counters);
    let scored = score_pass::run(options, &prepared, wide, cancel.clone(), explain).await?;
    let chosen = selecting::select(&scored, &prepared.set, options)?;
    let provenance = Provenance {
        model: factory.card().clone(),
        command: options.command.clone(),
        selection: options.describe_selection(),
    };
    let mut report = count_rows(&prepared.set, &scored, &chosen);
    if let Some(staged) = prepared.stage(options)? {
        let emit = emit::Emit {
            set: Arc::clone(&prepared.set),
            policy: prepared.writer_policy(options, &provenance, &memory),
            staged,
            memory: memory.clone(),
            counters: Arc::clone(&counters),
        };
        report.rows_written = chosen.written.rows();
        let (rows, selection) = (scored.rows, chosen.written);
        let written = tokio::task::spawn_blocking(move || emit.run(&rows, &selection, &cancel))
            .await
            .map_err(|error| Error::internal("write the output").source(error))??;
        let shown = written.iter().map(|path| path.display().to_string());
        report.outputs = shown.collect();
        if let Some(rejects) = scored.rejects {
            rejects.commit()?;
        }
    }
    let threads = |stage: Stage| match stage {
        Stage::Read | Stage::Write => 1,
        Stage::Decode => options.threads,
        Stage::Encode => memory.encoders,
    };
    let limiting_stage = counters.limiting_stage(threads).as_str();
    Ok(RunReport {
        limiting_stage,
        stage_busy_secs: RunReport::busy_by_stage(&counters),
        seconds: start.elapsed().as_secs_f64(),
        selection: provenance.selection,
        model: provenance.model,
        ..report
    })
}

/// The part of the report that counts rows.
fn count_rows(
    set: &ShardSet,
    scored: &score_pass::Scored,
    chosen: &selecting::Chosen,
) -> RunReport {
    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    let pairs_per_sec = scored.rows_scored as f64 / scored.seconds.max(1e-9);
    RunReport {
        rows_in: set.rows(),
        rows_kept: chosen.kept,
        rows_cut: set.rows() - chosen.kept - scored.rows_bad(),
        rows_bad: scored.rows_bad(),
        bad: scored.bad.clone(),
        pairs_per_sec,
        lowest_kept_score: chosen.lowest_score,
        ..RunReport::default()
    }
}

fn memory_plan(options: &RunOptions, factory: &dyn EncoderFactory) -> Result<MemoryPlan> {
    let (height, width) = factory.preprocessing().pixels.output_size();
    MemoryPlan::divide(&MemoryNeeds {
        limit: options.memory_limit,
        threads: options.threads,
        max_encoders: options.max_encoders,
        encoder_bytes: factory.encoder_bytes(),
        model_batch_rows: options.model_batch_rows,
        pixel_bytes: 3 * 4 * u64::from(height) * u64::from(width),
    })
}

/// The error of a run that was told to stop.
fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: it was interrupted")
        .hint("the input is untouched; run it again")
}
