//! What is made of columns that are read as bytes. One value that is not UTF-8 is no damage to a file, and of an
//! interval the reader of the parquet crate loses the months.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, FixedSizeBinaryArray, Int64Array,
        IntervalMonthDayNanoArray, RecordBatch, RecordBatchOptions, StringViewArray,
    },
    datatypes::{DataType, IntervalMonthDayNano, Schema},
    error::ArrowError,
};

use crate::error::Error;

/// What is made of a column that is read as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// Nothing else.
    AsRead,
    /// Text; every value has to be some.
    Text,
    /// Text; what is none is null.
    TextOrNull,
    /// An interval of months, days and milliseconds, in 12 bytes.
    Interval,
}

/// `batch` with its columns made what `kinds` says; `numbers` are the positions of its rows in the shard.
///
/// # Errors
/// Names the column and the row of a value that is not UTF-8.
pub(super) fn made(
    batch: &RecordBatch,
    kinds: &[Made],
    numbers: &Int64Array,
) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    let all = batch.schema_ref().fields().iter().zip(batch.columns());
    for ((field, column), kind) in all.zip(kinds) {
        let column: ArrayRef = match (kind, column.data_type()) {
            (Made::Text | Made::TextOrNull, DataType::BinaryView) => {
                let bytes = column.as_binary_view();
                match bytes.clone().to_string_view() {
                    Ok(text) => Arc::new(text),
                    Err(_) if *kind == Made::TextOrNull => Arc::new(text_or_null(bytes)),
                    Err(error) => {
                        return Err(not_text(field.name(), bytes, numbers).unwrap_or(error));
                    }
                }
            }
            (Made::Interval, DataType::FixedSizeBinary(12)) => {
                Arc::new(intervals(column.as_fixed_size_binary()))
            }
            _ => Arc::clone(column),
        };
        let nullable = *kind == Made::TextOrNull || field.is_nullable();
        let field = field
            .as_ref()
            .clone()
            .with_data_type(column.data_type().clone());
        fields.push(Arc::new(field.with_nullable(nullable)));
        columns.push(column);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

fn intervals(bytes: &FixedSizeBinaryArray) -> IntervalMonthDayNanoArray {
    bytes
        .iter()
        .map(|value| {
            let (parts, _) = value?.as_chunks::<4>();
            let [months, days, millis] = *parts else {
                return None;
            };
            Some(IntervalMonthDayNano::new(
                i32::from_le_bytes(months),
                i32::from_le_bytes(days),
                i64::from(u32::from_le_bytes(millis)) * 1_000_000,
            ))
        })
        .collect()
}

fn text_of(bytes: &BinaryViewArray, row: usize) -> Option<&str> {
    let value = bytes.is_valid(row).then(|| bytes.value(row))?;
    std::str::from_utf8(value).ok()
}

fn text_or_null(bytes: &BinaryViewArray) -> StringViewArray {
    (0..bytes.len()).map(|row| text_of(bytes, row)).collect()
}

fn not_text(name: &str, bytes: &BinaryViewArray, numbers: &Int64Array) -> Option<ArrowError> {
    let mut rows = (0..bytes.len()).filter(|&row| bytes.is_valid(row));
    let bad = rows.find(|&row| text_of(bytes, row).is_none())?;
    let error = Error::input(format!("read the column '{name}' as text: it is not UTF-8"))
        .with("row", numbers.value(bad))
        .hint("mend the value, or leave the column out of conditions and queries: what is only carried may be any bytes");
    Some(ArrowError::ExternalError(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::IntervalMonthDayNanoType;

    use super::*;

    fn batch() -> (RecordBatch, Int64Array) {
        let values: [Option<&[u8]>; 4] =
            [Some(b"ok"), None, Some(b"caf\xe9"), Some(b"caf\xc3\xa9")];
        let column: ArrayRef = Arc::new(BinaryViewArray::from_iter(values));
        let batch = RecordBatch::try_from_iter([("words", column)]).unwrap();
        (batch, Int64Array::from(vec![7, 8, 9, 10]))
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_named() {
        let (batch, numbers) = batch();
        let error = made(&batch, &[Made::Text], &numbers).unwrap_err();
        let ArrowError::ExternalError(error) = error else {
            panic!("{error}")
        };
        let report = error.downcast_ref::<Error>().unwrap().report();
        assert!(
            report.contains("'words'") && report.contains("row: 9"),
            "{report}"
        );
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_null_where_that_may_be() {
        let (batch, numbers) = batch();
        let text = made(&batch, &[Made::TextOrNull], &numbers).unwrap();
        let text: Vec<_> = text.column(0).as_string_view().iter().collect();
        assert_eq!(text, [Some("ok"), None, None, Some("café")]);
        let same = made(&batch, &[Made::AsRead], &numbers).unwrap();
        assert_eq!(same, batch);
    }

    #[test]
    fn an_interval_has_its_months() {
        let bytes = [3u32, 2, 1500].map(u32::to_le_bytes).concat();
        let column: ArrayRef =
            Arc::new(FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap());
        let batch = RecordBatch::try_from_iter([("span", column)]).unwrap();
        let numbers = Int64Array::from(vec![0]);
        let spans = made(&batch, &[Made::Interval], &numbers).unwrap();
        let spans = spans.column(0).as_primitive::<IntervalMonthDayNanoType>();
        assert_eq!(
            spans.value(0),
            IntervalMonthDayNano::new(3, 2, 1_500_000_000)
        );
    }
}
