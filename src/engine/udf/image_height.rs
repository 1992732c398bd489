//! `image_height(image)`.

use arrow::{array::UInt32Array, datatypes::DataType};
use datafusion::logical_expr::ScalarUDF;

use super::{
    column_function::ColumnFunction,
    image_header::{fact_of_each, takes_image},
};

/// `image_height(image)`: rows of the stored image, in pixels.
pub(super) fn image_height() -> ScalarUDF {
    ColumnFunction {
        takes: takes_image("image_height"),
        returns: DataType::UInt32,
        is_strict: true,
        kernel: |images| fact_of_each::<u32, UInt32Array>(images, |header| header.height),
    }
    .into()
}
