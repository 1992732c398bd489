//! Text columns, which are read as bytes and looked at here: one value that is not UTF-8 is no damage to a file.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, Int64Array, RecordBatch, RecordBatchOptions,
        StringViewArray,
    },
    datatypes::{DataType, Schema},
    error::ArrowError,
};

use crate::error::Error;

/// What is made of a text column of the batches that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextColumn {
    /// No text.
    None,
    /// Every value has to be text.
    Strict,
    /// What is no text is null.
    Lenient,
}

/// `batch` with its text columns as text; `numbers` are the positions of its rows in the shard.
///
/// # Errors
/// Names the column and the row of a value that is not UTF-8.
pub(super) fn as_text(
    batch: &RecordBatch,
    kinds: &[TextColumn],
    numbers: &Int64Array,
) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    let all = batch.schema_ref().fields().iter().zip(batch.columns());
    for ((field, column), kind) in all.zip(kinds) {
        let bytes = column.as_binary_view_opt();
        let Some(bytes) = bytes.filter(|_| *kind != TextColumn::None) else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        };
        let text: ArrayRef = match bytes.clone().to_string_view() {
            Ok(text) => Arc::new(text),
            Err(_) if *kind == TextColumn::Lenient => Arc::new(text_or_null(bytes)),
            Err(error) => return Err(not_text(field.name(), bytes, numbers).unwrap_or(error)),
        };
        let lenient = *kind == TextColumn::Lenient;
        let field = field.as_ref().clone().with_data_type(DataType::Utf8View);
        let nullable = lenient || field.is_nullable();
        fields.push(Arc::new(field.with_nullable(nullable)));
        columns.push(text);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
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
        let error = as_text(&batch, &[TextColumn::Strict], &numbers).unwrap_err();
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
        let text = as_text(&batch, &[TextColumn::Lenient], &numbers).unwrap();
        let text: Vec<_> = text.column(0).as_string_view().iter().collect();
        assert_eq!(text, [Some("ok"), None, None, Some("café")]);
        let same = as_text(&batch, &[TextColumn::None], &numbers).unwrap();
        assert_eq!(same, batch);
    }
}
