//! The columns of a store's files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::EmbeddingType;
use crate::schema::{
    CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, REASON, STATUS, STORED_ROW, STORED_SHARD, ScoreColumn,
    TEXT_EMBEDDING, WIDTH,
};

/// Whether a file of a store may have a column of this name and type; any, of a name that is not the store's.
pub(super) fn is_stored_as(name: &str, found: &DataType) -> bool {
    if let Some(derived) = ScoreColumn::derived_from_name(name) {
        return *found == derived.data_type();
    }
    match (name, found) {
        (IMAGE_EMBEDDING | TEXT_EMBEDDING, DataType::List(element)) => {
            matches!(element.data_type(), DataType::Float16 | DataType::Float32)
        }
        (IMAGE_EMBEDDING | TEXT_EMBEDDING, _) => false,
        _ => {
            let known = stored_schema(EmbeddingType::None, []);
            let field = known.field_with_name(name);
            field.map_or(true, |field| field.data_type() == found)
        }
    }
}

/// The columns of a store's files, and the `derived` ones that lie beside them.
pub fn stored_schema<'a>(
    embeddings: EmbeddingType,
    derived: impl IntoIterator<Item = &'a String>,
) -> SchemaRef {
    let mut fields = vec![
        Field::new(STORED_SHARD, DataType::Utf8, false),
        Field::new(STORED_ROW, DataType::Int64, false),
        Field::new(STATUS, DataType::Utf8, false),
        Field::new(REASON, DataType::Utf8, true),
        Field::new(WIDTH, DataType::UInt32, true),
        Field::new(HEIGHT, DataType::UInt32, true),
        Field::new(CLIP_SCORE, DataType::Float32, true),
    ];
    let number = match embeddings {
        EmbeddingType::F16 => Some(DataType::Float16),
        EmbeddingType::F32 => Some(DataType::Float32),
        EmbeddingType::None => None,
    };
    for name in [IMAGE_EMBEDDING, TEXT_EMBEDDING] {
        fields.extend(number.clone().map(|number| {
            let element = Field::new("element", number, true);
            Field::new(name, DataType::List(Arc::new(element)), true)
        }));
    }
    let derived = derived.into_iter();
    let derived = derived.filter_map(|name| ScoreColumn::derived_from_name(name));
    fields.extend(derived.map(|column| Field::new(column.name(), column.data_type(), true)));
    Arc::new(Schema::new(fields))
}
