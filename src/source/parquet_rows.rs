//! Parquet shards: the footer, and pages of row groups.

use std::{collections::HashMap, ops::Range, sync::Arc};

use arrow::{
    array::{Array, Int64Array, RecordBatch},
    compute::prep_null_mask_filter,
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection,
            RowSelector,
        },
        parquet_to_arrow_field_levels,
    },
    basic::Compression,
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, PageIndexPolicy, RowGroupMetaData},
        reader::FileReader,
    },
};

use super::{
    ContainedBatches, Location, ReadPlan, ShardBytes,
    footer::footer_of,
    kind::{
        Batches, ChunkLayout, EncodedRows, GroupLayout, Kind, Layout, OpenRows, Outline, ShardRows,
    },
    pages::{GroupPages, PageSizes, whole_chunk_bytes, whole_page_bytes},
    read_footer, view_schema,
};
use crate::{
    error::{Error, Result},
    schema::ROW,
};

pub(super) const KIND: Kind = Kind {
    endings: &["parquet", "pq", "parq"],
    outline,
    layout,
};

/// Rows below this size are small: a page of the usual 1 MiB holds hundreds.
const SMALL_ROW_BYTES: u64 = 4096;
/// Pages up to this size are read as a whole in any case; the usual one has 1 MiB.
const LEAST_PART_BYTES: u64 = 1 << 20;
/// Pages up to the target of a batch are quicker to read as a whole, if it is no larger than this.
const MOST_WHOLE_BYTES: u64 = 64 << 20;
/// Larger parts save nothing.
const MOST_PART_BYTES: u64 = 4 << 20;

fn outline(location: &Location, file: &ShardBytes) -> Result<Outline> {
    let footer = footer_of(location, file)?;
    let groups = footer.metadata().row_groups();
    let rows = groups.iter().map(|group| {
        u64::try_from(group.num_rows()).map_err(|error| {
            Error::input("read a row group's row count")
                .with("shard", location)
                .source(error)
        })
    });
    let first = groups.first().and_then(|group| group.columns().first());
    Ok(Outline {
        schema: Arc::clone(footer.schema()),
        metadata: key_values(&footer),
        compression: first.map_or(Compression::UNCOMPRESSED, ColumnChunkMetaData::compression),
        row_groups: rows.collect::<Result<_>>()?,
        whole_bytes: whole_chunk_bytes(footer.metadata()),
        rows: Arc::new(ParquetRows),
    })
}

/// Key-value pairs of a file, without the Arrow schema.
fn key_values(footer: &ArrowReaderMetadata) -> HashMap<String, String> {
    // Some writers put them only into the Arrow schema, others beside it too.
    let mut pairs = footer.schema().metadata().clone();
    let in_file = footer.metadata().file_metadata().key_value_metadata();
    pairs.extend(
        in_file
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))),
    );
    pairs.remove(parquet::arrow::ARROW_SCHEMA_META_KEY);
    pairs
}

fn layout(location: &Location, file: &ShardBytes) -> Result<Layout> {
    let footer = footer_of(location, file)?;
    let groups = footer.metadata().row_groups().iter();
    Ok(Layout {
        schema: Arc::clone(footer.schema()),
        metadata: key_values(&footer),
        row_groups: groups.map(|group| group_layout(group, &footer)).collect(),
    })
}

fn group_layout(group: &RowGroupMetaData, footer: &ArrowReaderMetadata) -> GroupLayout {
    let has_index = |chunk: &ColumnChunkMetaData| chunk.offset_index_offset().is_some();
    let chunks = group.columns().iter().enumerate();
    let chunks = chunks.map(|(leaf, chunk)| ChunkLayout {
        column: footer.parquet_schema().get_column_root_idx(leaf),
        codec: codec(chunk),
        compressed_bytes: natural(chunk.compressed_size()),
        uncompressed_bytes: natural(chunk.uncompressed_size()),
    });
    GroupLayout {
        rows: natural(group.num_rows()),
        compressed_bytes: natural(group.compressed_size()),
        is_indexed: group.columns().iter().all(has_index),
        chunks: chunks.collect(),
    }
}

/// What a damaged footer may say to be negative is none.
fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// `zstd` of `ZSTD(ZstdLevel(1))`: a footer does not know the level.
fn codec(chunk: &ColumnChunkMetaData) -> String {
    let name = chunk.compression().to_string().to_lowercase();
    name.split('(').next().unwrap_or_default().to_owned()
}

