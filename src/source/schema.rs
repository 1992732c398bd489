//! Whether the columns of several shards can be read as one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};

use super::view_schema;

/// The first position at which two schemas have columns that cannot be read as one.
pub(super) fn first_difference(ours: &Schema, theirs: &Schema) -> Option<usize> {
    let (ours, theirs) = (view_schema(ours), view_schema(theirs));
    let same = |position: usize| match (ours.fields().get(position), theirs.fields().get(position))
    {
        (Some(a), Some(b)) => a.name() == b.name() && same_type(a.data_type(), b.data_type()),
        _ => false,
    };
    (0..ours.fields().len().max(theirs.fields().len())).find(|&position| !same(position))
}

/// The column at a position, in the words of an error.
pub(super) fn describe(schema: &Schema, position: usize) -> String {
    schema
        .fields()
        .get(position)
        .map_or("no such column".to_owned(), |field| {
            format!("{} {}", field.name(), field.data_type())
        })
}

/// `ours` with null allowed wherever `theirs` allows it; both have the same columns.
pub(super) fn relax(ours: &Schema, theirs: &Schema) -> Schema {
    Schema::new_with_metadata(
        relax_fields(ours.fields(), theirs.fields()),
        ours.metadata().clone(),
    )
}

fn relax_fields(ours: &Fields, theirs: &Fields) -> Fields {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| relax_field(ours, theirs))
        .collect()
}

fn relax_field(ours: &Field, theirs: &Field) -> Field {
    let data_type = match (ours.data_type(), theirs.data_type()) {
        (DataType::Struct(a), DataType::Struct(b)) => DataType::Struct(relax_fields(a, b)),
        (DataType::List(a), DataType::List(b)) => DataType::List(Arc::new(relax_field(a, b))),
        (kept, _) => kept.clone(),
    };
    ours.clone()
        .with_data_type(data_type)
        .with_nullable(ours.is_nullable() || theirs.is_nullable())
}

/// Equal but for nullability and field metadata, at any depth.
fn same_type(a: &DataType, b: &DataType) -> bool {
    a.equals_datatype(b)
        || match (a, b) {
            (DataType::Struct(a), DataType::Struct(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| {
                        a.name() == b.name() && same_type(a.data_type(), b.data_type())
                    })
            }
            (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
            _ => false,
        }
}
