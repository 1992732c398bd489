//! What the functions of an image share: they read its header and never a pixel.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::DataType,
};
use datafusion::common::Result;

use super::takes::Takes;
use crate::{
    engine::encode_columns::image_parts,
    preprocess::{ImageFacts, probe},
};

/// The argument of an image function.
pub(super) const fn takes_image(function: &'static str) -> Takes {
    Takes {
        function,
        arguments: &["image"],
        types: "an image: binary, or struct<bytes: binary, path: string>",
        fits: is_image,
    }
}

fn is_image(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields
            .find("bytes")
            .is_some_and(|(_, field)| is_bytes(field.data_type())),
        other => is_bytes(other),
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// One fact of each image; null where there are no bytes or their header cannot be read.
pub(super) fn fact_of_each<T, A>(column: &ArrayRef, fact: fn(&ImageFacts) -> T) -> Result<ArrayRef>
where
    A: Array + FromIterator<Option<T>> + 'static,
{
    let (images, _) = image_parts(column)?;
    let facts = images.iter().map(|bytes| {
        // A size is a fact even where it is over the limit.
        let header = probe(bytes?, u64::MAX).ok()?;
        Some(fact(&header))
    });
    Ok(Arc::new(facts.collect::<A>()))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{BinaryArray, BinaryViewArray, LargeBinaryArray, StructArray},
        buffer::NullBuffer,
    };
    use datafusion::{common::ScalarValue, logical_expr::ColumnarValue};

    use super::*;
    use crate::engine::udf::tests::{bmp, call, call_columns, image_structs, png_header, printed};

    const FACTS: [&str; 3] = ["image_width", "image_height", "image_format"];

    fn facts(images: &ArrayRef) -> [Vec<String>; 3] {
        FACTS.map(|name| printed(&call_columns(name, &[Arc::clone(images)]).unwrap()))
    }

    #[test]
    fn every_kind_of_image_column_is_read() {
        let (small, large) = (bmp(8, 4), png_header(70_000, 60_000));
        let bytes = [Some(small.as_slice()), None, Some(b"<html>"), Some(&large)];
        let structs = bytes.map(|bytes| (bytes, None)).to_vec();
        let columns: [ArrayRef; 4] = [
            Arc::new(BinaryArray::from_iter(bytes)),
            Arc::new(LargeBinaryArray::from_iter(bytes)),
            Arc::new(BinaryViewArray::from_iter(bytes)),
            Arc::new(image_structs(structs)),
        ];
        for column in columns {
            let [widths, heights, formats] = facts(&column);
            assert_eq!(widths, ["8", "NULL", "NULL", "70000"]);
            assert_eq!(heights, ["4", "NULL", "NULL", "60000"]);
            assert_eq!(formats, ["bmp", "NULL", "NULL", "png"]);
            assert_eq!(facts(&column.slice(2, 2))[0], ["NULL", "70000"]);
            assert_eq!(facts(&column.slice(4, 0)), [[""; 0]; 3]);
        }
    }

    #[test]
    fn a_header_is_enough() {
        let mut cut = bmp(8, 4);
        cut.truncate(60);
        let column: ArrayRef = Arc::new(BinaryArray::from_iter([Some(cut)]));
        assert_eq!(facts(&column), [["8"], ["4"], ["bmp"]]);
    }

    #[test]
    fn a_null_struct_hides_its_bytes() {
        let small = bmp(8, 4);
        let (fields, columns, _) = image_structs(vec![(Some(&small), Some("a.bmp"))]).into_parts();
        let nulls = Some(NullBuffer::new_null(1));
        let column: ArrayRef = Arc::new(StructArray::new(fields, columns, nulls));
        assert_eq!(facts(&column), [["NULL"]; 3]);
    }

    #[test]
    fn a_constant_is_read_once() {
        let image = ScalarValue::Binary(Some(bmp(8, 4)));
        let result = call("image_width", vec![ColumnarValue::Scalar(image)], 5).unwrap();
        assert!(matches!(
            result,
            ColumnarValue::Scalar(ScalarValue::UInt32(Some(8)))
        ));
    }
}
