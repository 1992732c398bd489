//! The zones of times that were declared in whole seconds.
//!
//! Parquet has no unit of seconds: such times lie there in milliseconds, while the Arrow schema beside them still says seconds. The
//! zone is nowhere else, and the library takes it only where both have one unit.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use arrow_ipc::convert::try_schema_from_ipc_buffer;
use base64::{Engine, prelude::BASE64_STANDARD};
use parquet::{arrow::ARROW_SCHEMA_META_KEY, file::metadata::KeyValue};

use crate::error::contained;

/// `schema` of a file with these key-value pairs, each of its times in milliseconds in the zone that was declared with seconds.
pub(super) fn with_zones(schema: Schema, pairs: Option<&Vec<KeyValue>>) -> Schema {
    if !schema.fields().iter().any(|field| has_millis(field)) {
        return schema;
    }
    let Some(declared) = declared(pairs) else {
        return schema;
    };
    let fields = zoned(schema.fields(), declared.fields());
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn is_millis(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(TimeUnit::Millisecond, Some(_))
    )
}

fn has_millis(field: &Field) -> bool {
    is_millis(field.data_type())
        || match field.data_type() {
            DataType::Struct(fields) => fields.iter().any(|field| has_millis(field)),
            other => item_of(other).is_some_and(|item| has_millis(item)),
        }
}

/// What the writer declared; `None` where that cannot be read, which the library has told by then.
fn declared(pairs: Option<&Vec<KeyValue>>) -> Option<Schema> {
    let pair = pairs?
        .iter()
        .find(|pair| pair.key == ARROW_SCHEMA_META_KEY)?;
    let bytes = BASE64_STANDARD.decode(pair.value.as_ref()?).ok()?;
    let schema = contained("arrow-ipc", || try_schema_from_ipc_buffer(&bytes));
    schema.ok()?.ok()
}

fn item_of(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => Some(item),
        _ => None,
    }
}

/// Fields of a file by the names of those that were declared.
fn zoned(fields: &Fields, declared: &Fields) -> Fields {
    let zoned = fields
        .iter()
        .map(|field| match declared.find(field.name()) {
            Some((_, declared)) => zoned_field(field, declared),
            None => Arc::clone(field),
        });
    zoned.collect()
}

fn zoned_field(field: &FieldRef, declared: &Field) -> FieldRef {
    use DataType::{
        FixedSizeList, LargeList, LargeListView, List, ListView, Map, Struct, Timestamp,
    };
    let item = |item: &FieldRef| match item_of(declared.data_type()) {
        Some(declared) => zoned_field(item, declared),
        None => Arc::clone(item),
    };
    let data_type = match (field.data_type(), declared.data_type()) {
        (own, Timestamp(TimeUnit::Second, zone @ Some(_))) if is_millis(own) => {
            Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        (Struct(fields), Struct(declared)) => Struct(zoned(fields, declared)),
        (List(of), _) => List(item(of)),
        (LargeList(of), _) => LargeList(item(of)),
        (ListView(of), _) => ListView(item(of)),
        (LargeListView(of), _) => LargeListView(item(of)),
        (FixedSizeList(of, length), _) => FixedSizeList(item(of), *length),
        (Map(of, is_sorted), _) => Map(item(of), *is_sorted),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}
