//! Types that Delta does not have, as those that hold the same values.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
};

use crate::error::{Error, Result};

/// Digits of the largest unsigned number.
const U64_DIGITS: u8 = 20;

/// A value that does not fit is an error, not a null.
const EXACT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// What becomes of times in nanoseconds, which Delta has in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nanoseconds {
    /// They are refused.
    #[default]
    Refused,
    /// The last three digits go.
    Cut,
}

impl Nanoseconds {
    /// What `--cut-nanoseconds` says.
    pub fn when(cut: bool) -> Self {
        match cut {
            true => Nanoseconds::Cut,
            false => Nanoseconds::Refused,
        }
    }
}

/// Columns as Delta can have them: half floats as floats, lists of a fixed size as lists, unsigned numbers as the next
/// wider signed ones, times in microseconds.
///
/// # Errors
/// When a column has a type that none holds the values of; it is named.
pub fn delta_schema(schema: &Schema, nanoseconds: Nanoseconds) -> Result<SchemaRef> {
    let fields = schema.fields().iter().map(|field| {
        delta_field(field, nanoseconds).ok_or_else(|| {
            let error = Error::usage("write a column to a Delta table: it has no such type")
                .with("column", field.name())
                .with("type", field.data_type());
            match delta_field(field, Nanoseconds::Cut) {
                Some(_) => error.hint("--cut-nanoseconds, if microseconds are enough"),
                None => error.hint("cast it, or leave it out: clip-filter sql"),
            }
        })
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new_with_metadata(
        fields,
        schema.metadata().clone(),
    )))
}

/// Whether values of the type change when a table gets them, so that they cannot be copied as they lie.
pub fn is_changed_for_delta(data_type: &DataType) -> bool {
    delta_type(data_type, Nanoseconds::Cut).is_none_or(|held| held != plain(data_type))
}

/// `batch` with the types of `schema`, which is its [`delta_schema`].
///
/// # Errors
/// When a value does not fit.
pub fn as_delta(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(
        |(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast_with_options(column, field.data_type(), &EXACT).map_err(|error| {
                Error::input("bring a column to a type that Delta has")
                    .with("column", field.name())
                    .source(error)
            }),
        },
    );
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)
        .map_err(|error| Error::internal("bring rows to the types of a table").source(error))
}

fn delta_field(field: &FieldRef, nanoseconds: Nanoseconds) -> Option<FieldRef> {
    let held = delta_type(field.data_type(), nanoseconds)?;
    Some(Arc::new(Field::clone(field).with_data_type(held)))
}

/// `None` where there is no such type.
fn delta_type(data_type: &DataType, nanoseconds: Nanoseconds) -> Option<DataType> {
    let within = |field: &FieldRef| delta_field(field, nanoseconds);
    Some(match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(U64_DIGITS, 0),
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(TimeUnit::Nanosecond, _) if nanoseconds == Nanoseconds::Refused => {
            return None;
        }
        DataType::Timestamp(_, zone) => {
            // The table has moments; a zone is how they are shown.
            let zone = zone.as_ref().map(|_| "UTC".into());
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let item = Field::clone(within(item)?.as_ref()).with_name("element");
            DataType::List(Arc::new(item))
        }
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(within).collect::<Option<_>>()?)
        }
        DataType::Map(entries, sorted) => DataType::Map(within(entries)?, *sorted),
        DataType::Dictionary(_, value) => delta_type(value, nanoseconds)?,
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Decimal128(..) => data_type.clone(),
        _ => return None,
    })
}

/// A type with the same Parquet as this one.
fn plain(data_type: &DataType) -> DataType {
    let within = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::clone(field).with_data_type(plain(field.data_type())))
    };
    match data_type {
        DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary => DataType::Binary,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(within).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float16Array, UInt64Array};
    use arrow::datatypes::{Decimal128Type, Float32Type};

    use super::*;

    fn delta(data_type: DataType) -> Option<DataType> {
        delta_type(&data_type, Nanoseconds::Refused)
    }

    #[test]
    fn numbers_take_the_next_wider_type_and_nothing_is_lost() {
        let halves = Float16Array::from(vec![half::f16::from_f32(0.5)]);
        let large = UInt64Array::from(vec![u64::MAX]);
        let batch = RecordBatch::try_from_iter([
            ("half", Arc::new(halves) as ArrayRef),
            ("large", Arc::new(large) as ArrayRef),
        ])
        .unwrap();
        let schema = delta_schema(&batch.schema(), Nanoseconds::Refused).unwrap();
        let held = as_delta(&batch, &schema).unwrap();
        assert_eq!(held.column(0).as_primitive::<Float32Type>().value(0), 0.5);
        let large = held.column(1).as_primitive::<Decimal128Type>().value(0);
        assert_eq!(large, i128::from(u64::MAX));
        assert_eq!(delta(DataType::UInt8), Some(DataType::Int16));
        assert_eq!(delta(DataType::UInt32), Some(DataType::Int64));
    }

    #[test]
    fn nanoseconds_are_cut_only_when_asked_for_and_other_types_are_refused_by_name() {
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(delta(nanos.clone()), None);
        assert_eq!(
            delta_type(&nanos, Nanoseconds::Cut),
            Some(DataType::Timestamp(TimeUnit::Microsecond, None))
        );
        for (name, data_type, hint) in [
            ("at", nanos, "--cut-nanoseconds"),
            ("clock", DataType::Time64(TimeUnit::Microsecond), "cast it"),
            ("nothing", DataType::Null, "cast it"),
        ] {
            let schema = Schema::new(vec![Field::new(name, data_type, true)]);
            let report = delta_schema(&schema, Nanoseconds::Refused)
                .unwrap_err()
                .report();
            assert!(report.contains(name) && report.contains(hint), "{report}");
        }
    }

    #[test]
    fn what_changes_is_known_at_any_depth() {
        let list = |item| DataType::FixedSizeList(Arc::new(Field::new("item", item, true)), 3);
        assert!(is_changed_for_delta(&list(DataType::Float32)));
        let inner = Field::new("n", DataType::UInt8, true);
        assert!(is_changed_for_delta(&DataType::Struct(
            [inner].into_iter().collect()
        )));
        let inner = Field::new("n", DataType::LargeUtf8, true);
        assert!(!is_changed_for_delta(&DataType::Struct(
            [inner].into_iter().collect()
        )));
        assert!(!is_changed_for_delta(&DataType::Int64));
    }
}
