use arrow::{
    compute::can_cast_types,
    datatypes::{DataType, Schema},
};

use crate::{
    error::{Error, Result},
    pipeline::{RunOptions, Solver},
    schema::Derived,
    source::nearest,
};

/// Refuses groups that shards do not have, or that the solver cannot balance.
///
/// # Errors
/// When `--balance` names no column to group by, or one that `--solver` does not take.
pub(in crate::pipeline) fn check(options: &RunOptions, shards: &Schema) -> Result<()> {
    let Some(balance) = &options.select.balance else {
        return Ok(());
    };
    let column = balance.column.as_str();
    let labels = options.scoring.columns.labels.column.as_deref();
    let is_cells = column == Derived::Cell.as_str() || labels == Some(column);
    match options.select.solver {
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
        _ if column == Derived::Cell.as_str() => return Ok(()),
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
