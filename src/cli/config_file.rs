//! `--config FILE`: options of every command from one TOML file.
//!
//! Nothing here knows an option by name: what there is, which type it has and what it is called comes from the
//! definition of the command line, and an entry ends as the words that would have been typed.

use std::{
    any::TypeId,
    fs::read_to_string,
    ops::Range,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, Command, Id,
    builder::Resettable,
    error::{ContextKind, ContextValue},
};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use crate::error::{Error, Result};

/// The option that names the file, which the file cannot name.
pub(super) const CONFIG: &str = "config";

/// Names less alike are not worth a suggestion.
const ALIKE: f64 = 0.75;

/// What a file says, checked against the definition of the command line.
pub(super) struct ConfigFile {
    /// As it was given.
    pub(super) path: PathBuf,
    settings: Vec<Setting>,
}

/// An option of a command, as the words that would have been typed.
pub(super) struct Setting {
    /// The main job if there is none.
    command: Option<String>,
    pub(super) id: Id,
    pub(super) words: Vec<String>,
}

impl ConfigFile {
    /// Reads all of the file, also what is for other commands than the one that runs.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, names an option that there is not, or gives one a value it does not take.
    pub(super) fn read(path: &Path, definition: &Command) -> Result<Self> {
        let refuse = |error| {
            Error::usage("read the configuration")
                .with("file", path.display())
                .source(error)
                .hint("--config FILE names a TOML file, such as: keep = 0.2")
        };
        let text = read_to_string(path).map_err(refuse)?;
        let mut reader = Reader {
            path,
            text: &text,
            definition,
            settings: Vec::new(),
        };
        let table = DeTable::parse(&text).map_err(|error| {
            // The error's own text would repeat the line, whatever stands in it.
            let why = error.message().to_owned();
            reader
                .refuse("it is no TOML", error.span())
                .with("why", why)
        })?;
        reader.root(table.get_ref())?;
        Ok(Self {
            path: path.to_path_buf(),
            settings: reader.settings,
        })
    }

    /// What is said for a command, or for the main job.
    pub(super) fn of(&self, command: Option<&str>) -> impl Iterator<Item = &Setting> {
        let command = command.map(str::to_owned);
        let settings = self.settings.iter();
        settings.filter(move |setting| setting.command == command)
    }
}

/// Options of `command` that a file can give.
pub(super) fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let acts = matches!(
            arg.get_action(),
            ArgAction::Set | ArgAction::Append | ArgAction::SetTrue | ArgAction::Count
        );
        acts && arg.get_long().is_some() && arg.get_id() != CONFIG
    })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    definition: &'a Command,
    settings: Vec<Setting>,
}

/// A key with what it stands for.
type Entry<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

impl Reader<'_> {
    /// Options of the main job, at the top or in a table named as the program, and a table for each command.
    fn root(&mut self, table: &DeTable<'_>) -> Result<()> {
        let definition = self.definition;
        for entry in table {
            let (key, value) = entry;
            let name = key.get_ref().as_ref();
            let command = definition.find_subcommand(name).map(|_| name);
            let Some(inner) = value.get_ref().as_table() else {
                self.setting(None, entry)?;
                continue;
            };
            if command.is_none() && name != definition.get_name() {
                return Err(self.unknown_table(key));
            }
            for entry in inner {
                self.setting(command, entry)?;
            }
        }
        Ok(())
    }

    fn setting(&mut self, command: Option<&str>, entry: Entry<'_, '_>) -> Result<()> {
        let (key, value) = entry;
        let name = key.get_ref().replace('_', "-");
        let defined = command.and_then(|command| self.definition.find_subcommand(command));
        let Some(arg) = option(defined.unwrap_or(self.definition), &name) else {
            return Err(self.unknown_option(command, key));
        };
        let full = command.map_or(name.clone(), |command| format!("{command}.{name}"));
        let refuse = |what: &str| self.refuse(what, Some(value.span())).with("key", &full);
        let same = |one: &Setting| one.command.as_deref() == command && one.id == *arg.get_id();
        if self.settings.iter().any(same) {
            return Err(refuse("an option is given twice"));
        }
        let Some(words) = words(arg, value.get_ref()) else {
            return Err(refuse("a value has the wrong type")
                .with("expected", expected(arg))
                .with("found", found(value.get_ref())));
        };
        if let Err(reason) = accepts(arg, &words) {
            // What a file holds may be a secret.
            let values = words.iter().filter_map(|word| word.split_once('='));
            let reason = values.fold(reason, |reason, (_, value)| {
                reason.replace(&format!("'{value}'"), "it")
            });
            return Err(refuse("a value is not one the option takes").with("reason", reason));
        }
        self.settings.push(Setting {
            command: command.map(str::to_owned),
            id: arg.get_id().clone(),
            words,
        });
        Ok(())
    }

    fn unknown_option(&self, command: Option<&str>, key: &Spanned<DeString<'_>>) -> Error {
        let name = key.get_ref().replace('_', "-");
        let defined = command.and_then(|command| self.definition.find_subcommand(command));
        let command = defined.unwrap_or(self.definition);
        let what = format!(
            "{} has no option of this name",
            said(self.definition, command)
        );
        let error = self.refuse(&what, Some(key.span())).with("key", &name);
        let elsewhere = std::iter::once(self.definition)
            .chain(self.definition.get_subcommands())
            .find(|other| option(other, &name).is_some());
        let names = options(command).filter_map(Arg::get_long);
        if self.definition.find_subcommand(&name).is_some() {
            return error.hint(format!("[{name}], a table for options of the command"));
        }
        match (nearest(&name, names), elsewhere) {
            (_, Some(other)) => error.hint(format!("[{}], whose option it is", other.get_name())),
            (Some(close), None) => error.hint(close),
            (None, None) => {
                let command = said(self.definition, command);
                error.hint(format!("{command} --help, which lists the options"))
            }
        }
    }

    fn unknown_table(&self, key: &Spanned<DeString<'_>>) -> Error {
        let name = key.get_ref().as_ref();
        let error = self
            .refuse("there is no command of this name", Some(key.span()))
            .with("table", name);
        let names = self.definition.get_subcommands().map(Command::get_name);
        match nearest(name, names) {
            Some(close) => error.hint(format!("[{close}]")),
            None => error.hint("a table for a command, such as [score], and options of the main job outside of tables"),
        }
    }

    fn refuse(&self, what: &str, place: Option<Range<usize>>) -> Error {
        let error = Error::usage(format!("use the configuration: {what}"))
            .with("file", self.path.display());
        match place.and_then(|place| self.text.get(..place.start)) {
            Some(before) => error.with("line", before.matches('\n').count() + 1),
            None => error,
        }
    }
}

