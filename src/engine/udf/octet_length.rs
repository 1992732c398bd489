//! `octet_length(value)`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int64Array},
    datatypes::DataType,
};
use datafusion::{common::Result, logical_expr::ScalarUDF};

use super::{
    column_function::ColumnFunction,
    image_header::takes_image,
    takes::Takes,
    text_counts::{count_each, takes_text},
};
use crate::engine::encode_columns::image_parts;

/// `octet_length(value)`: bytes of a string, or of an image as it is stored. DataFusion's own knows strings alone.
pub(super) fn octet_length() -> ScalarUDF {
    ColumnFunction {
        takes: Takes {
            function: "octet_length",
            arguments: &["value"],
            types: "a string, binary, or an image: struct<bytes: binary, path: string>",
            fits: |data_type| is_text(data_type) || is_image(data_type),
        },
        returns: DataType::Int64,
        is_strict: true,
        kernel: |values| match is_text(values.data_type()) || values.data_type().is_null() {
            true => count_each(values, str::len),
            false => bytes_of_each(values),
        },
    }
    .into()
}

fn is_text(data_type: &DataType) -> bool {
    (takes_text("octet_length").fits)(data_type)
}

fn is_image(data_type: &DataType) -> bool {
    (takes_image("octet_length").fits)(data_type)
}

fn bytes_of_each(column: &ArrayRef) -> Result<ArrayRef> {
    let (images, _) = image_parts(column)?;
    let length = |bytes: &[u8]| i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let lengths = images.iter().map(|bytes| bytes.map(length));
    Ok(Arc::new(lengths.collect::<Int64Array>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, BinaryViewArray, StringArray};

    use super::*;
    use crate::engine::udf::tests::{call_columns, image_structs, printed};

    #[test]
    fn bytes_are_counted_and_not_characters() {
        let bytes = [Some(b"abc".as_slice()), None, Some(b"")];
        let structs = bytes.map(|bytes| (bytes, None)).to_vec();
        let columns: [ArrayRef; 3] = [
            Arc::new(BinaryArray::from_iter(bytes)),
            Arc::new(BinaryViewArray::from_iter(bytes)),
            Arc::new(image_structs(structs)),
        ];
        for column in columns {
            let lengths = call_columns("octet_length", &[column]).unwrap();
            assert_eq!(printed(&lengths), ["3", "NULL", "0"]);
        }
        let text: ArrayRef = Arc::new(StringArray::from(vec!["Zürich"]));
        assert_eq!(
            printed(&call_columns("octet_length", &[text]).unwrap()),
            ["7"]
        );
    }
}
