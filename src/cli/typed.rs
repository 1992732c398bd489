//! What was typed, with what the environment and a configuration file add to it.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{
    Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Id, builder::Resettable,
    parser::ValueSource, value_parser,
};

use super::{
    args::Args,
    config_file::{CONFIG, ConfigFile},
    share_args::without_share,
};
use crate::{error::Error, secrets};

/// Why nothing runs.
pub(super) enum Refused {
    /// By the definition of the command line; help and version, too. With the file that was read.
    Typed(Box<clap::Error>, Option<PathBuf>),
    /// The configuration.
    Config(Error),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::Typed(Box::new(error), None)
    }
}

/// The whole command line: what can be typed, and what a file and the environment can say.
pub(super) fn definition() -> Command {
    Args::command().arg(
        Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .env("CLIP_FILTER_CONFIG")
            .global(true)
            .value_parser(value_parser!(PathBuf))
            .help(
                "Take options from this TOML file too: keep = 0.2 at the top for the main job, a table such as [score] \
                 for a command; a flag wins over the environment, the environment over the file",
            ),
    )
}

/// Reads the words of a command line, the program's name first.
///
/// An option comes from the first that gives it: flag, environment, file. What cannot go together with an option from
/// a source before it is set aside, so that a flag also wins over its opposite.
///
/// # Errors
/// When nothing is to run: help was asked for, or what was given does not fit.
pub(super) fn parse(words: Vec<OsString>) -> Result<Args, Refused> {
    let words = config_last(of_tables(words));
    // What is missing here may be in the file.
    let first = definition()
        .ignore_errors(true)
        .try_get_matches_from(&words)?;
    let (name, matches) = match first.subcommand() {
        Some((name, matches)) => (Some(name), matches),
        None => (None, &first),
    };
    let mut built = definition();
    built.build();
    let path = matches.get_one::<PathBuf>(CONFIG);
    let file = path.map(|path| ConfigFile::read(path, &built)).transpose();
    let file = file.map_err(Refused::Config)?;
    let subcommand = name.and_then(|name| built.find_subcommand(name));
    let given = Given {
        command: subcommand.unwrap_or(&built),
        matches,
    };
    let settings = file.iter().flat_map(|file| file.of(name));
    let more: Vec<OsString> = settings
        .filter(|setting| given.leaves(&setting.id))
        .flat_map(|setting| setting.words.iter().map(OsString::from))
        .collect();
    let words = with_more(words, more);
    let mut definition = without_environment(definition(), name, &given.overruled());
    let refuse = |error| Refused::Typed(Box::new(error), file.map(|file| file.path));
    let read = definition.try_get_matches_from_mut(&words);
    let args = read.and_then(|matches| Args::from_arg_matches(&matches));
    let args = args.map_err(|error| refuse(error.format(&mut definition)))?;
    Ok(args.said(joined(&without_share(&words))))
}

/// The words where `--version 3` is a table's; alone it asks for the program's.
fn of_tables(mut words: Vec<OsString>) -> Vec<OsString> {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    for at in 0..words.len() {
        let next = words.get(at + 1).and_then(|next| next.to_str());
        let renamed = match words[at].to_str() {
            Some("--") => break,
            Some("--version") if next.is_some_and(is_number) => "--table-version".into(),
            Some(word) => match word.strip_prefix("--version=").filter(|it| is_number(it)) {
                Some(number) => format!("--table-version={number}").into(),
                None => continue,
            },
            None => continue,
        };
        words[at] = renamed;
    }
    words
}

/// What flags and the environment give to one command.
struct Given<'a> {
    command: &'a Command,
    matches: &'a ArgMatches,
}

