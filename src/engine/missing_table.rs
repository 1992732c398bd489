//! The words for a table that is not there.

use datafusion::error::DataFusionError;

use crate::error::Error;

/// What a user reads if `error` says that there is no such table, where there are `tables`.
pub(super) fn no_table(error: &DataFusionError, tables: &[String]) -> Option<Error> {
    let text = error.strip_backtrace();
    let (_, rest) = text.split_once("table '")?;
    let (name, rest) = rest.split_once('\'')?;
    if !rest.starts_with(" not found") {
        return None;
    }
    let name = name.strip_prefix("datafusion.public.").unwrap_or(name);
    let mut error = Error::usage(format!("find the table {name}"));
    if !tables.is_empty() {
        error = error.with("tables", tables.join(", "));
    }
    Some(error.hint(match name.contains(['.', '/']) {
        true => format!("--input {name} makes it the table pairs"),
        false => format!("--input {name}=PATH"),
    }))
}
