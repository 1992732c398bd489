//! The list of bad rows.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};

use super::{Listing, Staged};
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
    listing: Listing,
    waiting: Vec<Reject>,
}

impl RejectsWriter {
    /// Starts the one file of `staged`.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn create(staged: Staged) -> Result<Self> {
        Ok(Self {
            listing: Listing::create(staged, schema())?,
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

    /// Waits until the file is safe; it is not visible yet.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn close(mut self) -> Result<Staged> {
        self.write_waiting()?;
        self.listing.close()
    }

    fn write_waiting(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let texts = |value: fn(&Reject) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(value).collect::<StringArray>())
        };
        let columns: Vec<ArrayRef> = vec![
            texts(|row| row.key.as_deref()),
            texts(|row| Some(&row.shard)),
            Arc::new(rows.iter().map(|row| row.row).collect::<Int64Array>()),
            texts(|row| Some(row.status.as_str())),
            texts(|row| Some(&row.reason)),
        ];
        let batch = RecordBatch::try_new(schema(), columns)
            .map_err(|error| Error::internal("list bad rows").source(error))?;
        self.listing.write(&batch)
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