impl Given<'_> {
    fn is(&self, id: &Id, source: ValueSource) -> bool {
        self.matches.value_source(id.as_str()) == Some(source)
    }

    /// True if a file may give the option.
    fn leaves(&self, id: &Id) -> bool {
        let sources = [ValueSource::CommandLine, ValueSource::EnvVariable];
        sources
            .into_iter()
            .all(|source| !self.is(id, source) && !self.excludes(id, source))
    }

    /// Options that the environment gives in vain.
    fn overruled(&self) -> Vec<Id> {
        let ids = self.command.get_arguments().map(Arg::get_id);
        ids.filter(|id| self.is(id, ValueSource::EnvVariable))
            .filter(|id| self.excludes(id, ValueSource::CommandLine))
            .cloned()
            .collect()
    }

    /// True if something from `source` cannot go together with the option.
    fn excludes(&self, id: &Id, source: ValueSource) -> bool {
        self.command.get_arguments().any(|other| {
            self.is(other.get_id(), source)
                && (self.names(other.get_id(), id) || self.names(id, other.get_id()))
        })
    }

    /// True if the definition of `one` says that it conflicts with `other`.
    fn names(&self, one: &Id, other: &Id) -> bool {
        let mut args = self.command.get_arguments();
        args.find(|arg| arg.get_id() == one).is_some_and(|arg| {
            let conflicts = self.command.get_arg_conflicts_with(arg);
            conflicts.iter().any(|arg| arg.get_id() == other)
        })
    }
}

/// `words` with `--config FILE` after all others: before a command it would be an option of the main job, which takes
/// no command.
fn config_last(words: Vec<OsString>) -> Vec<OsString> {
    let (mut others, mut config) = (Vec::new(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            let rest = std::iter::once(word).chain(words);
            return others.into_iter().chain(config).chain(rest).collect();
        }
        if word == OsStr::new("--config") {
            config.push(word);
            config.extend(words.next());
        } else if word.to_string_lossy().starts_with("--config=") {
            config.push(word);
        } else {
            others.push(word);
        }
    }
    others.into_iter().chain(config).collect()
}

/// `more` after the options that were typed.
fn with_more(mut words: Vec<OsString>, more: Vec<OsString>) -> Vec<OsString> {
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    words.splice(end..end, more);
    words
}

fn without_environment(definition: Command, name: Option<&str>, overruled: &[Id]) -> Command {
    let clear = |command: Command| {
        command.mut_args(|arg| match overruled.contains(arg.get_id()) {
            true => arg.env(Resettable::Reset),
            false => arg,
        })
    };
    match name {
        Some(name) => definition.mut_subcommand(name, clear),
        None => clear(definition),
    }
}

