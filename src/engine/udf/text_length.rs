//! `text_length(text)`.

use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use super::{
    column_function::ColumnFunction,
    text_counts::{count_each, takes_text},
};

/// `text_length(text)`: Unicode scalar values, not bytes.
pub(super) fn text_length() -> ScalarUDF {
    ColumnFunction {
        takes: takes_text("text_length"),
        returns: DataType::Int64,
        is_strict: true,
        kernel: |texts| count_each(texts, |text| text.chars().count()),
    }
    .into()
}
