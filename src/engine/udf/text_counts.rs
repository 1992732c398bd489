//! What the functions of a caption share: a count for each string.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, new_null_array},
    compute::take,
    datatypes::DataType,
};
use datafusion::common::{Result, internal_err};

use super::takes::Takes;

/// The argument of a caption function.
pub(super) const fn takes_text(function: &'static str) -> Takes {
    Takes {
        function,
        arguments: &["text"],
        types: "a string",
        fits: is_text,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(
            other,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
    }
}

/// `count` of each string; each entry of a dictionary is counted once.
pub(super) fn count_each(column: &ArrayRef, count: fn(&str) -> usize) -> Result<ArrayRef> {
    let number =
        |text: Option<&str>| text.map(|text| i64::try_from(count(text)).unwrap_or(i64::MAX));
    let counts: Int64Array = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().map(number).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(number).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(number).collect(),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let counts = count_each(dictionary.values(), count)?;
            return Ok(take(&counts, dictionary.keys(), None)?);
        }
        DataType::Null => return Ok(new_null_array(&DataType::Int64, column.len())),
        other => return internal_err!("{other} is no string"),
    };
    Ok(Arc::new(counts))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{DictionaryArray, LargeStringArray, StringArray, StringViewArray},
        datatypes::Int8Type,
    };
    use datafusion::{common::ScalarValue, logical_expr::ColumnarValue};

    use super::*;
    use crate::engine::udf::tests::{call, call_columns, printed};

    const TEXTS: [Option<&str>; 5] = [
        Some("a picture  of\ttwo\u{3000}dogs"),
        None,
        Some(""),
        Some(" \u{a0}\n"),
        Some("Zürich 漢字"),
    ];

    fn columns() -> Vec<ArrayRef> {
        let dictionary: DictionaryArray<Int8Type> = TEXTS.into_iter().collect();
        vec![
            Arc::new(StringArray::from_iter(TEXTS)),
            Arc::new(LargeStringArray::from_iter(TEXTS)),
            Arc::new(StringViewArray::from_iter(TEXTS)),
            Arc::new(dictionary),
        ]
    }

    #[test]
    fn every_kind_of_string_is_counted() {
        for column in columns() {
            let words = call_columns("word_count", &[Arc::clone(&column)]).unwrap();
            assert_eq!(printed(&words), ["5", "NULL", "0", "0", "2"]);
            let lengths = call_columns("text_length", &[Arc::clone(&column)]).unwrap();
            assert_eq!(printed(&lengths), ["22", "NULL", "0", "3", "9"]);
        }
    }

    #[test]
    fn a_slice_is_counted_from_its_start() {
        for column in columns() {
            let words = call_columns("word_count", &[column.slice(3, 2)]).unwrap();
            assert_eq!(printed(&words), ["0", "2"]);
            let none = call_columns("word_count", &[column.slice(0, 0)]).unwrap();
            assert_eq!(none.len(), 0);
        }
    }

    #[test]
    fn a_constant_is_counted_once() {
        for (value, expected) in [
            (ScalarValue::Utf8View(Some("a b".to_owned())), Some(2)),
            (ScalarValue::Utf8(None), None),
            (ScalarValue::Null, None),
        ] {
            let result = call("word_count", vec![ColumnarValue::Scalar(value)], 3).unwrap();
            let ColumnarValue::Scalar(count) = result else {
                panic!("a constant gives a constant");
            };
            assert_eq!(count, ScalarValue::Int64(expected));
        }
    }
}
