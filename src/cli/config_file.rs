//! `--config FILE`: options of every command from one TOML file.
//!
//! Nothing here knows an option by name: what there is, which type it has and what it is called comes from the
//! definition of the command line, and an entry ends as the words that would have been typed.

use std::{
    fs::read_to_string,
    ops::Range,
    path::{Path, PathBuf},
};

use clap::{Arg, Command, Id};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::option_value::{Value, accepts, expected, nearest, option, options, said};
use crate::error::{Error, Result};

/// The option that names the file, which the file cannot name.
pub(super) const CONFIG: &str = "config";

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
        let given = self::value(value.get_ref());
        let Some(words) = given.words(arg) else {
            return Err(refuse("a value has the wrong type")
                .with("expected", expected(arg))
                .with("found", given.name()));
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

/// What a value of the file is, whatever it is for.
fn value(toml: &DeValue<'_>) -> Value {
    match toml {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a whole number"), Value::Whole),
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(given) => Value::Switch(*given),
        DeValue::Array(values) => {
            Value::Many(values.iter().map(|one| value(one.get_ref())).collect())
        }
        DeValue::Datetime(_) => Value::Other("a time"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
