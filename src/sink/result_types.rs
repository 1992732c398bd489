//! Types of query results that Parquet has none for.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options},
    datatypes::{
        DataType, Field, FieldRef, IntervalMonthDayNanoType, IntervalUnit, Schema, SchemaRef,
        TimeUnit,
    },
};
use parquet::schema::types::TypePtr;

use crate::{
    error::{Error, Result},
    source::{interval_type, kept_type},
};

/// Of an interval in Parquet.
const INTERVAL_BYTES: i32 = 12;
const NANOS_PER_MILLI: i64 = 1_000_000;
/// What Parquet calls what a list is of.
const ELEMENT: &str = "element";

/// A number that does not fit is an error, not a null.
const EXACT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// A result as Parquet can hold it.
#[derive(Debug, Clone)]
pub struct ParquetResult {
    /// Its columns: whole seconds, which Parquet has no unit for, as milliseconds, intervals as their 12 bytes.
    pub schema: SchemaRef,
    /// What Parquet is to have them as; by their Arrow types where that is `None`.
    pub stored: Vec<Option<TypePtr>>,
}

impl ParquetResult {
    /// Of a result with the columns of `schema`, which `stored` has as Parquet types where they are those of a table.
    ///
    /// # Errors
    /// When a column is a union, or holds one or an interval.
    pub fn of(schema: &Schema, stored: &[Option<TypePtr>]) -> Result<Self> {
        let refused = |field: &FieldRef| {
            Error::usage("write the result as Parquet: it has no type for a column")
                .with("column", field.name())
                .with("type", field.data_type())
                .hint("leave it out of the SELECT, make it text with CAST(... AS VARCHAR), or use another --format")
        };
        let known = stored.iter().map(Option::as_ref);
        let known = known.chain(std::iter::repeat(None));
        let (mut fields, mut stored) = (Vec::new(), Vec::new());
        for (field, known) in schema.fields().iter().zip(known) {
            if let DataType::Interval(_) = field.data_type() {
                let bytes = DataType::FixedSizeBinary(INTERVAL_BYTES);
                fields.push(Arc::new(Field::clone(field).with_data_type(bytes)));
                stored.push(interval_type(field).ok());
                continue;
            }
            let held = parquet_field(field).ok_or_else(|| refused(field))?;
            stored.push(known.and_then(|known| kept_type(known, &held)));
            fields.push(held);
        }
        let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
        Ok(Self {
            schema: Arc::new(schema),
            stored,
        })
    }
}

/// `batch` with the types of `schema`, which is its [`ParquetResult`]'s.
///
/// # Errors
/// When a time is too far off to be told in milliseconds, or an interval is none of whole milliseconds.
pub fn as_parquet_result(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let failed = |error| Error::input("tell seconds in milliseconds").source(error);
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match column.data_type() {
        DataType::Interval(_) => {
            interval_bytes(column).map_err(|error| error.with("column", field.name()))
        }
        held if held == field.data_type() => Ok(Arc::clone(column)),
        _ => cast_with_options(column, field.data_type(), &EXACT).map_err(failed),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows).map_err(failed)
}

/// Months, days and milliseconds, in four bytes each.
fn interval_bytes(column: &ArrayRef) -> Result<ArrayRef> {
    let failed = |error| Error::input("write an interval as Parquet").source(error);
    let unit = DataType::Interval(IntervalUnit::MonthDayNano);
    let spans = cast_with_options(column, &unit, &EXACT).map_err(failed)?;
    let mut bytes = FixedSizeBinaryBuilder::with_capacity(spans.len(), INTERVAL_BYTES);
    for span in spans.as_primitive::<IntervalMonthDayNanoType>() {
        let Some(span) = span else {
            bytes.append_null();
            continue;
        };
        let millis = u32::try_from(span.nanoseconds / NANOS_PER_MILLI);
        let millis = millis
            .ok()
            .filter(|_| span.nanoseconds % NANOS_PER_MILLI == 0);
        let millis = millis.ok_or_else(|| {
            Error::input(
                "write an interval as Parquet: it has whole milliseconds, up to 49 days of them",
            )
            .with("nanoseconds", span.nanoseconds)
            .hint("make it text with CAST(... AS VARCHAR), or use another --format")
        })?;
        let parts = [
            span.months.to_le_bytes(),
            span.days.to_le_bytes(),
            millis.to_le_bytes(),
        ];
        bytes.append_value(parts.as_flattened()).map_err(failed)?;
    }
    Ok(Arc::new(bytes.finish()))
}

