//! Types of query results that Parquet has none for.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
};

use crate::error::{Error, Result};

/// A number that does not fit is an error, not a null.
const EXACT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// `schema` as Parquet can hold it: whole seconds, which it has no unit for, as milliseconds.
///
/// # Errors
/// When a column is an interval or a union, or holds one.
pub fn parquet_result(schema: &Schema) -> Result<SchemaRef> {
    let held = |field: &FieldRef| {
        parquet_field(field).ok_or_else(|| {
            Error::usage("write the result as Parquet: it has no type for a column")
                .with("column", field.name())
                .with("type", field.data_type())
                .hint("leave it out of the SELECT, make it text with CAST(... AS VARCHAR), or use another --format")
        })
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(held).collect::<Result<_>>()?;
    Ok(Arc::new(Schema::new_with_metadata(
        fields,
        schema.metadata().clone(),
    )))
}

/// `batch` with the types of `schema`, which is its [`parquet_result`].
///
/// # Errors
/// When a time is too far off to be told in milliseconds.
pub fn as_parquet_result(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let failed = |error| Error::input("tell seconds in milliseconds").source(error);
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns
        .map(
            |(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast_with_options(column, field.data_type(), &EXACT),
            },
        )
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(failed)?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows).map_err(failed)
}

fn parquet_field(field: &FieldRef) -> Option<FieldRef> {
    let held = parquet_type(field.data_type())?;
    Some(match held == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_data_type(held)),
    })
}

/// `None` where there is no such type.
fn parquet_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Interval(_) | DataType::Union(..) => return None,
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        // Of a date in milliseconds Parquet would have the number alone.
        DataType::Date64 => DataType::Date32,
        DataType::List(item) => DataType::List(parquet_field(item)?),
        DataType::LargeList(item) => DataType::LargeList(parquet_field(item)?),
        DataType::FixedSizeList(item, length) => {
            DataType::FixedSizeList(parquet_field(item)?, *length)
        }
        DataType::Map(entries, sorted) => DataType::Map(parquet_field(entries)?, *sorted),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(parquet_field).collect::<Option<_>>()?)
        }
        DataType::Dictionary(key, value) => {
            DataType::Dictionary(key.clone(), Box::new(parquet_type(value)?))
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, IntervalDayTimeArray, ListArray, TimestampSecondArray},
        buffer::OffsetBuffer,
        datatypes::{IntervalDayTime, TimestampMillisecondType},
    };

    use super::*;

    fn list(values: ArrayRef) -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Arc::new(ListArray::new(item, offsets, values, None))
    }

    #[test]
    fn seconds_become_milliseconds_at_any_depth() {
        let seconds = TimestampSecondArray::from(vec![1_577_934_245]).with_timezone("UTC");
        let seconds: ArrayRef = Arc::new(seconds);
        let columns = [("at", Arc::clone(&seconds)), ("all", list(seconds))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = parquet_result(&batch.schema()).unwrap();
        let held = as_parquet_result(&batch, &schema).unwrap();
        let first = held.column(0).as_primitive::<TimestampMillisecondType>();
        assert_eq!(first.value(0), 1_577_934_245_000);
        let inner = held.column(1).as_list::<i32>().values();
        assert_eq!(inner.as_primitive::<TimestampMillisecondType>(), first);
        let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2]));
        let far = RecordBatch::try_from_iter([("at", far)]).unwrap();
        let schema = parquet_result(&far.schema()).unwrap();
        assert!(as_parquet_result(&far, &schema).is_err());
    }

    #[test]
    fn an_interval_is_refused_by_its_column() {
        let day: ArrayRef = Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 0)]));
        for column in [Arc::clone(&day), list(day)] {
            let batch = RecordBatch::try_from_iter([("since", column)]).unwrap();
            let report = parquet_result(&batch.schema()).unwrap_err().report();
            assert!(report.contains("column: since"), "{report}");
            assert!(report.contains("CAST(... AS VARCHAR)"), "{report}");
        }
    }
}
