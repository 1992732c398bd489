//! Parquet written front to back.

use std::io::Write;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions};

use super::{WriterPolicy, part::parquet_columns};
use crate::error::{Error, Result};

/// Writes one Parquet file front to back, so also into a pipe.
pub struct ParquetStream<W: Write + Send>(ArrowWriter<W>);

impl<W: Write + Send> ParquetStream<W> {
    /// Starts the file for batches of `schema`.
    ///
    /// # Errors
    /// When Parquet has no type for a column, or `out` cannot be written.
    pub fn try_new(out: W, policy: &WriterPolicy, schema: SchemaRef) -> Result<Self> {
        let options = ArrowWriterOptions::new()
            .with_properties(policy.properties())
            .with_parquet_schema(parquet_columns(&schema, &policy.stored).map_err(failed)?)
            .with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(out, schema, options)
            .map(Self)
            .map_err(failed)
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).map_err(failed)
    }

    /// Writes what is left and the footer.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish().map(drop).map_err(failed)
    }
}

fn failed(error: parquet::errors::ParquetError) -> Error {
    Error::output("write Parquet").source(error)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

    use arrow::{
        array::{ArrayRef, BinaryViewArray, StringViewArray, StructArray},
        datatypes::{DataType, Field},
    };
    use parquet::{
        arrow::arrow_reader::ParquetRecordBatchReaderBuilder, basic::Compression,
        file::metadata::ParquetMetaData,
    };

    use super::*;

    #[test]
    fn a_result_is_declared_with_plain_types_and_images_are_stored_as_they_are() {
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![b"jpeg".as_slice(); 3]));
        let field = Arc::new(Field::new("bytes", DataType::BinaryView, true));
        let image: ArrayRef = Arc::new(StructArray::from(vec![(field, bytes)]));
        let text: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "c"]));
        let batch = RecordBatch::try_from_iter([("text", text), ("image", image)]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let policy = WriterPolicy::of_result(&batch.schema(), &[]);
        let mut stream = ParquetStream::try_new(file.as_file(), &policy, batch.schema()).unwrap();
        stream.write(&batch).unwrap();
        stream.finish().unwrap();
        let opened = File::open(file.path()).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).unwrap();
        assert_eq!(reader.schema().field(0).data_type(), &DataType::Utf8);
        let codec =
            |metadata: &ParquetMetaData, column| metadata.row_group(0).column(column).compression();
        assert!(matches!(codec(reader.metadata(), 0), Compression::ZSTD(_)));
        assert_eq!(codec(reader.metadata(), 1), Compression::UNCOMPRESSED);
        let rows: usize = reader
            .build()
            .unwrap()
            .map(|batch| batch.unwrap().num_rows())
            .sum();
        assert_eq!(rows, 3);
    }
}
