//! Columns as they are read: byte and string columns as views, so that values stay where their page is.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray, new_null_array},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit},
    error::ArrowError,
};

/// `column` as `data_type`, from which it differs at most in which of its parts may be null, or all of it is null.
///
/// # Errors
/// When it differs in more.
pub fn conform(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        Ok(Arc::clone(column))
    } else if column.null_count() == column.len() {
        // A shard that lacks a column has nulls of a type that may not be the one it is carried as.
        Ok(new_null_array(data_type, column.len()))
    } else {
        cast(column, data_type)
    }
}

/// `column` with bytes of its own: views of a few wanted rows would keep whole pages in memory.
pub fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::Struct(_) => {
            let (fields, columns, nulls) = column.as_struct().clone().into_parts();
            let columns = columns.iter().map(compact).collect();
            Arc::new(StructArray::new(fields, columns, nulls))
        }
        _ => Arc::clone(column),
    }
}

/// `schema` as it is read: byte and string columns as views, also inside structs, and dictionaries, at any depth, as the
/// values that they stand for; of several shards they have more than their keys count.
pub fn view_schema(schema: &Schema) -> Schema {
    Schema::new_with_metadata(view_fields(schema.fields()), schema.metadata().clone())
}

fn view_fields(fields: &Fields) -> Fields {
    let viewed = |field: &FieldRef| Arc::new(with_type(field, view_type(field.data_type())));
    fields.iter().map(viewed).collect()
}

pub(super) fn view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Struct(fields) => DataType::Struct(view_fields(fields)),
        DataType::Dictionary(_, value) => view_type(value),
        other => without_dictionaries(other),
    }
}

/// Of lists and maps the items stay what they are, but for dictionaries.
fn without_dictionaries(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => without_dictionaries(value),
        other => with_children(other, without_dictionaries),
    }
}

/// `field` with times in milliseconds where it has them in seconds.
pub(super) fn with_millis(field: &FieldRef) -> FieldRef {
    fn millis(data_type: &DataType) -> DataType {
        match data_type {
            DataType::Timestamp(TimeUnit::Second, zone) => {
                DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
            }
            other => with_children(other, millis),
        }
    }
    Arc::new(with_type(field, millis(field.data_type())))
}

/// `data_type` with other types within.
fn with_children(data_type: &DataType, change: fn(&DataType) -> DataType) -> DataType {
    let of = |field: &FieldRef| Arc::new(with_type(field, change(field.data_type())));
    match data_type {
        DataType::List(item) => DataType::List(of(item)),
        DataType::LargeList(item) => DataType::LargeList(of(item)),
        DataType::ListView(item) => DataType::ListView(of(item)),
        DataType::LargeListView(item) => DataType::LargeListView(of(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(of(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(of(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of).collect()),
        other => other.clone(),
    }
}

fn with_type(field: &Field, data_type: DataType) -> Field {
    field.clone().with_data_type(data_type)
}
