//! The command line: typed text to options, options to a run, a run to a summary and an exit code.

mod adapt;
mod args;
mod filter;
mod inspect;
mod label_args;
mod lines;
mod loading;
mod machine;
mod method_args;
mod online;
mod pipe;
mod plain;
mod progress;
mod report;
mod running;
mod score;
mod score_args;
mod score_names;
mod sql;
mod summary;
mod surroundings;
mod tracing;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use crate::error::{Error, ErrorKind};

/// 3: the run finished, with more bad rows than `--max-bad-rows`.
const TOO_MANY_BAD_ROWS: u8 = 3;
/// 130: interrupted.
const INTERRUPTED: u8 = 130;

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    surroundings::tell_libraries();
    let args = args::Args::parse();
    let quiet = match &args.command {
        Some(args::Command::Sql(sql)) => sql.verbosity.quiet,
        Some(args::Command::Adapt(adapt)) => adapt.verbosity.quiet,
        Some(args::Command::Score(score)) => score.verbosity.quiet,
        Some(args::Command::Inspect(inspect)) => inspect.quiet,
        Some(args::Command::Report(report)) => report.case.verbosity.quiet,
        Some(args::Command::Explain(explain)) => explain.case.verbosity.quiet,
        _ => args.filter.tells.verbosity.quiet,
    };
    let result = match args.command {
        Some(args::Command::Setup(setup)) => loading::setup(&setup),
        Some(args::Command::Adapt(args)) => adapt::run(&args),
        Some(args::Command::Score(args)) => score::run(&args),
        Some(args::Command::Sql(sql)) => sql::run(&sql),
        Some(args::Command::Inspect(inspect)) => inspect::run(&inspect),
        Some(args::Command::Report(report)) => report::report(&report),
        Some(args::Command::Explain(explain)) => report::explain(&explain),
        None => filter::run(args.filter),
    };
    result.unwrap_or_else(|error| {
        say_error(&error, quiet);
        exit_code(&error)
    })
}

fn say_error(error: &Error, quiet: bool) {
    say(&format!("error: {}", error.report()));
    if error.kind() == ErrorKind::Internal && !quiet {
        say("this is a defect of clip-filter; please report it with the command line");
    }
}

fn exit_code(error: &Error) -> ExitCode {
    ExitCode::from(match error.kind() {
        ErrorKind::Usage => 2,
        ErrorKind::Interrupted => INTERRUPTED,
        _ => 1,
    })
}

/// A line on stderr.
fn say(line: &str) {
    // There is nowhere to report that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text on stdout; a closed pipe is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
