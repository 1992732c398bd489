//! Values as JSON, so that reading gives them back: floats with all their digits, and a point.

use std::fmt::Write;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type},
    error::ArrowError,
    util::display::array_value_to_string,
};

use crate::digest::hex;

/// Writes a value behind `out`. What JSON has no number for, as NaN, is null; bytes within others are hex, times and
/// decimals are text.
pub(super) fn put(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => put_shown(out, array.as_boolean().value(row)),
        kind if kind.is_integer() => out.push_str(&array_value_to_string(array, row)?),
        DataType::Float16 => {
            put_float(
                out,
                f32::from(array.as_primitive::<Float16Type>().value(row)),
            );
        }
        DataType::Float32 => put_float(out, array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => put_float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8View => put_text(out, array.as_string_view().value(row)),
        DataType::Utf8 => put_text(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => put_text(out, array.as_string::<i64>().value(row)),
        DataType::BinaryView => put_bytes(out, array.as_binary_view().value(row)),
        DataType::Binary => put_bytes(out, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => put_bytes(out, array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(_) => {
            put_bytes(out, array.as_fixed_size_binary().value(row));
        }
        DataType::List(_) => put_all(out, &array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => put_all(out, &array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => put_all(out, &array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let array = array.as_struct();
            out.push('{');
            for (at, (field, column)) in fields.iter().zip(array.columns()).enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                put_text(out, field.name());
                out.push_str(": ");
                put(out, column, row)?;
            }
            out.push('}');
        }
        _ => put_text(out, &array_value_to_string(array, row)?),
    }
    Ok(())
}

/// Text in quotes.
pub(super) fn put_text(out: &mut String, text: &str) {
    // A text is JSON always.
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn put_all(out: &mut String, values: &dyn Array) -> Result<(), ArrowError> {
    out.push('[');
    for row in 0..values.len() {
        if row > 0 {
            out.push_str(", ");
        }
        put(out, values, row)?;
    }
    out.push(']');
    Ok(())
}

fn put_bytes(out: &mut String, bytes: &[u8]) {
    put_text(out, &hex(bytes));
}

fn put_shown(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{value}");
}

/// The fewest digits that are this number again.
fn put_float<F: std::fmt::Debug + Into<f64> + Copy>(out: &mut String, value: F) {
    match Into::<f64>::into(value).is_finite() {
        true => {
            let _ = write!(out, "{value:?}");
        }
        false => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, ListArray, StringArray,
            StructArray, TimestampMillisecondArray, UInt64Array,
        },
        datatypes::Int32Type,
    };

    use super::*;

    fn json(array: &dyn Array) -> String {
        let mut out = String::new();
        put(&mut out, array, 0).unwrap();
        assert!(
            serde_json::from_str::<serde_json::Value>(&out).is_ok(),
            "{out}"
        );
        out
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        assert_eq!(json(&Float32Array::from(vec![0.1])), "0.1");
        assert_eq!(json(&Float32Array::from(vec![1.0])), "1.0");
        assert_eq!(json(&Float64Array::from(vec![1e300])), "1e300");
        assert_eq!(json(&Float64Array::from(vec![f64::NAN])), "null");
        assert_eq!(
            json(&Int64Array::from(vec![i64::MIN])),
            "-9223372036854775808"
        );
        assert_eq!(
            json(&UInt64Array::from(vec![u64::MAX])),
            "18446744073709551615"
        );
        assert_eq!(json(&BooleanArray::from(vec![true])), "true");
        assert_eq!(json(&Int64Array::from(vec![None])), "null");
    }

    #[test]
    fn other_values_are_text_lists_and_objects() {
        assert_eq!(
            json(&StringArray::from(vec!["a\"\n\u{1}ü"])),
            "\"a\\\"\\n\\u0001ü\""
        );
        let time = TimestampMillisecondArray::from(vec![0]);
        assert_eq!(json(&time), "\"1970-01-01T00:00:00\"");
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
        assert_eq!(json(&list), "[1, null]");
        let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![&b"ab"[..]]));
        let of = StructArray::try_from(vec![("b", bytes)]).unwrap();
        assert_eq!(json(&of), "{\"b\": \"6162\"}");
    }
}
