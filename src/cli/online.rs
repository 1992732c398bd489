//! `clip-filter IN - --online`: the rows kept as an Arrow IPC stream on stdout, everything else on stderr.

use std::{
    io::{IsTerminal, stdout},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Instant,
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use super::{
    args::FilterArgs,
    call::RowSender,
    host::Host,
    loading,
    pipe::Pipe,
    running::{Running, Scoring, exit_code, model_warnings, score_options},
    say, summary,
    tracing::Others,
};
use crate::{
    error::{Error, ErrorKind, Result},
    machine,
    pipeline::{self, OnlineOptions, OnlineSummary, RunContext},
    select::Keep,
    sink::ArrowStream,
    summary::{Counters, Pass, Stage},
};

/// The output that means stdout.
pub(super) const STDOUT: &str = "-";

pub(super) fn run(args: &FilterArgs) -> Result<ExitCode> {
    let options = options(args)?;
    if stdout().is_terminal() {
        return Err(Error::usage("write an Arrow stream to a terminal")
            .hint("send standard output to a program or a file, as in ... | python train.py"));
    }
    let job = Job {
        args,
        options: &options,
        host: &Host::Terminal,
    };
    let mut report = job.done(|context| filter(&options, context))?;
    if !report.complete {
        let warning =
            "standard output was closed before the end: rows in are those decided by then";
        report.run.warnings.push(warning.to_owned());
    }
    if args.tells.json {
        let json = serde_json::to_string(&report)
            .map_err(|error| Error::internal("write the summary as JSON").source(error))?;
        say(&json);
    } else if !args.tells.verbosity.quiet {
        say(&summary::online(
            &report,
            options.scoring.memory_limit,
            args.tells.verbosity.detail(),
        ));
    }
    Ok(exit_code(&report.run, args.bad_rows.max_bad_rows))
}

/// Filters for a program that reads the rows.
pub(super) fn given(args: &FilterArgs, host: &Host, rows: &RowSender) -> Result<OnlineSummary> {
    let options = options(args)?;
    let job = Job {
        args,
        options: &options,
        host,
    };
    job.done(|context| give(&options, context, rows))
}

/// What is filtered in one pass, and for whom.
struct Job<'a> {
    args: &'a FilterArgs,
    options: &'a OnlineOptions,
    host: &'a Host,
}

impl Job<'_> {
    fn done<F>(&self, filter: impl FnOnce(RunContext) -> F) -> Result<OnlineSummary>
    where
        F: Future<Output = Result<OnlineSummary>>,
    {
        let start = Instant::now();
        let tells = &self.args.tells;
        let running = Running {
            model: loading::model(&self.args.model, &tells.verbosity, self.host),
            verbosity: &tells.verbosity,
            trace: tells.trace.start(Others {
                overwrite: tells.overwrite,
                inputs: &self.options.scoring.inputs,
                outputs: &[],
            })?,
            host: self.host,
        };
        let mut report = running.run(filter)?;
        let run = &mut report.run;
        run.peak_rss_bytes = machine::peak_rss_bytes();
        run.seconds = start.elapsed().as_secs_f64();
        run.warnings.extend(model_warnings(run, &self.args.model));
        Ok(report)
    }
}

/// Gives rows as long as somebody takes them.
async fn give(
    options: &OnlineOptions,
    context: RunContext,
    rows: &RowSender,
) -> Result<OnlineSummary> {
    let counters = Arc::clone(&context.counters);
    let mut kept = pipeline::online(options, context).await?;
    let scoring = counters.pass(Pass::Score);
    let mut takes_more = rows.begin(Arc::clone(kept.plain_schema()));
    while takes_more && let Some(batch) = kept.next().await {
        takes_more = rows.give(batch?);
    }
    drop(scoring);
    Ok(kept.summary())
}

fn options(args: &FilterArgs) -> Result<OnlineOptions> {
    refuse_others(args)?;
    let mut inputs: Vec<String> = args
        .lists
        .inputs()
        .chain(args.paths.iter().cloned())
        .collect();
    if inputs.pop().as_deref() != Some(STDOUT) || inputs.is_empty() {
        return Err(
            Error::usage("find the output: an online run writes to standard output")
                .hint("clip-filter in.parquet - --online --keep 0.3"),
        );
    }
    let selects = &args.selects;
    let keep = match selects.keep {
        Some(keep) => keep,
        None if selects.min_score.is_some() || args.condition.condition.is_some() => Keep::All,
        None => {
            return Err(Error::usage("filter in one pass: no selection was given")
                .hint("--keep 0.3, --min-score 0.25 or --where SQL"));
        }
    };
    let scoring = score_options(Scoring::without_store(args, inputs))?;
    let mut options = OnlineOptions::new(scoring, keep)
        .with_on_error(args.bad_rows.on_error.into())
        .with_added(args.columns.add.iter().copied())
        .with_prefix(args.columns.prefix.as_str())
        .with_command(args.command.as_str());
    options.min_score = selects.min_score;
    options.condition = args.condition.condition.clone();
    Ok(options)
}

