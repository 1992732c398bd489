//! The parts of a path that are named `column=value`.

use super::NO_HIVE;
use crate::{
    error::{Error, Result},
    source::Location,
};

/// What one folder says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FolderValue {
    /// As it is written.
    pub(super) name: String,
    /// As it is written, with its escapes.
    pub(super) written: String,
}

/// What the folders of a file say, the outermost first.
///
/// # Errors
/// When two of them say different things of one column.
pub(super) fn values_of(file: &Location) -> Result<Vec<FolderValue>> {
    let mut values: Vec<FolderValue> = Vec::new();
    for folder in folders_of(file) {
        let Some((name, written)) = folder.split_once('=') else {
            continue;
        };
        if name.is_empty() || written.contains('=') {
            continue;
        }
        match values.iter().find(|known| known.name == name) {
            Some(known) if known.written != written => {
                return Err(Error::input(format!(
                    "take the column '{name}' from the names of folders: two in the path have a value of it"
                ))
                .with("shard", file)
                .with("values", format!("{} and {written}", known.written))
                .hint(NO_HIVE));
            }
            Some(_) => {}
            None => values.push(FolderValue {
                name: name.to_owned(),
                written: written.to_owned(),
            }),
        }
    }
    Ok(values)
}

/// The names of the folders that a file lies in.
fn folders_of(file: &Location) -> Vec<String> {
    let name = file.name();
    let web = name.starts_with("http://") || name.starts_with("https://");
    let is_separator = |c: char| c == '/' || file.path().is_some() && std::path::is_separator(c);
    let path = match name.split_once("://") {
        Some((_, rest)) if file.path().is_none() => {
            let path = rest.split_once('/').map_or("", |(_, path)| path);
            match web {
                true => path.split(['?', '#']).next().unwrap_or_default(),
                false => path,
            }
        }
        _ => name,
    };
    let mut folders: Vec<&str> = path.split(is_separator).collect();
    folders.pop();
    // The percent signs of a web address are not those of the name.
    let named = |folder: &str| match web {
        true => unescaped(folder).unwrap_or_else(|| folder.to_owned()),
        false => folder.to_owned(),
    };
    folders.into_iter().map(named).collect()
}

/// `written` with the bytes that `%XX` stands for; what is no such escape stays. `None` if that is not UTF-8.
pub(super) fn unescaped(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    rest = behind;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}
