//! Narrow rows of a run in a temporary file.

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::Compression,
    file::properties::WriterProperties,
};

use crate::error::{Error, Result};

/// Rows of one row group of the spool; bounds the writer's buffers.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Narrow rows of a run, written once and read several times, in an unnamed temporary file.
pub struct Spool {
    writer: ArrowWriter<File>,
    file: File,
    place: String,
}

impl Spool {
    /// An empty spool in `directory`; the file has no name and goes with its last handle.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(directory: &std::path::Path, schema: SchemaRef) -> Result<Self> {
        let place = directory.display().to_string();
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            failed(&place, "make a temporary file", error)
        };
        let file = tempfile::tempfile_in(directory).map_err(|error| failed(error.into()))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_dictionary_enabled(false)
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .build();
        let handle = file.try_clone().map_err(|error| failed(error.into()))?;
        let writer = ArrowWriter::try_new(handle, schema, Some(properties))
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            writer,
            file,
            place,
        })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|error| {
            failed(
                &self.place,
                "write scores to a temporary file",
                error.into(),
            )
        })
    }

    /// Ends writing.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self) -> Result<SpoolRows> {
        let Self {
            writer,
            file,
            place,
        } = self;
        writer
            .close()
            .map_err(|error| failed(&place, "write scores to a temporary file", error.into()))?;
        Ok(SpoolRows {
            file,
            place,
            position: Arc::default(),
        })
    }
}

/// A finished [`Spool`].
pub struct SpoolRows {
    file: File,
    place: String,
    /// Handles of one file have one position in it: held while a reader seeks and reads.
    position: Arc<Mutex<()>>,
}

impl SpoolRows {
    /// The rows in the order they were appended, only the named columns, all if none is named; several may
    /// read at one time.
    ///
    /// # Errors
    /// When the file cannot be read back.
    pub fn read(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let place = self.place.clone();
        let failed = move |error| failed(&place, "read scores back", error);
        let position = Arc::clone(&self.position);
        let held = position.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self
            .file
            .try_clone()
            .map_err(|error| failed(error.into()))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(error.into()))?;
        let mask = match columns {
            [] => ProjectionMask::all(),
            _ => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
        };
        let mut reader: ParquetRecordBatchReader = builder
            .with_projection(mask)
            .build()
            .map_err(|error| failed(error.into()))?;
        drop(held);
        Ok(std::iter::from_fn(move || {
            let _held = position.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = reader.next()?;
            Some(batch.map_err(|error| failed(error.into())))
        }))
    }
}

fn failed(place: &str, doing: &str, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::output(doing)
        .with("directory", place)
        .source(error)
        .hint("free space there, or write elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    #[test]
    fn several_readers_do_not_disturb_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50_000));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut spool = Spool::create(directory.path(), batch.schema()).unwrap();
        spool.append(&batch).unwrap();
        let rows = spool.finish().unwrap();
        let sum = || -> i64 {
            let batches = rows.read(&[]).unwrap().map(Result::unwrap);
            let sum = |batch: RecordBatch| {
                let column = batch.column(0).as_primitive::<Int64Type>();
                column.values().iter().sum::<i64>()
            };
            batches.map(sum).sum()
        };
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(sum)).collect();
            for reader in readers {
                assert_eq!(reader.join().unwrap(), 49_999 * 25_000);
            }
        });
    }
}
