//! Commands that a program calls: their options are the typed ones, by name, and read by the same code.
//!
//! What is not given comes from the environment twins and from a file that `config` names, as for what is typed. A call
//! prints nothing and touches nothing of the process: what a person should know goes to its [`Caller`].

mod reading;
mod rows;
mod scoring;

use std::{ffi::OsString, sync::Arc};

use clap::Command as Definition;
use serde::Serialize;

use super::{
    adapt,
    args::{Args, Command},
    config_file::CONFIG,
    filter, inspect, merge,
    option_value::{accepts, expected, nearest, option, options, said},
    report,
    running::too_many_bad,
    score, sql,
    typed::{self, Refused},
};
use crate::{
    error::{Error, Result},
    secrets,
    summary::RunSummary,
};

pub use super::host::Caller;
pub use super::option_value::Value;
pub use reading::{OpenShards, Pictures, ShardRows};
pub(super) use rows::RowSender;
pub use rows::{Next, RowStream};
pub use scoring::{Pending, Scorers, ScoringCall};

use super::host::Host;

/// One command with all that it was given.
///
/// # Example
/// ```
/// use clip_filter::cli::call::{Call, Caller, Value};
///
/// # fn main() -> clip_filter::error::Result<()> {
/// let options = [
///     ("model".to_owned(), Value::Text("mock".to_owned())),
///     ("keep".to_owned(), Value::Float("0.3".to_owned())),
///     ("dry_run".to_owned(), Value::Switch(true)),
/// ];
/// let call = Call::try_new(None, &["assets/sample.parquet".to_owned()], &options)?;
/// let answer = call.run(Caller::default())?;
/// assert!(answer.json.contains("\"rows_kept\":70"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Call {
    args: Args,
}

/// What a command has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// What the command prints with `--json`.
    pub json: String,
    /// It did all that it was to do, and more rows are bad than `--max-bad-rows` allows.
    pub too_many_bad_rows: bool,
}

impl Call {
    /// The command of this name, or the main job, with paths and options: names are those of the flags, `_` stands for
    /// `-`.
    ///
    /// # Errors
    /// When there is no such command or option, or what is given does not fit.
    pub fn try_new(
        command: Option<&str>,
        paths: &[String],
        options: &[(String, Value)],
    ) -> Result<Self> {
        let mut definition = typed::definition();
        definition.build();
        let defined = match command {
            None => &definition,
            Some(name) => definition
                .find_subcommand(name)
                .ok_or_else(|| Error::usage(format!("call '{name}': there is no such command")))?,
        };
        let mut words = vec![definition.get_name().to_owned()];
        words.extend(command.map(str::to_owned));
        for (name, value) in options {
            words.extend(of_option(&definition, defined, name, value)?);
        }
        words.push("--".to_owned());
        words.extend(paths.iter().cloned());
        let words = words.into_iter().map(OsString::from).collect();
        let args = typed::parse(words).map_err(refused)?;
        Ok(Self { args })
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// As the command: when an input, the model or the output fails, or the caller stops it.
    pub fn run(self, caller: Caller) -> Result<Answer> {
        let say = Arc::clone(&caller.say);
        let host = &Host::Program(caller);
        let args = &self.args.filter;
        match &self.args.command {
            None if args.passes.online => Err(elsewhere("--online")),
            None => {
                let summary = filter::done(args, host)?.reported(args)?;
                of_run(&summary, args.bad_rows.max_bad_rows)
            }
            Some(Command::Score(args)) => {
                of_run(&score::done(args, host)?.summary, args.max_bad_rows)
            }
            Some(Command::Merge(args)) => {
                let merged = merge::merged(args)?;
                merged.check()?;
                of_facts(&merged)
            }
            Some(Command::Report(args)) => of_facts(&report::reported(args, host)?),
            Some(Command::Explain(args)) => of_facts(&report::explained(args, host)?),
            Some(Command::Inspect(args)) => {
                let inspected = inspect::inspected(args, say)?;
                inspected.verdict?;
                of_facts(&inspected.facts)
            }
            Some(Command::Adapt(args)) => of_facts(&adapt::fitted(args, host)?),
            Some(Command::Sql(args)) if args.writes() => of_facts(&sql::written(args, host)?),
            Some(Command::Sql(_)) => Err(elsewhere("sql without --output")),
            Some(Command::Setup(_) | Command::Completions(_)) => Err(Error::usage(
                "call a command that is for a person at a terminal",
            )),
        }
    }

    /// Starts the command on a thread of its own, to be read from: the main job with `online`, or `sql`.
    ///
    /// # Errors
    /// When it is another command, or the thread cannot be started. All else is told by the stream.
    pub fn stream(self, caller: Caller) -> Result<RowStream> {
        match &self.args.command {
            None if self.args.filter.passes.online => {}
            Some(Command::Sql(args)) if !args.writes() => {}
            _ => {
                return Err(
                    Error::usage("read rows of a command that gives none").hint("online, or sql")
                );
            }
        }
        RowStream::start(self.args, caller)
    }
}

/// An option of a command, for a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionFacts {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// What it takes, in words.
    pub takes: String,
    /// What it does.
    pub help: String,
}

/// The options of a command, or of the main job.
pub fn options_of(command: Option<&str>) -> Vec<OptionFacts> {
    let mut definition = typed::definition();
    definition.build();
    let defined = match command {
        None => Some(&definition),
        Some(name) => definition.find_subcommand(name),
    };
    let facts = |arg: &clap::Arg| {
        Some(OptionFacts {
            name: arg.get_long()?.replace('-', "_"),
            takes: expected(arg),
            help: arg.get_help().map_or(String::new(), ToString::to_string),
        })
    };
    let options = defined.into_iter().flat_map(options);
    options.filter_map(facts).collect()
}

