//! `clip-filter score`.

use std::{process::ExitCode, time::Instant};

use super::{
    loading,
    running::{Running, Scoring, exit_code, model_warnings, print_json, score_options},
    say,
    score_args::ScoreArgs,
    summary,
    tracing::Others,
};
use crate::{error::Result, machine, pipeline};

pub(super) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let mut options = score_options(Scoring {
        inputs: args
            .lists
            .inputs()
            .chain(args.inputs.iter().cloned())
            .collect(),
        reads: &args.reads,
        scores: args.scores.clone(),
        store: &args.store,
        columns: &args.columns,
        labels: &args.labels,
        method: &args.method,
        derived: args.add.clone(),
        model: &args.model,
        images: &args.images,
        resources: &args.resources,
    })?;
    options.share = args.share.share()?;
    let model = loading::model(&args.model, &args.verbosity);
    let running = Running {
        model,
        verbosity: &args.verbosity,
        trace: args.trace.start(Others {
            overwrite: args.overwrite,
            inputs: &options.inputs,
            outputs: &[args.scores.as_deref()],
        })?,
    };
    let mut report = running.run(|context| pipeline::score(&options, context))?;
    report.peak_rss_bytes = machine::peak_rss_bytes();
    report.seconds = start.elapsed().as_secs_f64();
    report.warnings.extend(model_warnings(&report, &args.model));
    if args.json {
        print_json(&report)?;
    }
    if !args.verbosity.quiet {
        say(&summary::scores(&report, &options, args.verbosity.detail()));
    }
    Ok(exit_code(&report, args.max_bad_rows))
}
