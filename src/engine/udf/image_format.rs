//! `image_format(image)`.

use arrow::{array::StringArray, datatypes::DataType};
use datafusion::logical_expr::ScalarUDF;

use super::{
    column_function::ColumnFunction,
    image_header::{fact_of_each, takes_image},
};

/// `image_format(image)`: the format that the bytes are in, whatever a name says.
pub(super) fn image_format() -> ScalarUDF {
    ColumnFunction {
        takes: takes_image("image_format"),
        returns: DataType::Utf8,
        is_strict: true,
        kernel: |images| {
            fact_of_each::<&'static str, StringArray>(images, |header| header.format.as_str())
        },
    }
    .into()
}
