//! One Parquet file under way, in which row groups of other files are taken as they lie.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ArrowWriter,
        arrow_writer::{
            ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
        },
    },
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{metadata::ParquetMetaData, properties::WriterProperties, reader::ChunkReader},
    schema::types::{SchemaDescriptor, TypePtr},
};

use super::{
    Part,
    opaque::OpaqueColumn,
    parquet_file::{Chunk, ParquetFile},
};
use crate::source::{stored_schema, unnumbered};

/// Most rows of a row group, however small they are.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// A row group as it lies in its file.
#[derive(Debug, Clone)]
pub struct EncodedGroup<F> {
    /// The bytes of the file.
    pub file: F,
    /// Its footer, with page indexes where it has them.
    pub footer: Arc<ParquetMetaData>,
    /// Which row group.
    pub group: usize,
}

impl<F> EncodedGroup<F> {
    /// The column chunk of a leaf, as if a writer had just made it.
    fn chunk(&self, leaf: usize) -> ColumnCloseResult {
        let group = self.footer.row_group(self.group);
        let metadata = group.column(leaf).clone();
        let (_, length) = metadata.byte_range();
        let column_index = self.footer.column_index();
        let offset_index = self.footer.offset_index();
        ColumnCloseResult {
            bytes_written: length,
            rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
            column_index: column_index.and_then(|index| index.get(self.group)?.get(leaf).cloned()),
            offset_index: offset_index.and_then(|index| index.get(self.group)?.get(leaf).cloned()),
            metadata,
            bloom_filter: None,
        }
    }
}

/// How an output stores its columns, down to the last level.
#[derive(Debug, Clone)]
pub struct ColumnLayout(Arc<SchemaDescriptor>);

impl ColumnLayout {
    /// Of files whose columns these are.
    pub(super) fn of(schema: &Schema, stored: &[Option<TypePtr>]) -> Result<Self> {
        Ok(Self(Arc::new(parquet_columns(schema, stored)?)))
    }

    /// True if the columns of a file are stored as the output's first ones are, so that its row groups can be
    /// taken as they lie. It must say where its pages are: an output always does, so that late
    /// materialisation works on it too.
    pub fn takes(&self, footer: &ParquetMetaData) -> bool {
        let indexed = footer.offset_index().is_some_and(|groups| {
            let complete =
                |group: &Vec<_>| group.len() == footer.file_metadata().schema_descr().num_columns();
            groups.len() == footer.num_row_groups() && groups.iter().all(complete)
        });
        if !indexed {
            return false;
        }
        let theirs = footer.file_metadata().schema_descr().root_schema();
        let theirs: Result<Vec<_>> = theirs.get_fields().iter().map(unnumbered).collect();
        let theirs = theirs.and_then(|columns| stored_schema(&columns));
        let Ok(theirs) = theirs else { return false };
        let ours = self.0.columns().get(..theirs.num_columns());
        ours.is_some_and(|ours| ours == theirs.columns())
    }
}

/// How a file is laid out.
pub(super) struct PartLayout<'a> {
    /// What Parquet is to have the first columns as; by their Arrow types where that is `None` or there is nothing.
    pub(super) stored: &'a [Option<TypePtr>],
    pub(super) properties: WriterProperties,
    /// A row group is closed at this size.
    pub(super) row_group_bytes: usize,
}

/// One Parquet file under way: rows are encoded into row groups, and whole row groups of other files taken as
/// they are.
pub(super) struct PartWriter {
    file: ParquetFile,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    row_group_bytes: usize,
    /// The row group that is being filled, and where it begins.
    columns: Vec<ArrowColumnWriter>,
    start: usize,
    rows: usize,
    /// The column that is written as it comes, if there is one; its writer among `columns` gets nothing.
    opaque: Option<OpaqueColumn>,
}

impl PartWriter {
    pub(super) fn create(
        part: Box<dyn Part>,
        schema: &SchemaRef,
        layout: PartLayout<'_>,
    ) -> Result<Self> {
        let options = ArrowWriterOptions::new()
            .with_properties(layout.properties)
            .with_parquet_schema(parquet_columns(schema, layout.stored)?)
            .with_skip_arrow_metadata(true);
        // It says how columns are encoded and writes nothing.
        let nowhere = std::io::sink();
        let writer = ArrowWriter::try_new_with_options(nowhere, Arc::clone(schema), options)?;
        let (file, factory) = writer.into_serialized_writer()?;
        let stored = Arc::new(file.schema_descr().clone());
        let properties = Arc::clone(file.properties());
        Ok(Self {
            opaque: OpaqueColumn::of(schema, &stored, &properties),
            file: ParquetFile::create(part, stored, properties)?,
            factory,
            schema: Arc::clone(schema),
            row_group_bytes: layout.row_group_bytes,
            columns: Vec::new(),
            start: 0,
            rows: 0,
        })
    }