fn elsewhere(what: &str) -> Error {
    Error::usage(format!("run {what}: it gives rows")).hint("read them from a stream")
}

fn of_run(summary: &RunSummary, max_bad_rows: Option<u64>) -> Result<Answer> {
    Ok(Answer {
        too_many_bad_rows: too_many_bad(summary, max_bad_rows),
        ..of_facts(summary)?
    })
}

fn of_facts(facts: &impl Serialize) -> Result<Answer> {
    Ok(Answer {
        json: json(facts)?,
        too_many_bad_rows: false,
    })
}

fn json(facts: &impl Serialize) -> Result<String> {
    serde_json::to_string(facts)
        .map_err(|error| Error::internal("write the facts as JSON").source(error))
}

/// The words of one option.
fn of_option(
    definition: &Definition,
    command: &Definition,
    name: &str,
    value: &Value,
) -> Result<Vec<String>> {
    let flag = name.replace('_', "-");
    let refuse = |what: String| Error::usage(format!("take the option '{name}': {what}"));
    if let (CONFIG, Value::Text(file)) = (flag.as_str(), value) {
        return Ok(vec![format!("--{CONFIG}={file}")]);
    }
    let Some(arg) = option(command, &flag) else {
        let error = refuse(format!(
            "{} has none of this name",
            said(definition, command)
        ));
        let names = options(command).filter_map(clap::Arg::get_long);
        return Err(match nearest(&flag, names) {
            Some(close) => error.hint(close.replace('-', "_")),
            None => error,
        });
    };
    let Some(words) = value.words(arg) else {
        return Err(refuse("it is of the wrong type".to_owned())
            .with("expected", expected(arg))
            .with("found", value.name()));
    };
    match accepts(arg, &words) {
        Ok(()) => Ok(words),
        Err(reason) => {
            let given = words.iter().filter_map(|word| word.split_once('='));
            let given: Vec<&str> = given.map(|(_, value)| value).collect();
            let error = refuse("it does not take this value".to_owned()).with("reason", reason);
            Err(error.with("found", given.join(", ")))
        }
    }
}

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Config(error) => error,
        Refused::Typed(error, file) => {
            let text = secrets::in_message(&error.render().to_string());
            let lines = text.lines().take_while(|line| !line.is_empty());
            let said: Vec<&str> = lines.map(str::trim).collect();
            let said = said.join(" ");
            let said = said.strip_prefix("error: ").unwrap_or(&said);
            let error = Error::usage(format!("take the options: {said}"));
            match file {
                Some(file) => error.with("with those of", file.display()),
                None => error,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn call(command: Option<&str>, options: &[(&str, Value)]) -> Result<Call> {
        let options: Vec<_> = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        Call::try_new(
            command,
            &["in.parquet".to_owned(), "out".to_owned()],
            &options,
        )
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn an_option_is_named_as_its_flag_and_read_as_if_it_were_typed() {
        let args = call(
            None,
            &[
                ("keep", Value::Float("0.25".to_owned())),
                ("where", text("-x < 0")),
                ("dry_run", Value::Switch(true)),
                ("overwrite", Value::Switch(false)),
                ("verbose", Value::Whole(2)),
                ("add", Value::Many(vec![text("sas"), text("sds")])),
                ("memory_limit", Value::Whole(1 << 31)),
                ("num-workers", Value::Whole(3)),
            ],
        );
        let args = args.unwrap().args.filter;
        assert_eq!(args.paths, ["in.parquet", "out"]);
        assert_eq!(args.selects.keep, Some("0.25".parse().unwrap()));
        assert_eq!(args.condition.condition.as_deref(), Some("-x < 0"));
        assert!(args.tells.dry_run && !args.tells.overwrite);
        assert_eq!(args.columns.add.len(), 2);
        assert_eq!(args.resources.threads, Some(3));
        assert_eq!(args.resources.memory_limit.unwrap().0, 1 << 31);
        assert!(
            args.command.ends_with("-- in.parquet out"),
            "{}",
            args.command
        );
    }

    #[test]
    fn a_path_is_never_taken_for_a_command_or_an_option() {
        let paths = ["score".to_owned(), "--online".to_owned()];
        let args = Call::try_new(None, &paths, &[]).unwrap().args;
        assert!(args.command.is_none() && !args.filter.passes.online);
        assert_eq!(args.filter.paths, paths);
    }

    #[test]
    fn what_does_not_fit_is_a_usage_error_with_its_remedy() {
        let whole = Value::Whole;
        let cases: [(Option<&str>, &str, Value, &str); 6] = [
            (None, "kep", whole(1), "try: keep"),
            (None, "dry_run", whole(1), "expected: true or false"),
            (None, "keep", text("two"), "found: two"),
            (None, "where", whole(1), "found: a whole number"),
            (
                Some("score"),
                "keep",
                whole(1),
                "clip-filter score has none",
            ),
            (Some("scor"), "keep", whole(1), "no such command"),
        ];
        for (command, name, value, said) in cases {
            let error = call(command, &[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.report().contains(said), "{}", error.report());
        }
        let both = [("keep", text("0.3")), ("keep_rows", whole(3))];
        let error = call(None, &both).unwrap_err().report();
        assert!(error.contains("cannot be used with"), "{error}");
        assert!(!error.contains("Usage"), "{error}");
        let error = call(Some("score"), &[]).unwrap_err().report();
        assert!(error.contains("--scores <DIR>"), "{error}");
    }
}
