//! `clip-filter report`, `clip-filter explain` and `--report`.

mod args;
mod cards;
mod explained;
mod page;
mod plot;
mod text;

use std::{io::Write, path::Path, process::ExitCode};

pub(super) use args::{ExplainArgs, ReportArgs};

use super::{
    filter::{Selecting, select_options},
    host::Host,
    loading, print,
    running::{Running, Scoring, print_json, score_options},
    stores,
};
use crate::{
    error::{Error, Result},
    pipeline::{self, ExplainOptions, ReportOptions, RunOptions, WhichRow},
    report::{Explanation, Report, is_row_reference},
    sink::{Destination, Existing, OutputPath, Owner, Placement, StagedFile},
    summary::{RunSummary, told_of_nan},
};
use args::CaseArgs;

/// `clip-filter report`.
pub(super) fn report(args: &ReportArgs) -> Result<ExitCode> {
    let case = &args.case;
    if args.output.is_none() && !args.text && !case.json {
        return Err(Error::usage("write the report: it is not said where to")
            .hint("-o report.html, --text or --json"));
    }
    let report = reported(args, &Host::Terminal)?;
    if case.json {
        print_json(&report)?;
    }
    if args.text {
        print(&text::text(&report));
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at a selection, and writes the page that was asked for.
pub(super) fn reported(args: &ReportArgs, host: &Host) -> Result<Report> {
    let case = &args.case;
    let options = options(case, args.paths.clone(), args.condition.condition.clone())?;
    if let Some(path) = &args.output {
        check(path, &options.run, args.overwrite)?;
    }
    let report = running(case, host).run(|context| pipeline::report(&options, context))?;
    if let Some(path) = &args.output {
        write(path, &report)?;
        let line = format!("report: {}", path.display());
        host.say(&case.verbosity, &line);
    }
    Ok(report)
}

/// `clip-filter explain`.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode> {
    let explanation = explained(args, &Host::Terminal)?;
    if args.case.json {
        print_json(&explanation)?;
    } else {
        print(&explained::text(&explanation));
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what decided about the row that was named.
pub(super) fn explained(args: &ExplainArgs, host: &Host) -> Result<Explanation> {
    let case = &args.case;
    let mut paths = args.paths.clone();
    let row = match &args.row {
        Some(condition) => WhichRow::Where(condition.clone()),
        None if paths.first().is_some_and(|path| is_row_reference(path)) => {
            WhichRow::Reference(paths.remove(0))
        }
        None => {
            return Err(Error::usage("explain a row: none was named").hint(
                "clip-filter explain SHARD:ROW --scores DIR, or --where \"key = '000000017'\"",
            ));
        }
    };
    if paths.is_empty() && case.scores.is_none() {
        // The shard alone says where the row is, not what was decided about it.
        return Err(Error::usage("explain a row: what it is in was not named")
            .hint("--scores DIR, or an output of clip-filter after the row"));
    }
    let options = ExplainOptions::new(options(case, paths, args.condition.clone())?, row);
    running(case, host).run(|context| pipeline::explain(&options, context))
}

fn running<'a>(case: &'a CaseArgs, host: &'a Host) -> Running<'a> {
    Running {
        model: loading::model(&case.model, &case.verbosity, host),
        verbosity: &case.verbosity,
        trace: None,
        host,
    }
}

/// Refuses the page of a run before the run begins.
pub(super) fn check_file(path: &Path, options: &RunOptions) -> Result<()> {
    let page = OutputPath::from(path);
    let scores = options.scoring.scores.as_ref().map(OutputPath::from);
    let written = [&options.output, &options.rejects, &options.changes, &scores];
    let mut written = written.into_iter().flatten();
    if written.any(|other| page.is_within(other)) {
        return Err(
            Error::usage("write the report: its path is that of another file of the run")
                .with("report", path.display())
                .hint("give the report a name of its own, as in report.html"),
        );
    }
    check(path, options, options.overwrite)
}

/// Refuses a page that cannot be written, or must not be.
fn check(path: &Path, options: &RunOptions, overwrite: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Error::usage("write the report: its path is a directory")
            .with("report", path.display())
            .hint("name a file in it, as in report.html"));
    }
    // What the inputs are is said where they are read.
    let scoring = &options.scoring;
    let inputs = scoring.places.expand(&scoring.inputs).unwrap_or_default();
    let inputs: Vec<OutputPath> = inputs.iter().map(OutputPath::from).collect();
    let destination = Destination::file(path);
    let page = Placement {
        existing: Existing::when(overwrite),
        ..placement(&destination)
    };
    let places = stores::output_places();
    places.check(&page, &inputs)?;
    // A directory that cannot be written to is found out now, not after hours.
    StagedFile::create(&places, &page).map(drop)
}

/// A page that was found to have a place.
fn placement(destination: &Destination) -> Placement<'_> {
    Placement {
        destination,
        existing: Existing::Replaced,
        owner: Owner::Process,
    }
}

/// Writes the page of a run that has succeeded: what goes wrong with it does not undo the run.
pub(super) fn write_of_run(
    path: &Path,
    reported: Option<Result<Report>>,
    summary: &RunSummary,
) -> Result<()> {
    let Some(reported) = reported else {
        return Err(Error::output("write the report: the run was finished from what a killed one had left, which is no longer looked at")
            .with("report", path.display())
            .hint("clip-filter report on the output"));
    };
    let written = reported.and_then(|mut report| {
        report.run = Some(summary.clone());
        report.notes.extend(summary.warnings.iter().cloned());
        report.notes.extend(told_of_nan(summary.rows_nan));
        write(path, &report)
    });
    written.map_err(|error| error.with("the run itself", "succeeded, its output is in place"))
}

fn write(path: &Path, report: &Report) -> Result<()> {
    let page = page::html(report)?;
    let destination = Destination::file(path);
    let mut file = StagedFile::create(&stores::output_places(), &placement(&destination))?;
    file.write_all(page.as_bytes()).map_err(|error| {
        Error::output("write the report")
            .with("report", path.display())
            .source(error)
            .hint("free space there, or write elsewhere")
    })?;
    file.finish()
}

/// What a report or an explanation looks at; nothing of it is written.
fn options(
    args: &CaseArgs,
    inputs: Vec<String>,
    condition: Option<String>,
) -> Result<ReportOptions> {
    let labelled = args.labels.choice()?.is_given();
    let selection_given = args.selects.is_given() || args.chooses.is_given() || condition.is_some();
    let scoring = score_options(Scoring {
        inputs,
        reads: &args.reads,
        uids: &args.uids,
        scores: args.scores.clone(),
        store: &args.store,
        columns: &args.columns,
        labels: &args.labels,
        method: &args.method,
        derived: Vec::new(),
        model: &args.model,
        images: &args.images,
        resources: &args.resources,
    })?;
    let mut options = ReportOptions::new(scoring).with_select(select_options(&Selecting {
        selects: &args.selects,
        chooses: &args.chooses,
        condition: condition.as_deref(),
        labelled,
    })?);
    options.selection_given = selection_given;
    options.images = args.images.choice();
    options.run.command.clone_from(&args.command);
    Ok(options)
}