/// How a command is typed.
fn said(definition: &Command, command: &Command) -> String {
    match definition.find_subcommand(command.get_name()) {
        Some(_) => format!("{} {}", definition.get_name(), command.get_name()),
        None => definition.get_name().to_owned(),
    }
}

/// The option of this long name or alias.
fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    options(command).find(|arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(name) || aliases.contains(&name)
    })
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

fn repeats(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// True for what is text whatever it looks like: names, paths, SQL.
fn is_text(arg: &Arg) -> bool {
    let parsed = arg.get_value_parser().type_id();
    parsed == TypeId::of::<String>() || parsed == TypeId::of::<PathBuf>()
}

/// True for a flag that may have a value.
fn needs_no_value(arg: &Arg) -> bool {
    arg.get_num_args()
        .is_some_and(|values| values.min_values() == 0)
}

/// What would have been typed, or `None` if `value` is of another type than the option's.
fn words(arg: &Arg, value: &DeValue<'_>) -> Option<Vec<String>> {
    let flag = format!("--{}", arg.get_long()?);
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(given)) => Some(vec![flag; usize::from(*given)]),
        (ArgAction::Count, DeValue::Integer(_)) => {
            let times: u8 = integer(value)?.parse().ok()?;
            Some(vec![flag; usize::from(times)])
        }
        (ArgAction::SetTrue | ArgAction::Count, _) => None,
        (_, DeValue::Boolean(given)) if needs_no_value(arg) => {
            Some(vec![flag; usize::from(*given)])
        }
        (_, DeValue::Array(values)) if repeats(arg) => values
            .iter()
            .map(|value| Some(format!("{flag}={}", scalar(arg, value.get_ref())?)))
            .collect(),
        _ => Some(vec![format!("{flag}={}", scalar(arg, value)?)]),
    }
}

fn scalar(arg: &Arg, value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(_) if !is_text(arg) => integer(value),
        DeValue::Float(number) if !is_text(arg) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// In decimal digits, which TOML does not ask for.
fn integer(value: &DeValue<'_>) -> Option<String> {
    let number = value.as_integer()?;
    let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
    Some(number.to_string())
}

fn expected(arg: &Arg) -> String {
    match arg.get_action() {
        ArgAction::SetTrue => return "true or false".to_owned(),
        ArgAction::Count => return "a whole number from 0 on".to_owned(),
        _ => {}
    }
    let name = arg.get_value_names().and_then(<[_]>::first);
    let name = name.map_or("a value", |name| name.as_str());
    let types = match is_text(arg) {
        true => "a string",
        false if needs_no_value(arg) => "true, false or a string",
        false => "a string or a number",
    };
    match repeats(arg) {
        true => format!("{name}: {types}, or an array of them"),
        false => format!("{name}: {types}"),
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "an array, or one of other values",
        DeValue::Table(_) => "a table",
    }
}

/// Has the option read its words, apart from all others.
fn accepts(arg: &Arg, words: &[String]) -> Result<(), String> {
    let alone = arg
        .clone()
        .required(false)
        .global(false)
        .env(Resettable::Reset)
        .requires(Resettable::Reset)
        .conflicts_with(Resettable::Reset)
        .group(Resettable::Reset);
    let read = Command::new(CONFIG)
        .disable_help_flag(true)
        .arg(alone)
        .try_get_matches_from(std::iter::once(CONFIG).chain(words.iter().map(String::as_str)));
    read.map(drop).map_err(|error| reason(&error))
}

fn reason(error: &clap::Error) -> String {
    if let Some(cause) = std::error::Error::source(error) {
        return cause.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(names)) => format!("it is not one of {}", names.join(", ")),
        _ => "it cannot be read".to_owned(),
    }
}
