//! The main job: `clip-filter IN OUT`.

use std::{process::ExitCode, time::Instant};

use super::{
    args::{FilterArgs, SelectArgs},
    loading::NamedModel,
    machine,
    online::{self, STDOUT},
    running::{Running, Scoring, exit_code, model_warnings, print_json, score_options},
    say, summary,
    tracing::Others,
};
use crate::{
    error::{Error, Result},
    pipeline::{self, RunOptions},
    select::Keep,
};

/// Share of good rows kept when no selection is given.
const DEFAULT_KEEP: Keep = Keep::Fraction {
    numerator: 3,
    denominator: 10,
};

pub(super) fn run(args: FilterArgs) -> Result<ExitCode> {
    if args.selects.online {
        return online::run(&args);
    }
    let start = Instant::now();
    let options = options(&args)?;
    let prepared = pipeline::prepare(&options)?;
    let model = NamedModel::new(&args.model, args.tells.verbosity.quiet);
    let running = Running {
        model: &model,
        verbosity: &args.tells.verbosity,
        trace: args.tells.trace.start(Others {
            overwrite: args.tells.overwrite,
            inputs: &options.scoring.inputs,
            outputs: &[
                options.output.as_deref().filter(|_| !options.dry_run),
                options.scoring.scores.as_deref(),
                options.rejects.as_deref(),
                options.select.changes.as_deref(),
            ],
        })?,
    };
    let mut report = running.run(|context| pipeline::run(&options, prepared, context))?;
    report.peak_rss_bytes = machine::peak_rss_bytes();
    report.seconds = start.elapsed().as_secs_f64();
    if selection_is_default(&args.selects) {
        report.warnings.push("no selection was given: kept the best 0.3 of the good rows (--keep, --min-score, --where)".to_owned());
    }
    report.warnings.extend(model_warnings(&report, &args.model));
    if args.tells.json {
        print_json(&report)?;
    }
    if !args.tells.verbosity.quiet {
        say(&summary::text(
            &report,
            &options,
            args.tells.verbosity.detail(),
        ));
    }
    Ok(exit_code(&report, args.bad_rows.max_bad_rows))
}

fn options(args: &FilterArgs) -> Result<RunOptions> {
    let (inputs, output) = paths(args)?;
    let adapted = args.labels.choice()?.is_given() || args.method.adapts();
    Ok(RunOptions {
        scoring: score_options(Scoring {
            inputs,
            scores: args.scores.clone(),
            store: &args.store,
            columns: &args.columns.names,
            labels: &args.labels,
            method: &args.method,
            derived: Vec::new(),
            model: &args.model,
            images: &args.bad_rows.images,
            resources: &args.resources,
        })?,
        output,
        dry_run: args.tells.dry_run,
        overwrite: args.tells.overwrite,
        keep: keep(&args.selects),
        select: args.chooses.options(adapted)?,
        min_score: args.selects.min_score,
        condition: args.selects.condition.clone(),
        on_error: args.bad_rows.on_error.into(),
        rejects: args.bad_rows.rejects.clone(),
        add: args.columns.add.clone(),
        prefix: args.columns.prefix.clone(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    })
}

fn paths(args: &FilterArgs) -> Result<(Vec<String>, Option<std::path::PathBuf>)> {
    let mut inputs = args.paths.clone();
    if inputs.last().is_some_and(|output| output == STDOUT) {
        return Err(Error::usage(
            "write to standard output: a result of two passes needs a place of its own",
        )
        .hint("--online filters in one pass, into standard output"));
    }
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
