//! Columns as they are read: byte and string columns as views, so that values stay where their page is.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray},
    compute::cast,
    datatypes::{DataType, Fields, Schema},
    error::ArrowError,
};

/// `column` as `data_type`, from which it differs at most in which of its parts may be null.
///
/// # Errors
/// When it differs in more.
pub fn conform(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        Ok(Arc::clone(column))
    } else {
        cast(column, data_type)
    }
}

/// `column` with bytes of its own: views of a few wanted rows would keep whole pages in memory.
pub fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::Struct(_) => {
            let (fields, columns, nulls) = column.as_struct().clone().into_parts();
            let columns = columns.iter().map(compact).collect();
            Arc::new(StructArray::new(fields, columns, nulls))
        }
        _ => Arc::clone(column),
    }
}

/// `schema` with byte and string columns as views, also inside structs.
pub fn view_schema(schema: &Schema) -> Schema {
    Schema::new_with_metadata(view_fields(schema.fields()), schema.metadata().clone())
}

fn view_fields(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|field| {
            field
                .as_ref()
                .clone()
                .with_data_type(view_type(field.data_type()))
        })
        .collect()
}

pub(super) fn view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Struct(fields) => DataType::Struct(view_fields(fields)),
        other => other.clone(),
    }
}
