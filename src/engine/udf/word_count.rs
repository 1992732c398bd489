//! `word_count(text)`.

use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use super::{
    column_function::ColumnFunction,
    text_counts::{count_each, takes_text},
};

/// `word_count(text)`: runs of characters between Unicode white space.
pub(super) fn word_count() -> ScalarUDF {
    ColumnFunction {
        takes: takes_text("word_count"),
        returns: DataType::Int64,
        is_strict: true,
        kernel: |texts| count_each(texts, |text| text.split_whitespace().count()),
    }
    .into()
}
