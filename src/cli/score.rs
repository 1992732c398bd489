//! `clip-filter score`.

use std::{process::ExitCode, time::Instant};

use super::{
    host::Host,
    loading,
    running::{Running, Scoring, exit_code, model_warnings, print_json, score_options},
    say,
    score_args::ScoreArgs,
    tracing::Others,
};
use crate::{
    error::Result,
    machine,
    pipeline::{self, ScoreOptions},
    summary::RunSummary,
};

pub(super) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let Done { summary, options } = done(args, &Host::Terminal)?;
    if args.json {
        print_json(&summary)?;
    }
    if !args.verbosity.quiet {
        let detail = args.verbosity.detail();
        say(&super::summary::scores(&summary, &options, detail));
    }
    Ok(exit_code(&summary, args.max_bad_rows))
}

/// A store that has been filled.
pub(super) struct Done {
    pub(super) summary: RunSummary,
    options: ScoreOptions,
}

/// Fills the store.
pub(super) fn done(args: &ScoreArgs, host: &Host) -> Result<Done> {
    let start = Instant::now();
    let mut options = score_options(Scoring {
        inputs: args
            .lists
            .inputs()
            .chain(args.inputs.iter().cloned())
            .collect(),
        reads: &args.reads,
        uids: &args.uids,
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
    let running = Running {
        model: loading::model(&args.model, &args.verbosity, host),
        verbosity: &args.verbosity,
        trace: args.trace.start(Others {
            overwrite: args.overwrite,
            inputs: &options.inputs,
            outputs: &[args.scores.as_deref()],
        })?,
        host,
    };
    let mut summary = running.run(|context| pipeline::score(&options, context))?;
    summary.peak_rss_bytes = machine::peak_rss_bytes();
    summary.seconds = start.elapsed().as_secs_f64();
    let warnings = model_warnings(&summary, &args.model);
    summary.warnings.extend(warnings);
    Ok(Done { summary, options })
}