/// Refuses options that one pass has no use for; each may have come from its environment twin.
pub(super) fn refuse_others(args: &FilterArgs) -> Result<()> {
    let two_passes = "leave it out, or select in two passes: leave --online out and name an output";
    let options = [
        (
            args.selects.keep_rows.is_some(),
            "--keep-rows: how many rows will come is not known",
            "--keep FRACTION, or leave --online out",
        ),
        (
            args.scores.is_some(),
            "--scores: it keeps no store",
            two_passes,
        ),
        (
            args.store.only_new,
            "--only-new: it keeps no store",
            two_passes,
        ),
        (
            args.store.embeddings.is_some(),
            "--embeddings: it keeps no store",
            "--add image_embedding,text_embedding gives them as columns",
        ),
        (
            args.columns.add.iter().any(|added| added.is_derived()),
            "scores from embeddings: they look at all rows",
            two_passes,
        ),
        (
            args.method.adapts() || args.method.target.is_some(),
            "scores from embeddings: they look at all rows",
            two_passes,
        ),
        (
            args.chooses.is_given() || args.remembers.changes.is_some(),
            "--select, --solver, --balance, --weights, --dedup and --changes: they look at all rows",
            two_passes,
        ),
        (
            args.tells.format.is_given(),
            "--format, --shard-rows, --shuffle and --uids-out: it writes an Arrow stream",
            two_passes,
        ),
        (
            args.bad_rows.rejects.is_some(),
            "--rejects: it writes no file",
            "--on-error keep --add status lets bad rows through",
        ),
        (
            args.tells.report.is_some(),
            "--report: what is cut is not looked at again",
            two_passes,
        ),
        (
            args.tells.overwrite && args.tells.trace.trace.is_none(),
            "--overwrite: it writes no file",
            "leave it out",
        ),
        (
            !args.tells.partition_by.is_empty(),
            "--partition-by: it writes no directory",
            two_passes,
        ),
        (
            args.tells.dry_run,
            "--dry-run: it decides while it writes",
            "leave --online out, or send standard output to /dev/null",
        ),
    ];
    match options.into_iter().find(|(given, ..)| *given) {
        Some((_, what, hint)) => {
            Err(Error::usage(format!("filter in one pass with {what}")).hint(hint))
        }
        None => Ok(()),
    }
}

/// Filters into stdout, until it is closed.
async fn filter(options: &OnlineOptions, context: RunContext) -> Result<OnlineSummary> {
    let cancel = context.cancel.clone();
    let counters = Arc::clone(&context.counters);
    let mut kept = pipeline::online(options, context).await?;
    let (batches, written) = start_writing(kept.plain_schema(), Arc::clone(&counters))?;
    let scoring = counters.pass(Pass::Score);
    let write_all = async {
        let mut takes_more = true;
        while takes_more && let Some(batch) = kept.next().await {
            // Nobody takes it once stdout is closed or has failed.
            takes_more = batches.send(Portion::Rows(batch?)).await.is_ok();
        }
        if takes_more {
            // The thread says how it ended.
            let _ = batches.send(Portion::End).await;
        }
        drop(batches);
        written
            .await
            .map_err(|error| Error::internal("write the Arrow stream").source(error))?
    };
    tokio::select! {
        result = write_all => result?,
        // A reader that has stopped to read must not hold up the end.
        _ = cancel.cancelled() => {
            return Err(Error::new(ErrorKind::Interrupted, "finish: it was interrupted"));
        }
    }
    drop(scoring);
    Ok(kept.summary())
}

/// What is written next.
enum Portion {
    Rows(RecordBatch),
    End,
}

type Written = oneshot::Receiver<Result<()>>;

/// A thread that writes what it is given; how it ended comes back. It is not joined: it may wait for a reader
/// that never reads again, and ends with the process then.
fn start_writing(
    schema: &SchemaRef,
    counters: Arc<Counters>,
) -> Result<(mpsc::Sender<Portion>, Written)> {
    // One batch waits while another is written.
    let (sender, batches) = mpsc::channel(1);
    let (ended, written) = oneshot::channel();
    let schema = Arc::clone(schema);
    thread::Builder::new()
        .name("write".to_owned())
        .spawn(move || {
            let mut pipe = Pipe::new(Box::new(stdout()));
            let result = write(&mut pipe, &schema, batches, &counters);
            // The receiver is gone after an interruption.
            let _ = ended.send(match result {
                Err(_) if pipe.is_closed() => Ok(()),
                result => result,
            });
        })
        .map_err(|error| Error::resources("start the thread that writes").source(error))?;
    Ok((sender, written))
}

/// Writes batches as they come; the end of the stream only after the last, so that one that breaks off has none.
fn write(
    pipe: &mut Pipe,
    schema: &Schema,
    mut batches: mpsc::Receiver<Portion>,
    counters: &Counters,
) -> Result<()> {
    let mut stream = ArrowStream::try_new(pipe, schema)?;
    stream.flush()?;
    while let Some(portion) = counters.starved(Stage::Write, || batches.blocking_recv()) {
        let mut span = counters.span(Stage::Write).of("rows");
        match portion {
            Portion::Rows(batch) => {
                span.rows(batch.num_rows());
                stream.write(&batch)?;
            }
            Portion::End => stream.finish()?,
        }
        stream.flush()?;
    }
    Ok(())
}