/// Nothing is kept of the footer: of thousands of shards that would be memory that nobody has stated.
#[derive(Debug)]
struct ParquetRows;

impl ShardRows for ParquetRows {
    fn open(&self, location: &Location, plan: ReadPlan) -> Result<Box<dyn OpenRows>> {
        let file = location.open()?;
        let failed = |error: ParquetError| {
            Error::input("read the Parquet footer")
                .with("shard", location)
                .source(error)
                .of_bad_shard(location.name())
        };
        let indexed = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let plain = read_footer(&file, indexed).map_err(failed)?;
        let options = ArrowReaderOptions::new().with_schema(Arc::new(view_schema(plain.schema())));
        // The same footer, with other types: it is not read again.
        let footer =
            ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).map_err(failed)?;
        Ok(Box::new(OpenParquet {
            shard: location.name().to_owned(),
            file,
            footer,
            plan,
        }))
    }

    fn whole_bytes(&self, location: &Location, columns: &[usize], least: u64) -> Result<u64> {
        let file = location.open()?;
        let footer = footer_of(location, &file)?;
        let bytes = whole_page_bytes(&file, footer.metadata(), columns, least);
        bytes.map_err(|error| {
            Error::input("read the headers of pages")
                .with("shard", location)
                .source(error)
                .of_bad_shard(location.name())
        })
    }
}

/// Reads row group by row group, of each column a page at a time, or a part of it where it is large.
///
/// Image bytes are not copied out of what was read. Neither a column chunk nor a page of it is ever in memory as a
/// whole: a row group that is one page of a gigabyte costs what a part does.
struct OpenParquet {
    shard: String,
    file: ShardBytes,
    footer: ArrowReaderMetadata,
    plan: ReadPlan,
}

