//! The size of an image that is turned as its metadata say.

use arrow::{array::UInt32Array, datatypes::DataType};
use datafusion::logical_expr::ScalarUDF;

use super::{
    column_function::ColumnFunction,
    image_header::{fact_of_each, takes_image},
};
use crate::preprocess::upright;

/// Columns of the image as it is looked at, in pixels.
pub(super) fn upright_width() -> ScalarUDF {
    ColumnFunction {
        takes: takes_image("upright_width"),
        returns: DataType::UInt32,
        is_strict: true,
        kernel: |images| fact_of_each::<u32, UInt32Array>(images, |header| upright(header).width),
    }
    .into()
}

/// Rows of the image as it is looked at, in pixels.
pub(super) fn upright_height() -> ScalarUDF {
    ColumnFunction {
        takes: takes_image("upright_height"),
        returns: DataType::UInt32,
        is_strict: true,
        kernel: |images| fact_of_each::<u32, UInt32Array>(images, |header| upright(header).height),
    }
    .into()
}