/// The words as an output may tell them.
fn joined(words: &[OsString]) -> String {
    secrets::in_words(words.iter().map(|word| word.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Command as Typed;

    /// Twins of another name: the same setting is called otherwise where it is made.
    const OTHER_TWINS: [(&str, &str, &str); 4] = [
        // What an output is made of; that of a query's result is --format, too.
        ("clip-filter", "format", "CLIP_FILTER_OUTPUT_FORMAT"),
        // The page that a run writes with --report.
        ("report", "output", "CLIP_FILTER_REPORT"),
        // The --where of the run that is explained ...
        ("explain", "condition", "CLIP_FILTER_WHERE"),
        // ... so that the row has another.
        ("explain", "where", "CLIP_FILTER_EXPLAIN_WHERE"),
    ];

    fn commands() -> Vec<Command> {
        let mut definition = definition();
        definition.build();
        let below: Vec<Command> = definition.get_subcommands().cloned().collect();
        let below = below.into_iter().filter(|one| one.get_name() != "help");
        std::iter::once(definition.clone()).chain(below).collect()
    }

    #[test]
    fn every_option_has_its_environment_twin() {
        let mut seen = 0;
        for command in commands() {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let long = arg.get_long().unwrap();
                if matches!(long, "help" | "version") {
                    continue;
                }
                let name = long.to_uppercase().replace('-', "_");
                let other = OTHER_TWINS
                    .iter()
                    .find(|(other, option, _)| *other == command.get_name() && *option == long);
                let twin = other.map_or(format!("CLIP_FILTER_{name}"), |(.., twin)| {
                    (*twin).to_owned()
                });
                let found = arg.get_env().map(OsStr::to_string_lossy);
                assert_eq!(
                    found.as_deref(),
                    Some(twin.as_str()),
                    "{} --{long}",
                    command.get_name()
                );
                seen += 1;
            }
        }
        assert!(seen > 100, "the walk finds options: {seen}");
    }

    #[test]
    fn a_file_can_give_every_option() {
        for command in commands() {
            let given: Vec<&str> = super::super::option_value::options(&command)
                .filter_map(Arg::get_long)
                .collect();
            let typed = command.get_arguments().filter_map(Arg::get_long);
            let left: Vec<&str> = typed.filter(|name| !given.contains(name)).collect();
            let other = ["help", "version", CONFIG];
            assert!(left.iter().all(|name| other.contains(name)), "{left:?}");
        }
    }

    #[test]
    fn no_command_has_commands_of_its_own() {
        let nested = |one: &Command| one.get_subcommands().next().is_some();
        assert!(!commands().iter().skip(1).any(nested));
    }

    fn parsed(file: &str, line: &str) -> Result<Args, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.toml");
        std::fs::write(&path, file).unwrap();
        let words = std::iter::once("clip-filter").chain(line.split_whitespace());
        let words = words.map(|word| word.replace("FILE", path.to_str().unwrap()));
        parse(words.map(OsString::from).collect()).map_err(|refused| match refused {
            Refused::Typed(error, file) => format!("{error} {}", file.is_some()),
            Refused::Config(error) => error.report(),
        })
    }

    const FILE: &str = r#"
keep = 0.25
prompt = ["a photo of a {}", "a drawing, of a {}"]
dry-run = true
overwrite = false
verbose = 2
min_score = -0.5
num-workers = 3
memory-limit = 2_147_483_648

[score]
scores = "scores/"
only-new = true
add = ["sas", "sds"]

[sql]
input = ["a=x.parquet", "b=y.parquet"]
param = "n=10"
recipe = "list"
"#;

    #[test]
    fn a_file_gives_numbers_text_switches_counts_and_lists() {
        let args = parsed(FILE, "in.parquet --config FILE").unwrap().filter;
        assert_eq!(args.selects.keep, Some("0.25".parse().unwrap()));
        assert_eq!(args.selects.min_score, Some(-0.5));
        assert_eq!(
            args.labels.prompt,
            ["a photo of a {}", "a drawing, of a {}"]
        );
        assert!(args.tells.dry_run && !args.tells.overwrite);
        assert_eq!(args.tells.verbosity.verbose, 2);
        assert_eq!(args.resources.threads, Some(3));
        assert_eq!(args.resources.memory_limit.unwrap().0, 1 << 31);
        assert!(
            args.command.ends_with("--verbose --verbose"),
            "{}",
            args.command
        );
    }

    #[test]
    fn a_command_takes_its_table_wherever_the_file_is_named() {
        for line in [
            "--config FILE score in.parquet",
            "score --config=FILE in.parquet",
        ] {
            match parsed(FILE, line).unwrap().command {
                Some(Typed::Score(args)) => {
                    assert_eq!(args.scores, Some(PathBuf::from("scores/")));
                    assert!(args.store.only_new);
                    assert_eq!(args.add.len(), 2);
                    assert_eq!(args.resources.threads, None);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_typed_sets_the_file_aside_with_all_that_conflicts() {
        let args = parsed(
            FILE,
            "in.parquet --config FILE --keep-rows 5 --prompt {} -q",
        );
        let args = args.unwrap().filter;
        assert_eq!((args.selects.keep, args.selects.keep_rows), (None, Some(5)));
        assert_eq!(args.labels.prompt, ["{}"]);
        let verbosity = args.tells.verbosity;
        assert!(verbosity.quiet && verbosity.verbose == 0);
        match parsed(FILE, "sql --config FILE -- --x").unwrap().command {
            Some(Typed::Sql(args)) => {
                assert_eq!(args.query.as_deref(), Some("--x"));
                assert_eq!(args.tables.recipe, None);
                assert_eq!(args.tables.inputs.len(), 2);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_conflicts_within_a_file_is_refused() {
        let refused = parsed("keep = 0.2\nkeep-rows = 3", "a b --config FILE").unwrap_err();
        assert!(refused.contains("cannot be used with"), "{refused}");
        assert!(refused.ends_with("true"), "the file is named: {refused}");
    }
}