impl OpenRows for OpenParquet {
    fn row_group(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Result<Batches> {
        let batches = self.batches(group, wanted);
        let batches = batches.map_err(|error| read_error(&self.shard, group, error))?;
        let shard = self.shard.clone();
        Ok(Box::new(batches.map(move |batch| {
            batch.map_err(|error| read_error(&shard, group, error))
        })))
    }

    fn encoded(&self) -> Option<EncodedRows> {
        Some(EncodedRows {
            bytes: self.file.clone(),
            footer: Arc::clone(self.footer.metadata()),
        })
    }
}

type ArrowBatches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl OpenParquet {
    fn batches(
        &self,
        group: usize,
        wanted: Option<Vec<Range<usize>>>,
    ) -> Result<ArrowBatches, ArrowError> {
        let sizes = PageSizes {
            whole_bytes: self
                .plan
                .batch_bytes
                .clamp(LEAST_PART_BYTES, MOST_WHOLE_BYTES),
            part_bytes: (self.plan.batch_bytes / 4).clamp(LEAST_PART_BYTES, MOST_PART_BYTES),
        };
        let footer = Arc::clone(self.footer.metadata());
        let pages = GroupPages::new(self.file.clone(), footer, group, sizes);
        let pages: Arc<dyn FileReader> = Arc::new(pages);
        let rows = self.rows_of(group);
        let mut selection =
            wanted.map(|wanted| RowSelection::from_consecutive_ranges(wanted.into_iter(), rows));
        for predicate in &self.plan.predicates {
            if selection.as_ref().is_some_and(|rows| !rows.selects_any()) {
                break;
            }
            let batches = self.read(&pages, group, &predicate.columns, selection.clone())?;
            let verdicts = batches.map(|batch| {
                let passes = (predicate.evaluate)(&batch?)?;
                Ok(match passes.null_count() {
                    0 => passes,
                    _ => prep_null_mask_filter(&passes),
                })
            });
            let passes =
                RowSelection::from_filters(&verdicts.collect::<Result<Vec<_>, ArrowError>>()?);
            selection = Some(match selection {
                Some(before) => before.and_then(&passes),
                None => passes,
            });
        }
        if selection.as_ref().is_some_and(|rows| !rows.selects_any()) {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut numbers = RowNumbers::new(self.first_row(group), rows, selection.as_ref());
        let batches = self.read(&pages, group, &self.plan.columns, selection)?;
        match self.plan.row_numbers {
            true => Ok(Box::new(batches.map(move |batch| numbers.add_to(&batch?)))),
            false => Ok(Box::new(batches)),
        }
    }

    fn read(
        &self,
        pages: &Arc<dyn FileReader>,
        group: usize,
        columns: &[usize],
        selection: Option<RowSelection>,
    ) -> Result<ContainedBatches, ArrowError> {
        let schema = self.footer.parquet_schema();
        let mask = ProjectionMask::roots(schema, columns.iter().copied());
        let fields = self.footer.schema().fields();
        let levels = parquet_to_arrow_field_levels(schema, mask, Some(fields))?;
        let row_bytes = self.row_bytes(group, columns);
        let fitting = usize::try_from(self.plan.batch_bytes / row_bytes).unwrap_or(usize::MAX);
        let most = self.plan.batch_rows.min(self.rows_of(group));
        let batch_rows = fitting.min(most).max(1);
        let selection = match row_bytes < SMALL_ROW_BYTES {
            true => selection,
            false => selection.map(skipping_runs),
        };
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(
            &levels, pages, batch_rows, selection,
        )?;
        Ok(ContainedBatches::new(reader))
    }

    fn rows_of(&self, group: usize) -> usize {
        let rows = self.footer.metadata().row_group(group).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }

    fn first_row(&self, group: usize) -> i64 {
        let before = self.footer.metadata().row_groups().iter().take(group);
        before.map(|group| group.num_rows()).sum()
    }

    /// Bytes of an average row, of `columns`; at least 1.
    fn row_bytes(&self, group: usize, columns: &[usize]) -> u64 {
        let facts = self.footer.metadata().row_group(group);
        let rows = natural(facts.num_rows()).max(1);
        let schema = self.footer.parquet_schema();
        let leaves = facts.columns().iter().enumerate();
        let read = leaves.filter(|(leaf, _)| columns.contains(&schema.get_column_root_idx(*leaf)));
        let bytes: i64 = read.map(|(_, column)| column.uncompressed_size()).sum();
        (natural(bytes) / rows).max(1)
    }
}

/// `selection`, so that the reader passes over runs of rows that are not wanted.
///
/// By itself it reads all rows between short runs and drops them with a mask: of small rows that costs less, of
/// pictures it would hold them all. It goes by the average run, and one of rows that do not exist makes that a long one.
fn skipping_runs(selection: RowSelection) -> RowSelection {
    let mut runs: Vec<RowSelector> = selection.into();
    runs.push(RowSelector::skip(usize::MAX / 4));
    runs.into()
}

/// Positions of the rows that are read.
struct RowNumbers {
    runs: std::vec::IntoIter<Range<i64>>,
    run: Range<i64>,
}

impl RowNumbers {
    fn new(first: i64, rows: usize, selection: Option<&RowSelection>) -> Self {
        let all = || vec![RowSelector::select(rows)];
        let selectors = selection.cloned().map_or_else(all, Vec::from);
        let (mut at, mut runs) = (first, Vec::new());
        for selector in selectors {
            let end = at.saturating_add(i64::try_from(selector.row_count).unwrap_or(i64::MAX));
            if !selector.skip {
                runs.push(at..end);
            }
            at = end;
        }
        Self {
            runs: runs.into_iter(),
            run: 0..0,
        }
    }

    fn next(&mut self) -> Option<i64> {
        loop {
            if let Some(row) = self.run.next() {
                return Some(row);
            }
            self.run = self.runs.next()?;
        }
    }

    fn add_to(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let numbers = std::iter::from_fn(|| self.next()).take(batch.num_rows());
        let numbers = Int64Array::from_iter_values(numbers);
        let mut fields = batch.schema_ref().fields().to_vec();
        fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(numbers));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

fn read_error(
    shard: &str,
    group: usize,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    // An error of our own comes from a predicate: the file is sound.
    let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(&cause);
    let mut predicate = None;
    while let (Some(error), None) = (inner, &predicate) {
        predicate = error.downcast_ref::<Error>().map(ToString::to_string);
        inner = error.source();
    }
    let error = match predicate {
        Some(message) => Error::input(message),
        None => Error::input("read a row group")
            .hint("the file is damaged there; fetch it again or leave it out (--on-bad-shard skip)")
            .of_bad_shard(shard),
    };
    error
        .with("shard", shard)
        .with("row_group", group)
        .source(cause)
}
