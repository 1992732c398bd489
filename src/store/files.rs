//! Files that are there only when they are whole.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

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

use crate::{
    error::{Error, Result},
    schema::{IMAGE_EMBEDDING, ScoreColumn, TEXT_EMBEDDING, Values},
};

/// Bounds the memory of a writer, and what a reader holds of a column.
const ROW_GROUP_BYTES: usize = 32 << 20;
const ROW_GROUP_ROWS: usize = 1 << 17;

pub(super) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn failed(path: &Path, error: impl Into<BoxedError>) -> Error {
    Error::output("write to the score store")
        .with("file", path.display())
        .source(error)
        .hint("free space there and run the same command again: what is committed is not encoded again")
}

/// Writes `bytes` at `path`, replacing what is there in one step.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| failed(path, error))?;
    sync_parent(path);
    Ok(())
}

/// Writes `batches` at `path` as Parquet; the name appears when the content is synced.
pub(super) fn write_parquet(
    path: &Path,
    schema: &SchemaRef,
    metadata: Vec<(String, String)>,
    batches: impl IntoIterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let temporary = temporary(path);
    let written = write_whole(&temporary, schema, metadata, batches)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(|error| failed(path, error)));
    if written.is_err() {
        // Room for the next try.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write_whole(
    path: &Path,
    schema: &SchemaRef,
    metadata: Vec<(String, String)>,
    batches: impl IntoIterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let failed = |error: BoxedError| failed(path, error);
    let file = File::create(path).map_err(|error| failed(error.into()))?;
    let properties = Some(properties(metadata));
    let mut writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), properties)
        .map_err(|error| failed(error.into()))?;
    for batch in batches {
        writer
            .write(&batch?)
            .map_err(|error| failed(error.into()))?;
    }
    writer.finish().map_err(|error| failed(error.into()))?;
    let synced = writer.inner().sync_all();
    synced.map_err(|error| failed(error.into()))
}

/// A name that no reader looks for; a leftover of a process that died is overwritten.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

pub(super) fn sync_parent(path: &Path) {
    if let Some(parent) = path.parent() {
        // Not every file system can; the files themselves are synced before.
        let _ = File::open(parent).and_then(|directory| directory.sync_all());
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
