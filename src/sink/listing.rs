//! A Parquet file of a few facts per row.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::arrow::ArrowWriter;

use super::{Part, Staged};
use crate::error::{Error, Result};

/// A Parquet file of a few facts per row, not visible yet; nothing is left of it unless it is finished.
pub struct Listing {
    // Before `staged`, which removes the file.
    writer: ArrowWriter<Box<dyn Part>>,
    staged: Staged,
}

impl Listing {
    /// Starts the one file of `staged`.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn create(staged: Staged, schema: SchemaRef) -> Result<Self> {
        let part = staged.part(0)?;
        let writer =
            ArrowWriter::try_new(part, schema, None).map_err(|error| failed(&staged, error))?;
        Ok(Self { writer, staged })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer
            .write(rows)
            .map_err(|error| failed(&self.staged, error))
    }

    /// Waits until the file is safe; it is not visible yet.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn close(self) -> Result<Staged> {
        let Self { writer, mut staged } = self;
        let part = writer
            .into_inner()
            .map_err(|error| failed(&staged, error))?;
        staged.add(part.close()?);
        Ok(staged)
    }
}

fn failed(staged: &Staged, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::output("write a list of rows")
        .with("file", staged.destination())
        .source(error)
}
