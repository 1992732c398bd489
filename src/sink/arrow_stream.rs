//! Rows as an Arrow IPC stream.

use std::{io::Write, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};
use arrow_ipc::writer::StreamWriter;

use super::{plain_batches, plain_schema};
use crate::error::{Error, Result};

/// Writes an Arrow IPC stream, its strings and bytes plain columns.
pub struct ArrowStream<W: Write> {
    writer: StreamWriter<W>,
    schema: SchemaRef,
}

impl<W: Write> ArrowStream<W> {
    /// Starts the stream; batches may have views where `schema` has plain strings and bytes, or the other way
    /// round.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn try_new(out: W, schema: &Schema) -> Result<Self> {
        // A view shares buffers with rows that were left out; IPC would write those whole.
        let schema = Arc::new(plain_schema(schema));
        let writer = StreamWriter::try_new(out, &schema).map_err(failed)?;
        Ok(Self { writer, schema })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When a value alone has 2 GiB or more, or `out` cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for plain in plain_batches(batch, &self.schema)? {
            self.writer.write(&plain).map_err(failed)?;
        }
        Ok(())
    }

    /// Hands what was written to whoever reads.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(failed)
    }

    /// Writes the end of the stream.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.writer.finish().map_err(failed)
    }
}

fn failed(error: ArrowError) -> Error {
    Error::output("write the Arrow stream").source(error)
}
