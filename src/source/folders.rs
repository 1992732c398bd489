//! Values in the names of folders, `label=3/`: columns of one value in all rows of the shards below.
//!
//! As DuckDB reads them: every folder of a name counts, those above what the input names too; all shards have the same
//! columns; a column is of whole numbers, dates or times where the values of all shards are, else text.

mod components;
mod types;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{
    components::{FolderValue, values_of},
    types::FolderType,
};
use super::{Constant, Location, TableShard};
use crate::error::{Error, Result};

/// What is done about an error that folders are the reason of.
pub(super) const NO_HIVE: &str = "--no-hive reads the shards without the values of their folders";
/// What the folder of rows without a value is called.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The files with the columns that the names of their folders make.
///
/// # Errors
/// When two files have not the same columns, a path has two values of one, or a value is no text.
pub(super) fn with_folders(files: Vec<Location>) -> Result<Vec<TableShard>> {
    let values = files.iter().map(values_of).collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = match values.first() {
        Some(first) => first.iter().map(|value| value.name.as_str()).collect(),
        None => Vec::new(),
    };
    let named: BTreeSet<&str> = names.iter().copied().collect();
    for (file, own) in files.iter().zip(&values) {
        let own: BTreeSet<&str> = own.iter().map(|value| value.name.as_str()).collect();
        if let Some(name) = named.symmetric_difference(&own).next() {
            return Err(differing(name, &files[0], file));
        }
    }
    let mut shards: Vec<TableShard> = files.into_iter().map(TableShard::from).collect();
    for name in names {
        let of_file = |own: &Vec<FolderValue>| {
            let value = own.iter().find(|value| value.name == name);
            value.map(|value| value.written.clone()).unwrap_or_default()
        };
        let written: Vec<String> = values.iter().map(of_file).collect();
        let constants = constants(name, &written)?;
        for (shard, written) in shards.iter_mut().zip(&written) {
            shard
                .constants
                .extend(constants.get(written.as_str()).cloned());
        }
    }
    Ok(shards)
}

fn differing(name: &str, first: &Location, file: &Location) -> Error {
    Error::input(format!(
        "take columns from the names of folders: one shard lies in a folder '{name}=', another does not"
    ))
    .with("shard", file)
    .with("another", first)
    .hint(NO_HIVE)
}

/// A column of every value that is written for it.
fn constants<'a>(name: &str, written: &'a [String]) -> Result<BTreeMap<&'a str, Constant>> {
    let distinct: BTreeSet<&str> = written.iter().map(String::as_str).collect();
    let known = distinct.iter().copied().filter(|&value| value != NULL);
    let data_type = FolderType::of(known);
    let constant = |written: &'a str| {
        let text = match written == NULL {
            true => None,
            false => Some(components::unescaped(written).ok_or_else(|| no_text(name, written))?),
        };
        let value = data_type.value((written != NULL).then_some(written), text.as_deref());
        let constant = Constant::of_folder(name, &value, text.map(Arc::from))?;
        Ok((written, constant))
    };
    distinct.into_iter().map(constant).collect()
}

fn no_text(name: &str, written: &str) -> Error {
    Error::input("read the name of a folder: its value is not UTF-8")
        .with("folder", format!("{name}={written}"))
        .hint(NO_HIVE)
}

#[cfg(test)]
mod tests;