    /// Bytes written or waiting.
    pub(super) fn size_bytes(&self) -> usize {
        self.file.bytes_written() + self.waiting_bytes()
    }

    /// Bytes of the row group that is being filled which are in memory.
    pub(super) fn waiting_bytes(&self) -> usize {
        let opaque = self.opaque.as_ref().map_or(0, OpaqueColumn::waiting_bytes);
        self.encoded_bytes() + opaque
    }

    fn encoded_bytes(&self) -> usize {
        let bytes = ArrowColumnWriter::get_estimated_total_bytes;
        self.columns.iter().map(bytes).sum()
    }

    /// Bytes of the row group that is being filled.
    fn group_bytes(&self) -> usize {
        let opaque = self.opaque.as_ref().map_or(0, OpaqueColumn::chunk_bytes);
        self.encoded_bytes() + opaque
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = self.factory.create_column_writers(self.file.groups())?;
            self.start = self.file.bytes_written();
        }
        let own = self.opaque.as_ref().map(|opaque| opaque.leaf);
        write_columns(&mut self.columns, &self.schema, batch, own)?;
        if let Some(opaque) = &mut self.opaque {
            let at = self.file.bytes_written();
            opaque.write(&self.schema, batch.columns(), self.file.out(), at)?;
        }
        self.rows += batch.num_rows();
        if self.rows >= ROW_GROUP_ROWS || self.group_bytes() >= self.row_group_bytes {
            self.end_group()?;
        }
        Ok(())
    }

    pub(super) fn layout(&self) -> ColumnLayout {
        ColumnLayout(Arc::clone(self.file.schema()))
    }

    /// Takes a whole row group without decoding it; `added` are the columns behind its own, one row for each
    /// of its rows.
    pub(super) fn copy<F: ChunkReader>(
        &mut self,
        source: &EncodedGroup<F>,
        added: &RecordBatch,
    ) -> Result<()> {
        self.end_group()?;
        let leaves = source.footer.row_group(source.group).num_columns();
        let mut columns = self.factory.create_column_writers(self.file.groups())?;
        let mut columns = columns.split_off(leaves);
        write_columns(&mut columns, &added.schema(), added, None)?;
        let start = self.file.bytes_written();
        let mut chunks = Vec::with_capacity(leaves + columns.len());
        for leaf in 0..leaves {
            let chunk = self.file.copy(&source.file, source.chunk(leaf))?;
            chunks.push(Chunk::Written(chunk));
        }
        for column in columns {
            chunks.push(Chunk::Encoded(column.close()?));
        }
        self.file.close_group(start, chunks)
    }

    /// Writes the footer; the part is not closed.
    pub(super) fn finish(mut self) -> Result<Box<dyn Part>> {
        self.end_group()?;
        self.file.finish()
    }

    /// Closes the row group that is being filled.
    pub(super) fn end_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut chunks = Vec::with_capacity(self.columns.len());
        for (leaf, column) in std::mem::take(&mut self.columns).into_iter().enumerate() {
            chunks.push(match &mut self.opaque {
                Some(opaque) if opaque.leaf == leaf => {
                    let at = self.file.bytes_written();
                    Chunk::Written(opaque.close(self.file.out(), at)?)
                }
                _ => Chunk::Encoded(column.close()?),
            });
        }
        self.rows = 0;
        self.file.close_group(self.start, chunks)
    }
}

/// The columns of `schema`, the first as `stored` has them. The numbers that a table gives to its columns stay in the table.
pub(super) fn parquet_columns(
    schema: &Schema,
    stored: &[Option<TypePtr>],
) -> Result<SchemaDescriptor> {
    let derived = ArrowSchemaConverter::new().convert(schema)?;
    let derived = derived.root_schema().get_fields().iter();
    let stored = stored.iter().map(Option::as_ref);
    let columns = derived.zip(stored.chain(std::iter::repeat(None)));
    let columns = columns.map(|(derived, stored)| unnumbered(stored.unwrap_or(derived)));
    stored_schema(&columns.collect::<Result<Vec<_>>>()?)
}

/// Encodes the columns of `batch`, but for the leaf `but`.
fn write_columns(
    writers: &mut [ArrowColumnWriter],
    schema: &SchemaRef,
    batch: &RecordBatch,
    but: Option<usize>,
) -> Result<()> {
    let mut writers = writers.iter_mut().enumerate();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        for leaf in compute_leaves(field, column)? {
            let writer = writers.next();
            let (at, writer) =
                writer.ok_or_else(|| ParquetError::General("too few columns".into()))?;
            if but != Some(at) {
                writer.write(&leaf)?;
            }
        }
    }
    Ok(())
}
