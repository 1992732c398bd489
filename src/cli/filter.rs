//! The main job: `clip-filter IN OUT`.

use std::{process::ExitCode, sync::Arc, time::Instant};

use tokio::sync::watch;

use super::{
    TOO_MANY_BAD_ROWS,
    args::{FilterArgs, SelectArgs},
    loading, machine, print,
    progress::Progress,
    say, summary,
};
use crate::{
    config::Device,
    encode::EncoderFactory,
    error::{Error, Result},
    pipeline::{self, Prepared, RunContext, RunOptions},
    report::{Counters, RunReport},
    select::Keep,
};

/// Share of good rows kept when no selection is given.
const DEFAULT_KEEP: Keep = Keep::Fraction {
    numerator: 3,
    denominator: 10,
};
/// Pairs per model call on a CPU, where more only leaves the caches, and on a GPU.
const CPU_BATCH: u32 = 8;
const GPU_BATCH: u32 = 128;

pub(super) fn run(args: FilterArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let options = options(&args)?;
    let prepared = pipeline::prepare(&options)?;
    let factory = loading::load(&args.model, args.tells.verbosity.quiet)?;
    let options = for_device(options, &args, factory.as_ref());
    let counters = Arc::new(Counters::default());
    let progress = Progress::start(&counters, args.tells.verbosity.quiet);
    let result = run_async(
        &options,
        prepared,
        &factory,
        (&counters, args.tells.verbosity.verbose),
    );
    progress.stop();
    let mut report = result?;
    report.peak_rss_bytes = machine::peak_rss_bytes();
    report.seconds = start.elapsed().as_secs_f64();
    report.warnings = warnings(&args, factory.as_ref());
    tell(&args, &options, &report)?;
    let too_many = args
        .bad_rows
        .max_bad_rows
        .is_some_and(|most| report.rows_bad > most);
    Ok(if too_many {
        ExitCode::from(TOO_MANY_BAD_ROWS)
    } else {
        ExitCode::SUCCESS
    })
}

fn run_async(
    options: &RunOptions,
    prepared: Prepared,
    factory: &Arc<dyn EncoderFactory>,
    (counters, verbose): (&Arc<Counters>, u8),
) -> Result<RunReport> {
    // Encoders bring their own threads; these only move batches.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::resources("start the runtime").source(error))?;
    runtime.block_on(async {
        let (stop, cancel) = watch::channel(false);
        let listener = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                // The receiver is gone once the run has ended.
                let _ = stop.send(true);
            }
            // Holds the sender for as long as the run may look at it.
            std::future::pending::<()>().await;
        });
        let explain = |plan: &str| {
            if verbose > 1 {
                say(plan.trim_end());
            }
        };
        let context = RunContext {
            factory: Arc::clone(factory),
            counters: Arc::clone(counters),
            cancel,
            explain: &explain,
        };
        let report = pipeline::run(options, prepared, context).await;
        listener.abort();
        report
    })
}

fn options(args: &FilterArgs) -> Result<RunOptions> {
    let (inputs, output) = paths(args)?;
    Ok(RunOptions {
        inputs,
        output,
        dry_run: args.tells.dry_run,
        overwrite: args.tells.overwrite,
        columns: crate::source::ColumnChoice {
            image: args.columns.names.image_column.clone(),
            text: args.columns.names.text_column.clone(),
        },
        keep: keep(&args.selects),
        min_score: args.selects.min_score,
        condition: args.selects.condition.clone(),
        on_error: args.bad_rows.on_error.into(),
        rejects: args.bad_rows.rejects.clone(),
        add: args.columns.add.clone(),
        prefix: args.columns.prefix.clone(),
        model_batch_rows: args.model.batch_size.unwrap_or(CPU_BATCH) as usize,
        threads: args
            .resources
            .threads
            .map_or_else(machine::threads, usize::from),
        max_encoders: usize::MAX,
        memory_limit: args
            .resources
            .memory_limit
            .unwrap_or_else(machine::default_memory_limit),
        max_pixels: args.bad_rows.max_pixels,
        allow_external_paths: args.bad_rows.allow_external_paths,
        command: std::env::args().collect::<Vec<_>>().join(" "),
    })
}

/// What depends on where the model runs, which is known once it is loaded.
fn for_device(options: RunOptions, args: &FilterArgs, factory: &dyn EncoderFactory) -> RunOptions {
    if factory.card().device == Device::Cpu.to_string() {
        return options;
    }
    RunOptions {
        model_batch_rows: args.model.batch_size.unwrap_or(GPU_BATCH) as usize,
        max_encoders: 1,
        ..options
    }
}

fn paths(args: &FilterArgs) -> Result<(Vec<String>, Option<std::path::PathBuf>)> {
    let mut inputs = args.paths.clone();
    if args.tells.dry_run && inputs.len() == 1 {
        return Ok((inputs, None));
    }
    match inputs.pop() {
        Some(output) if !inputs.is_empty() => Ok((inputs, Some(output.into()))),
        _ => Err(Error::usage("find the output: only one path was given")
            .hint("clip-filter in.parquet out.parquet, or --dry-run to write nothing")),
    }
}

fn keep(args: &SelectArgs) -> Keep {
    match (args.keep, args.keep_rows) {
        (Some(keep), _) => keep,
        (None, Some(rows)) => Keep::Rows(rows),
        (None, None) if args.min_score.is_some() || args.condition.is_some() => Keep::All,
        (None, None) => DEFAULT_KEEP,
    }
}

fn selection_is_default(args: &SelectArgs) -> bool {
    args.keep.is_none()
        && args.keep_rows.is_none()
        && args.min_score.is_none()
        && args.condition.is_none()
}

fn warnings(args: &FilterArgs, factory: &dyn EncoderFactory) -> Vec<String> {
    let mut warnings = Vec::new();
    if selection_is_default(&args.selects) {
        warnings.push("no selection was given: kept the best 0.3 of the good rows (--keep, --min-score, --where)".to_owned());
    }
    if factory.card().name == "bundled" {
        warnings.push(
            "scored with the small bundled model, not CLIP: for production pass --model".to_owned(),
        );
    }
    if factory.card().batch_dependent && !args.model.reproducible {
        warnings.push(
            "this model quantises activations per batch, so a score depends on the rows beside it: --reproducible scores row by row"
                .to_owned(),
        );
    }
    warnings
}

fn tell(args: &FilterArgs, options: &RunOptions, report: &RunReport) -> Result<()> {
    if args.tells.json {
        let json = serde_json::to_string(report)
            .map_err(|error| Error::internal("write the summary as JSON").source(error))?;
        print(&format!("{json}\n"));
    }
    if !args.tells.verbosity.quiet {
        say(&summary::text(report, options));
    }
    Ok(())
}
