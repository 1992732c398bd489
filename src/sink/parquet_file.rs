//! A Parquet file that is put together from column chunks.
//!
//! The writer of the parquet crate takes the chunks of a row group one behind the other, when all are made. Here some may
//! lie in the file already: a chunk that is written as its values come need not wait in memory.

use std::{
    io::{Error, ErrorKind, Write},
    sync::{Arc, Mutex, mpsc::sync_channel},
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::ArrowColumnChunk,
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{
            ColumnChunkMetaData, FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter,
            RowGroupMetaData,
        },
        page_index::{column_index::ColumnIndexMetaData, offset_index::OffsetIndexMetaData},
        properties::WriterPropertiesPtr,
        reader::ChunkReader,
        writer::{SerializedRowGroupWriter, TrackedWrite},
    },
    schema::types::SchemaDescPtr,
};

use super::Part;

/// What a file begins with.
const MAGIC: &[u8] = b"PAR1";
/// Copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// Blocks that are read before they are written, at most.
const COPIES_AHEAD: usize = 4;

/// A column chunk of a row group that is to be closed.
pub(super) enum Chunk {
    /// It is still to be written.
    Encoded(ArrowColumnChunk),
    /// It lies in the file where it says.
    Written(ColumnCloseResult),
}

/// A file under way.
pub(super) struct ParquetFile {
    out: TrackedWrite<Shared>,
    part: Shared,
    schema: SchemaDescPtr,
    properties: WriterPropertiesPtr,
    groups: Vec<RowGroupMetaData>,
    column_indexes: Vec<Vec<ColumnIndexMetaData>>,
    offset_indexes: Vec<Vec<OffsetIndexMetaData>>,
}

