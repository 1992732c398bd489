//! The columns of a store's files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::EmbeddingType;
use crate::schema::{
    CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, REASON, STATUS, STORED_ROW, STORED_SHARD, ScoreColumn,
    TEXT_EMBEDDING, WIDTH,
};

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
