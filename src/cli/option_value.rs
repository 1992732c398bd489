//! Values of options that are not typed, as the words that would have been.
//!
//! Nothing here knows an option by name: what there is, which type it has and what it is called comes from the
//! definition of the command line.

use std::{any::TypeId, path::PathBuf};

use clap::{
    Arg, ArgAction, Command,
    builder::Resettable,
    error::{ContextKind, ContextValue},
};

use super::config_file::CONFIG;

/// Names less alike are not worth a suggestion.
const ALIKE: f64 = 0.75;

/// What an option is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text, a name, a path.
    Text(String),
    /// A whole number.
    Whole(i128),
    /// Another number, in digits that Rust reads.
    Float(String),
    /// True or false.
    Switch(bool),
    /// Several of one kind.
    Many(Vec<Value>),
    /// Something that no option takes, and what to call it.
    Other(&'static str),
}

impl Value {
    /// What would have been typed, or `None` if it is of another type than the option's.
    pub(super) fn words(&self, arg: &Arg) -> Option<Vec<String>> {
        let flag = format!("--{}", arg.get_long()?);
        match (arg.get_action(), self) {
            (ArgAction::SetTrue, Value::Switch(given)) => Some(vec![flag; usize::from(*given)]),
            (ArgAction::Count, Value::Whole(times)) => {
                let times = u8::try_from(*times).ok()?;
                Some(vec![flag; usize::from(times)])
            }
            (ArgAction::SetTrue | ArgAction::Count, _) => None,
            (_, Value::Switch(given)) if needs_no_value(arg) => {
                Some(vec![flag; usize::from(*given)])
            }
            (_, Value::Many(values)) if repeats(arg) => values
                .iter()
                .map(|value| Some(format!("{flag}={}", value.scalar(arg)?)))
                .collect(),
            _ => Some(vec![format!("{flag}={}", self.scalar(arg)?)]),
        }
    }

    fn scalar(&self, arg: &Arg) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Whole(number) if !is_text(arg) => Some(number.to_string()),
            Value::Float(number) if !is_text(arg) => Some(number.clone()),
            _ => None,
        }
    }

    /// What it is, for a person.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Whole(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Switch(_) => "true or false",
            Value::Many(_) => "an array, or one of other values",
            Value::Other(name) => name,
        }
    }
}

/// Options of `command` that can be given without being typed.
pub(super) fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let acts = matches!(
            arg.get_action(),
            ArgAction::Set | ArgAction::Append | ArgAction::SetTrue | ArgAction::Count
        );
        acts && arg.get_long().is_some() && arg.get_id() != CONFIG
    })
}

/// The option of this long name or alias.
pub(super) fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    options(command).find(|arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(name) || aliases.contains(&name)
    })
}

/// How a command is typed.
pub(super) fn said(definition: &Command, command: &Command) -> String {
    match definition.find_subcommand(command.get_name()) {
        Some(_) => format!("{} {}", definition.get_name(), command.get_name()),
        None => definition.get_name().to_owned(),
    }
}

/// The one of `names` that was probably meant.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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

/// What the option takes, for a person.
pub(super) fn expected(arg: &Arg) -> String {
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

/// Has the option read its words, apart from all others.
///
/// # Errors
/// Why it does not take them.
pub(super) fn accepts(arg: &Arg, words: &[String]) -> Result<(), String> {
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
