//! What no solver can do is refused before anything is scored.

use arrow::{
    compute::can_cast_types,
    datatypes::{DataType, Schema},
};

use super::{SelectOptions, Solver};
use crate::{
    error::{Error, Result},
    schema::ScoreColumn,
    source::nearest,
};

/// Refuses groups that shards do not have, or that the solver cannot balance.
///
/// # Errors
/// When `--balance` names no column to group by, or one that `--solver` does not take.
pub(crate) fn check(
    options: &SelectOptions,
    label_column: Option<&str>,
    shards: &Schema,
) -> Result<()> {
    let Some(balance) = &options.balance else {
        return Ok(());
    };
    let column = balance.column.as_str();
    let is_cells = column == ScoreColumn::CELL.name() || label_column == Some(column);
    match options.solver {
        Solver::Paper => {
            return Err(Error::usage(
                "balance groups by the published iteration: it has no quotas",
            )
            .hint("--solver exact"));
        }
        Solver::Cover if !is_cells => {
            return Err(Error::usage("cover rows of other groups than cells")
                .with("balance", column)
                .hint("--balance cell, or --solver exact"));
        }
        _ if column == ScoreColumn::CELL.name() => return Ok(()),
        _ => {}
    }
    let Ok(field) = shards.field_with_name(column) else {
        let error = Error::usage(format!(
            "group rows by '{column}': the shards have no such column"
        ));
        return Err(match nearest(shards, column) {
            Some(close) => error.hint(format!("--balance {close}")),
            None => error,
        });
    };
    match can_cast_types(field.data_type(), &DataType::Utf8View) {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "group rows by '{column}': it holds no plain values"
        ))
        .with("its type", field.data_type())),
    }
}
