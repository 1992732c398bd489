//! Columns of one value that a file has itself: it must say the same.

use arrow::{
    array::{Array, ArrayRef, StringArray},
    compute::{cast, kernels::cmp::not_distinct},
    datatypes::DataType,
    util::display::array_value_to_string,
};

use super::{
    Constant, ShardBytes, TableShard,
    constants::Speaker,
    folders::NO_HIVE,
    kind::{Held, Outline},
};
use crate::error::{Error, Result};

/// The columns that `entry` has besides those of its file.
///
/// A column of both is the file's, where its footer says that all its values are the one.
///
/// # Errors
/// When they are not, or the footer does not tell.
pub(super) fn columns_added(
    entry: &TableShard,
    outline: &Outline,
    file: &ShardBytes,
) -> Result<Vec<Constant>> {
    let mut added = Vec::new();
    for constant in &entry.constants {
        match outline.schema.index_of(constant.field().name()) {
            Err(_) => added.push(constant.clone()),
            Ok(column) => {
                let held = outline.rows.held(&entry.location, file, column)?;
                let said = match held {
                    Held::Nothing => continue,
                    Held::One(value) if is_same(constant, &value) => continue,
                    Held::One(value) => shown(&value),
                    Held::Several => "several values".to_owned(),
                    // The list of a table repeats what its files say.
                    Held::Unknown if constant.speaker() == Speaker::List => continue,
                    Held::Unknown => "what its footer does not tell".to_owned(),
                };
                let (speaker, has, hint) = match constant.speaker() {
                    Speaker::Folder | Speaker::Table => (
                        "the name of its folder",
                        "the folder has",
                        format!("{NO_HIVE}, with their own columns alone"),
                    ),
                    Speaker::List => (
                        "the list of files",
                        "the list has",
                        "leave the column out of the list".to_owned(),
                    ),
                };
                return Err(Error::input(format!(
                    "read the column '{}': the shard has it, and {speaker} says it too",
                    constant.field().name()
                ))
                .with("shard", &entry.location)
                .with(has, shown(constant.value()))
                .with("the shard has", said)
                .hint(hint));
            }
        }
    }
    Ok(added)
}

/// Whether a value of a file is the one: text as it is written, others by what they are.
fn is_same(constant: &Constant, value: &ArrayRef) -> bool {
    let is_text = matches!(
        value.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let said: ArrayRef = match constant.said() {
        Some(said) if is_text => std::sync::Arc::new(StringArray::from(vec![said.as_ref()])),
        _ => std::sync::Arc::clone(constant.value()),
    };
    let Ok(said) = cast(&said, value.data_type()) else {
        return false;
    };
    // A cast of what is none gives null.
    said.is_null(0) == constant.value().is_null(0)
        && not_distinct(&said, value).is_ok_and(|same| same.value(0))
}

fn shown(value: &ArrayRef) -> String {
    match value.is_null(0) {
        true => "null".to_owned(),
        false => array_value_to_string(value, 0).unwrap_or_default(),
    }
}
