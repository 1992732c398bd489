//! What no solver can do is refused before anything is scored.

use arrow::{
    compute::can_cast_types,
    datatypes::{DataType, Schema},
};

use super::{Keep, SelectOptions, Solver};
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
    if options.weights.is_some() {
        check_weights(options)?;
    }
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
    match is_plain(field.data_type()) {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "group rows by '{column}': it holds no plain values"
        ))
        .with("its type", field.data_type())
        .hint("--balance takes a column of text, numbers, dates or flags, or cell")),
    }
}

/// Weights need a total and a score of each row.
fn check_weights(options: &SelectOptions) -> Result<()> {
    let refused = |what: &str, hint: &str| Err(Error::usage(what).hint(hint));
    match (options.solver, &options.balance, options.keep) {
        (Solver::Cover | Solver::Paper, ..) => refused(
            "repeat rows: a solver chooses each row once",
            "leave out --solver, or --weights",
        ),
        (_, Some(_), _) => refused(
            "repeat rows in groups of equal budgets",
            "leave out --balance, or --weights",
        ),
        (_, _, Keep::All) => refused(
            "repeat rows: the total is not said",
            "--keep-rows N, the sum over all repeats",
        ),
        _ => Ok(()),
    }
}

/// Whether values can be told apart by their text: lists have none of their own, and bytes are none.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_plain(values),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => false,
        other => !other.is_nested() && can_cast_types(other, &DataType::Utf8View),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    #[test]
    fn only_columns_of_plain_values_make_groups() {
        let text = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        for plain in [
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            text,
            DataType::Int8,
            DataType::UInt64,
            DataType::Boolean,
            DataType::Float32,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Decimal128(10, 2),
        ] {
            assert!(is_plain(&plain), "{plain}");
        }
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        let bytes = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Binary));
        for other in [
            DataType::Binary,
            DataType::LargeBinary,
            DataType::BinaryView,
            DataType::FixedSizeBinary(16),
            DataType::List(Arc::clone(&item)),
            DataType::Struct(vec![item].into()),
            bytes,
        ] {
            assert!(!is_plain(&other), "{other}");
        }
    }
}