impl ParquetFile {
    pub(super) fn create(
        part: Box<dyn Part>,
        schema: SchemaDescPtr,
        properties: WriterPropertiesPtr,
    ) -> Result<Self> {
        let part = Shared(Arc::new(Mutex::new(Held { part, failed: None })));
        let mut out = TrackedWrite::new(part.clone());
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            part,
            schema,
            properties,
            groups: Vec::new(),
            column_indexes: Vec::new(),
            offset_indexes: Vec::new(),
        })
    }

    pub(super) fn schema(&self) -> &SchemaDescPtr {
        &self.schema
    }

    pub(super) fn bytes_written(&self) -> usize {
        self.out.bytes_written()
    }

    /// How many row groups are closed.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// For bytes of a chunk, which is handed in as [`Chunk::Written`] later.
    pub(super) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Takes the bytes of a chunk of another file; where it lies here.
    pub(super) fn copy<F: ChunkReader>(
        &mut self,
        file: &F,
        chunk: ColumnCloseResult,
    ) -> Result<ColumnCloseResult> {
        let (start, length) = chunk.metadata.byte_range();
        let place = position(self.out.bytes_written())?;
        let end = start.saturating_add(length);
        let blocks = (start..end).step_by(COPY_BYTES).map(|at| {
            let block = usize::try_from(end - at).unwrap_or(usize::MAX);
            file.get_bytes(at, block.min(COPY_BYTES))
        });
        if length <= COPY_BYTES as u64 {
            for block in blocks {
                self.out.write_all(&block?)?;
            }
            return moved(chunk, position(start)?, place);
        }
        // What comes next is read while this is written.
        std::thread::scope(|scope| {
            let (sender, ahead) = sync_channel(COPIES_AHEAD);
            scope.spawn(move || {
                for block in blocks {
                    if sender.send(block).is_err() {
                        break;
                    }
                }
            });
            for block in ahead {
                self.out.write_all(&block?)?;
            }
            Ok::<_, ParquetError>(())
        })?;
        moved(chunk, position(start)?, place)
    }

    /// Closes a row group of which the first byte is at `start`.
    pub(super) fn close_group(&mut self, start: usize, chunks: Vec<Chunk>) -> Result<()> {
        let ordinal = i16::try_from(self.groups.len())
            .map_err(|_| ParquetError::General("too many row groups in one file".into()))?;
        let file_offset = position(start)?;
        let (groups, column_indexes, offset_indexes) = (
            &mut self.groups,
            &mut self.column_indexes,
            &mut self.offset_indexes,
        );
        let mut written = Vec::new();
        for (leaf, chunk) in chunks.iter().enumerate() {
            if let Chunk::Written(chunk) = chunk {
                written.push((leaf, chunk.clone()));
            }
        }
        let on_close =
            move |_: &mut TrackedWrite<Shared>,
                  group: RowGroupMetaData,
                  _: Vec<_>,
                  mut column_index: Vec<Option<ColumnIndexMetaData>>,
                  mut offset_index: Vec<Option<OffsetIndexMetaData>>| {
                let mut columns = group.columns().to_vec();
                let mut bytes = group.total_byte_size();
                for (leaf, chunk) in written {
                    bytes += chunk.metadata.uncompressed_size();
                    columns[leaf] = chunk.metadata;
                    column_index[leaf] = chunk.column_index;
                    offset_index[leaf] = chunk.offset_index;
                }
                let group = group.into_builder().set_column_metadata(columns);
                let group = group.set_total_byte_size(bytes);
                groups.push(group.set_file_offset(file_offset).build()?);
                let column_index = column_index.into_iter();
                column_indexes.push(
                    column_index
                        .map(|index| index.unwrap_or(ColumnIndexMetaData::NONE))
                        .collect(),
                );
                let offset_index = offset_index.into_iter().collect::<Option<Vec<_>>>();
                let lacking = || ParquetError::General("a column chunk without its pages".into());
                offset_indexes.push(offset_index.ok_or_else(lacking)?);
                Ok(())
            };
        let mut group = SerializedRowGroupWriter::new(
            Arc::clone(&self.schema),
            Arc::clone(&self.properties),
            &mut self.out,
            ordinal,
            Some(Box::new(on_close)),
        );
        for chunk in chunks {
            match chunk {
                Chunk::Encoded(chunk) => chunk.append_to_row_group(&mut group)?,
                // In its place, until the row group is closed.
                Chunk::Written(chunk) => group.append_column(&Bytes::new(), empty(&chunk)?)?,
            }
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer; the part is not closed.
    pub(super) fn finish(mut self) -> Result<Box<dyn Part>> {
        self.out.flush()?;
        let rows = self.groups.iter().map(RowGroupMetaData::num_rows).sum();
        let facts = FileMetaData::new(
            self.properties.writer_version().as_num(),
            rows,
            Some(self.properties.created_by().to_owned()),
            self.properties.key_value_metadata().cloned(),
            self.schema,
            None,
        );
        let footer = ParquetMetaDataBuilder::new(facts)
            .set_row_groups(self.groups)
            .set_column_index(Some(self.column_indexes))
            .set_offset_index(Some(self.offset_indexes))
            .build();
        ParquetMetaDataWriter::new_with_tracked(self.out, &footer).finish()?;
        self.part.into_part()
    }
}

fn position(bytes: impl TryInto<i64>) -> Result<i64> {
    let bytes = bytes.try_into();
    bytes.map_err(|_| ParquetError::General("a file that is too large".into()))
}

/// A chunk of as many rows, without a byte.
fn empty(chunk: &ColumnCloseResult) -> Result<ColumnCloseResult> {
    Ok(ColumnCloseResult {
        bytes_written: 0,
        rows_written: chunk.rows_written,
        metadata: ColumnChunkMetaData::builder(chunk.metadata.column_descr_ptr()).build()?,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    })
}

/// What is said of a chunk that began at `from`, of the same bytes at `to`.
fn moved(mut chunk: ColumnCloseResult, from: i64, to: i64) -> Result<ColumnCloseResult> {
    let there = |offset: i64| offset - from + to;
    let old = &chunk.metadata;
    let mut builder = ColumnChunkMetaData::builder(old.column_descr_ptr())
        .set_compression_codec(old.compression_codec())
        .set_encodings_mask(*old.encodings_mask())
        .set_total_compressed_size(old.compressed_size())
        .set_total_uncompressed_size(old.uncompressed_size())
        .set_num_values(old.num_values())
        .set_data_page_offset(there(old.data_page_offset()))
        .set_dictionary_page_offset(old.dictionary_page_offset().map(there))
        .set_unencoded_byte_array_data_bytes(old.unencoded_byte_array_data_bytes())
        .set_repetition_level_histogram(old.repetition_level_histogram().cloned())
        .set_definition_level_histogram(old.definition_level_histogram().cloned());
    if let Some(statistics) = old.statistics() {
        builder = builder.set_statistics(statistics.clone());
    }
    if let Some(statistics) = old.geo_statistics() {
        builder = builder.set_geo_statistics(Box::new(statistics.clone()));
    }
    if let Some(statistics) = old.page_encoding_stats() {
        builder = builder.set_page_encoding_stats(statistics.clone());
    }
    chunk.metadata = builder.build()?;
    for page in chunk
        .offset_index
        .iter_mut()
        .flat_map(|index| &mut index.page_locations)
    {
        page.offset = there(page.offset);
    }
    Ok(chunk)
}

/// The part, of which the writers of the parquet crate keep a hold until they are gone.
#[derive(Clone)]
struct Shared(Arc<Mutex<Held>>);

struct Held {
    part: Box<dyn Part>,
    /// What went wrong when nobody was there to be told.
    failed: Option<Error>,
}

impl Shared {
    fn with<T>(
        &self,
        write: impl FnOnce(&mut dyn Part) -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        let mut held = self.0.lock().map_err(|_| lost())?;
        let written = write(&mut *held.part);
        if let Err(error) = &written
            && error.kind() != ErrorKind::Interrupted
        {
            held.failed = Some(Error::new(error.kind(), error.to_string()));
        }
        written
    }

    fn into_part(self) -> Result<Box<dyn Part>> {
        let held = Arc::try_unwrap(self.0).ok().ok_or_else(lost)?;
        let held = held.into_inner().map_err(|_| lost())?;
        match held.failed {
            None => Ok(held.part),
            Some(error) => Err(error.into()),
        }
    }
}

fn lost() -> Error {
    Error::other("a writer that panicked")
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.with(|part| part.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.with(|part| part.flush())
    }
}