fn parquet_field(field: &FieldRef) -> Option<FieldRef> {
    let held = parquet_type(field.data_type())?;
    Some(match held == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_data_type(held)),
    })
}

/// What a list is of, under the name that Parquet has for it: some readers know no other.
fn parquet_element(item: &FieldRef) -> Option<FieldRef> {
    let held = parquet_field(item)?;
    Some(match held.name() == ELEMENT {
        true => held,
        false => Arc::new(Field::clone(&held).with_name(ELEMENT)),
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
        DataType::List(item) => DataType::List(parquet_element(item)?),
        DataType::LargeList(item) => DataType::LargeList(parquet_element(item)?),
        DataType::FixedSizeList(item, length) => {
            DataType::FixedSizeList(parquet_element(item)?, *length)
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
        array::{IntervalDayTimeArray, IntervalMonthDayNanoArray, ListArray, TimestampSecondArray},
        buffer::OffsetBuffer,
        datatypes::{IntervalDayTime, IntervalMonthDayNano, TimestampMillisecondType},
    };

    use super::*;

    fn list(values: ArrayRef) -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Arc::new(ListArray::new(item, offsets, values, None))
    }

    fn schema_of(batch: &RecordBatch) -> Result<SchemaRef> {
        ParquetResult::of(&batch.schema(), &[]).map(|result| result.schema)
    }

    #[test]
    fn seconds_become_milliseconds_at_any_depth() {
        let seconds = TimestampSecondArray::from(vec![1_577_934_245]).with_timezone("UTC");
        let seconds: ArrayRef = Arc::new(seconds);
        let columns = [("at", Arc::clone(&seconds)), ("all", list(seconds))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = schema_of(&batch).unwrap();
        let held = as_parquet_result(&batch, &schema).unwrap();
        let first = held.column(0).as_primitive::<TimestampMillisecondType>();
        assert_eq!(first.value(0), 1_577_934_245_000);
        let inner = held.column(1).as_list::<i32>().values();
        assert_eq!(inner.as_primitive::<TimestampMillisecondType>(), first);
        let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2]));
        let far = RecordBatch::try_from_iter([("at", far)]).unwrap();
        let schema = schema_of(&far).unwrap();
        assert!(as_parquet_result(&far, &schema).is_err());
    }

    #[test]
    fn lists_are_of_elements_at_any_depth() {
        let numbers: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("all", list(list(numbers)))]).unwrap();
        let schema = schema_of(&batch).unwrap();
        let held = as_parquet_result(&batch, &schema).unwrap();
        let mut data_type = held.schema_ref().field(0).data_type().clone();
        for _ in 0..2 {
            let DataType::List(item) = data_type else {
                panic!("{data_type}");
            };
            assert_eq!(item.name(), ELEMENT);
            data_type = item.data_type().clone();
        }
    }

    #[test]
    fn an_interval_is_twelve_bytes() {
        let spans = [
            (3, -2, 1_500_000_000),
            (0, 0, i64::from(u32::MAX) * NANOS_PER_MILLI),
        ];
        let spans =
            spans.map(|(months, days, nanos)| IntervalMonthDayNano::new(months, days, nanos));
        let spans = IntervalMonthDayNanoArray::from_iter([Some(spans[0]), None, Some(spans[1])]);
        let batch = RecordBatch::try_from_iter([("since", Arc::new(spans) as ArrayRef)]).unwrap();
        let held = as_parquet_result(&batch, &schema_of(&batch).unwrap()).unwrap();
        let bytes = held.column(0).as_fixed_size_binary();
        assert_eq!(
            bytes.value(0),
            [3, 0, 0, 0, 254, 255, 255, 255, 220, 5, 0, 0]
        );
        assert!(bytes.is_null(1));
        assert_eq!(bytes.value(2)[8..], [255; 4]);
        for nanos in [1, -NANOS_PER_MILLI, i64::MAX] {
            let span = IntervalMonthDayNano::new(0, 0, nanos);
            let span: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![span]));
            let batch = RecordBatch::try_from_iter([("since", span)]).unwrap();
            let failed = as_parquet_result(&batch, &schema_of(&batch).unwrap());
            let report = failed.unwrap_err().report();
            assert!(report.contains("column: since"), "{report}");
        }
    }

    #[test]
    fn an_interval_within_a_list_is_refused_by_its_column() {
        let day: ArrayRef = Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 0)]));
        let batch = RecordBatch::try_from_iter([("since", list(day))]).unwrap();
        let report = schema_of(&batch).unwrap_err().report();
        assert!(report.contains("column: since"), "{report}");
        assert!(report.contains("CAST(... AS VARCHAR)"), "{report}");
    }
}
