//! The command line: typed text to options, options to a run, a run to a summary and an exit code.

mod adapt;
mod args;
pub mod call;
mod completions;
mod config_file;
mod filter;
mod format_args;
mod host;
mod image_args;
mod input_args;
mod inspect;
mod label_args;
mod lines;
mod loading;
mod merge;
mod method_args;
mod online;
mod option_value;
mod pipe;
mod plain;
mod progress;
mod report;
mod running;
mod score;
mod score_args;
mod score_names;
mod share_args;
mod sql;
mod stores;
mod summary;
mod surroundings;
#[cfg(feature = "delta")]
mod table_args;
mod tell_args;
mod tracing;
mod typed;
mod version;

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::error::ErrorKind as TypedErrorKind;

use self::typed::Refused;
use crate::{
    error::{Error, ErrorKind},
    secrets,
};

/// 3: the run finished, with more bad rows than `--max-bad-rows`.
const TOO_MANY_BAD_ROWS: u8 = 3;
/// 130: interrupted.
const INTERRUPTED: u8 = 130;

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    surroundings::tell_libraries();
    run(std::env::args_os().collect())
}

/// Runs a command line, the program's name first, as [`main`] does, but for ONNX Runtime's telemetry: only who has started
/// the process can say something of that, see [the crate](crate).
pub fn run(words: Vec<OsString>) -> ExitCode {
    surroundings::print_panics_that_nothing_contains();
    let for_programs = words.iter().any(|word| word == "--json");
    let args = match typed::parse(words) {
        Ok(args) => args,
        Err(refused) => return refuse(refused, for_programs),
    };
    let quiet = match &args.command {
        Some(args::Command::Sql(sql)) => sql.verbosity.quiet,
        Some(args::Command::Adapt(adapt)) => adapt.verbosity.quiet,
        Some(args::Command::Score(score)) => score.verbosity.quiet,
        Some(args::Command::Merge(merge)) => merge.quiet,
        Some(args::Command::Inspect(inspect)) => inspect.quiet,
        Some(args::Command::Report(report)) => report.case.verbosity.quiet,
        Some(args::Command::Explain(explain)) => explain.case.verbosity.quiet,
        _ => args.filter.tells.verbosity.quiet,
    };
    let result = match args.command {
        Some(args::Command::Setup(setup)) => loading::setup(&setup),
        Some(args::Command::Adapt(args)) => adapt::run(&args),
        Some(args::Command::Score(args)) => score::run(&args),
        Some(args::Command::Merge(args)) => merge::run(&args),
        Some(args::Command::Sql(sql)) => sql::run(&sql),
        Some(args::Command::Inspect(inspect)) => inspect::run(&inspect),
        Some(args::Command::Report(report)) => report::report(&report),
        Some(args::Command::Explain(explain)) => report::explain(&explain),
        Some(args::Command::Completions(args)) => {
            completions::run(&args);
            Ok(ExitCode::SUCCESS)
        }
        None => filter::run(&args.filter),
    };
    result.unwrap_or_else(|error| {
        say_error(&error, quiet);
        exit_code(&error)
    })
}

/// Says why nothing runs, or what was asked for instead of a run.
fn refuse(refused: Refused, for_programs: bool) -> ExitCode {
    let (error, file) = match refused {
        Refused::Typed(error, file) => (error, file),
        Refused::Config(error) => {
            say_error(&error, false);
            return exit_code(&error);
        }
    };
    if error.kind() == TypedErrorKind::DisplayVersion && for_programs {
        return match version::json() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => exit_code(&error),
        };
    }
    print_typed(&error);
    if let Some(file) = file {
        say(&format!("options of {} were used, too", file.display()));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What clap says, in its colours unless something typed has to be hidden.
fn print_typed(error: &clap::Error) {
    let text = error.render().to_string();
    let shown = secrets::in_message(&text);
    // There is nowhere to report that a stream is closed.
    let _ = match (shown == text, error.use_stderr()) {
        (true, _) => error.print(),
        (false, true) => std::io::stderr().write_all(shown.as_bytes()),
        (false, false) => std::io::stdout().write_all(shown.as_bytes()),
    };
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

/// A line on stderr, its secrets hidden.
fn say(line: &str) {
    let line = secrets::in_text(line);
    // There is nowhere to report that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text on stdout; a closed pipe is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
