//! Rows as an Arrow IPC stream.

use std::{io::Write, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, new_empty_array},
    datatypes::{DataType, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_ipc::writer::StreamWriter;

use super::{plain_batches, plain_schema};
use crate::error::{Error, Result};

/// Writes an Arrow IPC stream, its strings and bytes plain columns.
///
/// # Shape
/// Every batch has rows but the last, which has none. No reader tells the end of a stream from one that breaks off
/// between two batches; whoever has read the empty batch has read all.
pub struct ArrowStream<W: Write> {
    writer: StreamWriter<W>,
    schema: SchemaRef,
    /// Columns without rows.
    end: Vec<ArrayRef>,
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
        let fields = schema.fields().iter();
        Ok(Self {
            writer,
            end: fields
                .map(|field| new_empty_array(field.data_type()))
                .collect(),
            schema,
        })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When a value alone has 2 GiB or more, or `out` cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        for plain in plain_batches(batch, &self.schema)? {
            self.writer.write(&plain).map_err(failed)?;
            for (end, column) in self.end.iter_mut().zip(plain.columns()) {
                // An empty dictionary would take the place of the one that was sent.
                if holds_dictionary(column.data_type()) {
                    *end = column.slice(0, 0);
                }
            }
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

    /// Writes the batch without rows and the end of the stream.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        if !self.end.is_empty() {
            let end = RecordBatch::try_new(Arc::clone(&self.schema), self.end.clone());
            let written = end.and_then(|end| self.writer.write(&end));
            written.map_err(failed)?;
        }
        self.writer.finish().map_err(failed)
    }
}

fn holds_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds_dictionary(item.data_type()),
        DataType::Struct(fields) => fields
            .iter()
            .any(|field| holds_dictionary(field.data_type())),
        _ => false,
    }
}

fn failed(error: ArrowError) -> Error {
    Error::output("write the Arrow stream").source(error)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, DictionaryArray, Int64Array},
        datatypes::Int8Type,
    };
    use arrow_ipc::reader::StreamReader;

    use super::*;

    /// Rows of each batch, and the words of all.
    fn read(bytes: &[u8]) -> (Vec<usize>, Vec<String>) {
        let batches: Vec<RecordBatch> = StreamReader::try_new(bytes, None)
            .unwrap()
            .map(|batch| batch.unwrap())
            .collect();
        let words = batches.iter().flat_map(|batch| {
            let words = arrow::compute::cast(batch.column(1), &DataType::Utf8).unwrap();
            let words: Vec<_> = words
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned)
                .collect();
            words
        });
        (
            batches.iter().map(RecordBatch::num_rows).collect(),
            words.collect(),
        )
    }

    fn batch(words: &[&str]) -> RecordBatch {
        let words: DictionaryArray<Int8Type> = words.iter().copied().collect();
        let numbers = Int64Array::from_iter_values(0..i64::try_from(words.len()).unwrap());
        let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(numbers)), ("word", Arc::new(words))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn the_last_batch_and_no_other_has_no_rows() {
        let batches = [batch(&["a", "b"]), batch(&[]), batch(&["c"])];
        let mut bytes = Vec::new();
        let mut stream = ArrowStream::try_new(&mut bytes, &batches[0].schema()).unwrap();
        for batch in &batches {
            stream.write(batch).unwrap();
        }
        stream.finish().unwrap();
        drop(stream);
        let (rows, words) = read(&bytes);
        assert_eq!(rows, [2, 1, 0]);
        assert_eq!(words, ["a", "b", "c"]);

        let mut none = Vec::new();
        let mut stream = ArrowStream::try_new(&mut none, &batches[0].schema()).unwrap();
        stream.finish().unwrap();
        drop(stream);
        assert_eq!(read(&none).0, [0]);
    }

    #[test]
    fn a_stream_that_is_not_finished_has_no_end() {
        let rows = batch(&["a"]);
        let mut bytes = Vec::new();
        let mut stream = ArrowStream::try_new(&mut bytes, &rows.schema()).unwrap();
        stream.write(&rows).unwrap();
        stream.flush().unwrap();
        drop(stream);
        assert_eq!(read(&bytes).0, [1]);
        assert_ne!(
            bytes[bytes.len() - 8..],
            [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]
        );
    }
}
