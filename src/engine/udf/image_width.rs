//! `image_width(image)`.

use arrow::{array::UInt32Array, datatypes::DataType};
use datafusion::logical_expr::ScalarUDF;

use super::{
    column_function::ColumnFunction,
    image_header::{fact_of_each, takes_image},
};

/// `image_width(image)`: columns of the stored image, in pixels.
pub(super) fn image_width() -> ScalarUDF {
    ColumnFunction {
        takes: takes_image("image_width"),
        returns: DataType::UInt32,
        is_strict: true,
        kernel: |images| fact_of_each::<u32, UInt32Array>(images, |header| header.width),
    }
    .into()
}
