use std::{fs::File, path::PathBuf, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use parquet::arrow::ArrowWriter;

use super::{Destination, Staged};
use crate::{
    error::{Error, Result},
    schema::Status,
};

/// Rejects are written in portions of this many rows.
const PORTION_ROWS: usize = 1024;

/// A bad row, for the rejects file.
#[derive(Debug, Clone)]
pub struct Reject {
    /// Value of the input's key column, if it has one.
    pub key: Option<String>,
    /// Path of its shard.
    pub shard: String,
    /// Its position in the shard.
    pub row: i64,
    /// Its outcome.
    pub status: Status,
    /// Why.
    pub reason: String,
}

/// Writes bad rows to a Parquet file of `key, shard, row, status, reason`.
pub struct RejectsWriter {
    staged: Staged,
    writer: ArrowWriter<File>,
    waiting: Vec<Reject>,
}

impl RejectsWriter {
    /// Starts the file that will be `path` under the name `temporary`.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn create(path: PathBuf, temporary: PathBuf) -> Result<Self> {
        let staged = Destination::File(path).stage_at(temporary)?;
        let file = File::create(staged.part(0)).map_err(|error| failed(&staged, error))?;
        let writer =
            ArrowWriter::try_new(file, schema(), None).map_err(|error| failed(&staged, error))?;
        Ok(Self {
            staged,
            writer,
            waiting: Vec::new(),
        })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, reject: Reject) -> Result<()> {
        self.waiting.push(reject);
        if self.waiting.len() >= PORTION_ROWS {
            self.write_waiting()
        } else {
            Ok(())
        }
    }

    /// Syncs the file; it keeps its temporary name.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<Staged> {
        self.write_waiting()?;
        self.writer
            .finish()
            .map_err(|error| failed(&self.staged, error))?;
        self.writer
            .inner()
            .sync_all()
            .map_err(|error| failed(&self.staged, error))?;
        Ok(self.staged)
    }

    fn write_waiting(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let text = |value: fn(&Reject) -> &str| {
            Arc::new(
                rows.iter()
                    .map(|row| Some(value(row)))
                    .collect::<StringArray>(),
            )
        };
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(
                rows.iter()
                    .map(|row| row.key.as_deref())
                    .collect::<StringArray>(),
            ),
            text(|row| &row.shard),
            Arc::new(rows.iter().map(|row| row.row).collect::<Int64Array>()),
            text(|row| row.status.as_str()),
            text(|row| &row.reason),
        ];
        let batch =
            RecordBatch::try_new(schema(), columns).map_err(|error| failed(&self.staged, error))?;
        self.writer
            .write(&batch)
            .map_err(|error| failed(&self.staged, error))
    }
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("shard", DataType::Utf8, false),
        Field::new("row", DataType::Int64, false),
        Field::new("status", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
    ]))
}

fn failed(staged: &Staged, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::output("write the rejects file")
        .with("file", staged.part(0).display())
        .source(error)
}
