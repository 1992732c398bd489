//! How a store's Parquet files are written.

use std::fmt;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use super::blobs::{Blobs, Durability};
use crate::{
    error::{Error, Result},
    schema::{IMAGE_EMBEDDING, ScoreColumn, TEXT_EMBEDDING, Values},
};

/// Bounds the memory of a writer, and what a reader holds of a column.
const ROW_GROUP_BYTES: usize = 32 << 20;
const ROW_GROUP_ROWS: usize = 1 << 17;

pub(super) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn failed(place: &dyn fmt::Display, error: impl Into<BoxedError>) -> Error {
    Error::output("write to the score store")
        .with("file", place)
        .source(error)
        .hint("free space there and run the same command again: what is committed is not encoded again")
}

/// A Parquet blob that is to be written.
pub(super) struct ParquetBlob<'a> {
    pub(super) blobs: &'a dyn Blobs,
    pub(super) name: &'a str,
    pub(super) durability: Durability,
    pub(super) schema: &'a SchemaRef,
    /// Of the file.
    pub(super) metadata: Vec<(String, String)>,
}

impl ParquetBlob<'_> {
    /// Writes `batches` to it.
    ///
    /// # Errors
    /// When a batch is an error, or there is no room; nothing has changed then.
    pub(super) fn put(self, batches: impl IntoIterator<Item = Result<RecordBatch>>) -> Result<()> {
        let failed = |error: BoxedError| failed(&self.blobs.place(self.name), error);
        let mut batches = batches.into_iter();
        let properties = properties(self.metadata);
        self.blobs.put(self.name, self.durability, &mut |out| {
            let (schema, properties) = (SchemaRef::clone(self.schema), properties.clone());
            let mut writer = ArrowWriter::try_new(out, schema, Some(properties))
                .map_err(|error| failed(error.into()))?;
            for batch in batches.by_ref() {
                writer
                    .write(&batch?)
                    .map_err(|error| failed(error.into()))?;
            }
            writer.close().map_err(|error| failed(error.into()))?;
            Ok(())
        })
    }
}

/// Scores and embeddings are numbers that no codec helps; the rest repeats itself.
fn properties(metadata: Vec<(String, String)>) -> WriterProperties {
    let pairs = metadata
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value))
        .collect();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(pairs))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_column_dictionary_enabled(ColumnPath::from(crate::schema::STORED_ROW), false)
        .set_column_encoding(
            ColumnPath::from(crate::schema::STORED_ROW),
            Encoding::DELTA_BINARY_PACKED,
        );
    let numbers = ScoreColumn::ALL.iter();
    for name in numbers
        .filter(|column| column.values() == Values::F32)
        .map(|column| column.name())
    {
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(name), false)
            .set_column_compression(ColumnPath::from(name), Compression::UNCOMPRESSED);
    }
    for name in [IMAGE_EMBEDDING, TEXT_EMBEDDING] {
        let values = ColumnPath::new(vec![
            name.to_owned(),
            "list".to_owned(),
            "element".to_owned(),
        ]);
        builder = builder
            .set_column_dictionary_enabled(values.clone(), false)
            .set_column_compression(values.clone(), Compression::UNCOMPRESSED)
            .set_column_statistics_enabled(values, EnabledStatistics::None);
    }
    builder.build()
}
