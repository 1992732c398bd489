//! The main job: `clip-filter IN OUT`.

use std::{path::Path, process::ExitCode, time::Instant};

use super::{
    args::{FilterArgs, SelectArgs},
    host::Host,
    loading,
    method_args::ChooseArgs,
    online::{self, STDOUT},
    report,
    running::{Running, Scoring, exit_code, model_warnings, print_json, score_options},
    say, stores,
    tracing::Others,
};
use crate::{
    error::{Error, Result},
    machine,
    pipeline::{self, RunOptions},
    report::{Report, SHOWN_SCORES},
    select::{Keep, SelectOptions},
    sink::{OutputPath, PartitionColumns},
    summary::RunSummary,
};

/// Share of good rows kept when no selection is given.
const DEFAULT_KEEP: Keep = Keep::Fraction {
    numerator: 3,
    denominator: 10,
};

pub(super) fn run(args: &FilterArgs) -> Result<ExitCode> {
    if args.passes.online {
        return online::run(args);
    }
    let done = done(args, &Host::Terminal)?;
    let quiet = args.tells.verbosity.quiet;
    if args.tells.json {
        print_json(&done.summary)?;
    }
    if !quiet {
        let detail = args.tells.verbosity.detail();
        say(&super::summary::text(&done.summary, &done.options, detail));
    }
    let summary = done.reported(args)?;
    if let (Some(path), false) = (&args.tells.report, quiet) {
        say(&format!("  report     {}", path.display()));
    }
    Ok(exit_code(&summary, args.bad_rows.max_bad_rows))
}

/// A run that has succeeded, of which a report is still to be written.
pub(super) struct Done {
    summary: RunSummary,
    options: RunOptions,
    report: Option<Result<Report>>,
}

impl Done {
    /// The summary, once the report that was asked for is written.
    pub(super) fn reported(self, args: &FilterArgs) -> Result<RunSummary> {
        if let Some(path) = &args.tells.report {
            report::write_of_run(path, self.report, &self.summary)?;
        }
        Ok(self.summary)
    }
}

/// Runs in two passes.
pub(super) fn done(args: &FilterArgs, host: &Host) -> Result<Done> {
    let start = Instant::now();
    let options = options(args)?;
    if let Some(path) = &args.tells.report {
        report::check_file(path, &options)?;
    }
    let prepared = pipeline::prepare(&options)?;
    let running = Running {
        model: loading::model(&args.model, &args.tells.verbosity, host),
        verbosity: &args.tells.verbosity,
        trace: args.tells.trace.start(Others {
            overwrite: args.tells.overwrite,
            inputs: &options.scoring.inputs,
            outputs: &[
                written(options.output.as_ref().filter(|_| !options.dry_run)),
                args.scores.as_deref(),
                written(options.rejects.as_ref()),
                written(options.changes.as_ref()),
                written(options.uids_out.as_ref()),
                args.tells.report.as_deref(),
            ],
        })?,
        host,
    };
    let (mut summary, report) = running.run(async |context| match args.tells.report {
        Some(_) => pipeline::run_reported(&options, prepared, context).await,
        None => Ok((pipeline::run(&options, prepared, context).await?, None)),
    })?;
    summary.peak_rss_bytes = machine::peak_rss_bytes();
    summary.seconds = start.elapsed().as_secs_f64();
    if selection_is_default(args) {
        summary.warnings.push("no selection was given: kept the best 0.3 of the good rows (--keep, --min-score, --where)".to_owned());
    }
    summary
        .warnings
        .extend(model_warnings(&summary, &args.model));
    Ok(Done {
        summary,
        options,
        report,
    })
}

fn options(args: &FilterArgs) -> Result<RunOptions> {
    let (inputs, output) = paths(args)?;
    let labelled = args.labels.choice()?.is_given();
    let scoring = score_options(Scoring {
        scores: args.scores.clone(),
        ..Scoring::without_store(args, inputs)
    })?;
    let select = select_options(&Selecting {
        selects: &args.selects,
        chooses: &args.chooses,
        condition: args.condition.condition.as_deref(),
        labelled,
    })?;
    let mut options = RunOptions::deciding(scoring)
        .with_select(select)
        .with_on_error(args.bad_rows.on_error.into())
        .with_added(args.columns.add.iter().copied())
        .with_prefix(args.columns.prefix.as_str())
        .with_command(args.command.as_str());
    options.format = args.tells.format.of(output.as_deref())?;
    options.output = output.map(OutputPath::from);
    options.places = stores::output_places();
    options.dry_run = args.tells.dry_run;
    options.overwrite = args.tells.overwrite;
    options.share = args.share.share()?;
    options.partition_by.clone_from(&args.tells.partition_by);
    options.partition_columns = PartitionColumns::when(args.tells.partition_in_files);
    options.changes = args.remembers.changes.clone().map(OutputPath::from);
    options.uids_out = args.tells.format.uids_out.clone().map(OutputPath::from);
    options.rejects = args.bad_rows.rejects.clone().map(OutputPath::from);
    if let (Some(_), None) = (&args.tells.report, &args.scores) {
        // A store that others use too keeps what it has; the report shows that.
        options.reported = SHOWN_SCORES.to_vec();
    }
    #[cfg(feature = "delta")]
    let options = args.table.applied(options, args.tells.format.is_delta())?;
    Ok(options)
}

/// Where an output is that others must not be written over.
fn written(output: Option<&OutputPath>) -> Option<&Path> {
    output.and_then(OutputPath::local_path)
}

fn paths(args: &FilterArgs) -> Result<(Vec<String>, Option<String>)> {
    let mut inputs: Vec<String> = args
        .lists
        .inputs()
        .chain(args.paths.iter().cloned())
        .collect();
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
        Some(output) if !inputs.is_empty() && !args.paths.is_empty() => Ok((inputs, Some(output))),
        _ => Err(Error::usage("find the output: only one path was given")
            .hint("clip-filter in.parquet out.parquet, or --dry-run to write nothing")),
    }
}

/// What was said of the rows that stay.
pub(super) struct Selecting<'a> {
    pub(super) selects: &'a SelectArgs,
    pub(super) chooses: &'a ChooseArgs,
    pub(super) condition: Option<&'a str>,
    /// Labels were given.
    pub(super) labelled: bool,
}

pub(super) fn select_options(said: &Selecting<'_>) -> Result<SelectOptions> {
    let mut options = said.chooses.options(said.labelled)?;
    options.keep = keep(said.selects, said.condition);
    options.min_score = said.selects.min_score;
    options.condition = said.condition.map(str::to_owned);
    Ok(options)
}

/// The budget that was asked for, beside a condition.
fn keep(args: &SelectArgs, condition: Option<&str>) -> Keep {
    match (args.keep, args.keep_rows) {
        (Some(keep), _) => keep,
        (None, Some(rows)) => Keep::Rows(rows),
        (None, None) if args.min_score.is_some() || condition.is_some() => Keep::All,
        (None, None) => DEFAULT_KEEP,
    }
}

fn selection_is_default(args: &FilterArgs) -> bool {
    !args.selects.is_given() && args.condition.condition.is_none()
}

impl SelectArgs {
    /// True if a budget or a threshold was asked for.
    pub(super) fn is_given(&self) -> bool {
        self.keep.is_some() || self.keep_rows.is_some() || self.min_score.is_some()
    }
}
