//! Parquet shards under way: pages of row groups.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, Int64Array, RecordBatch},
    compute::prep_null_mask_filter,
    datatypes::{DataType, Field, Fields, IntervalUnit, Schema},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector},
        parquet_to_arrow_field_levels,
    },
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::FileReader,
    },
    schema::types::{SchemaDescriptor, TypePtr},
};

use super::{
    ContainedBatches, ReadPlan, ShardBytes,
    kind::{Batches, EncodedRows, OpenRows, own_error},
    made::{Made, made},
    pages::{FreeBuffers, GroupPages, PageSizes},
    parquet_rows::natural,
    stored::{bare, carried_field, stored_schema, without_intervals},
    view_schema,
};
use crate::{
    error::{Error, Result},
    schema::ROW,
};

/// Rows below this size are small: a page of the usual 1 MiB holds hundreds.
const SMALL_ROW_BYTES: u64 = 4096;
/// Pages up to this size are read as a whole in any case; the usual one has 1 MiB.
const LEAST_PART_BYTES: u64 = 1 << 20;
/// Pages up to the target of a batch are quicker to read as a whole, if it is no larger than this.
const MOST_WHOLE_BYTES: u64 = 64 << 20;
/// Larger parts save nothing.
const MOST_PART_BYTES: u64 = 4 << 20;

/// Reads row group by row group, of each column a page at a time, or a part of it where it is large.
///
/// Image bytes are not copied out of what was read. Neither a column chunk nor a page of it is ever in memory as a
/// whole: a row group that is one page of a gigabyte costs what a part does.
pub(super) struct OpenParquet {
    pub(super) shard: String,
    pub(super) file: ShardBytes,
    pub(super) footer: Arc<ParquetMetaData>,
    pub(super) types: ColumnTypes,
    pub(super) plan: ReadPlan,
    /// For parts of pages, one after the other.
    pub(super) free: FreeBuffers,
}

/// As what the columns of a file are read.
pub(super) struct ColumnTypes {
    /// Without what leaves mean, of columns that come as they are stored or are made of bytes.
    parquet: SchemaDescriptor,
    arrow: Fields,
    made: Vec<Made>,
}

impl ColumnTypes {
    /// Of a file of `columns` whose writer declared them as `declared`.
    pub(super) fn of(
        columns: &[TypePtr],
        declared: &Schema,
        plan: &ReadPlan,
    ) -> Result<Self, ParquetError> {
        let mut arrow = view_schema(declared).fields().to_vec();
        let mut parquet = columns.to_vec();
        let mut made = vec![Made::AsRead; columns.len()];
        for (at, column) in columns.iter().enumerate() {
            made[at] = match arrow[at].data_type() {
                _ if plan.stored.contains(&at) => Made::AsRead,
                DataType::Utf8View if plan.lenient.contains(&at) => Made::TextOrNull,
                DataType::Utf8View => Made::Text,
                DataType::Interval(IntervalUnit::MonthDayNano) => Made::Interval,
                _ => {
                    parquet[at] = without_intervals(column)?;
                    continue;
                }
            };
            parquet[at] = bare(column)?;
            arrow[at] = carried_field(column)?;
        }
        Ok(Self {
            parquet: stored_schema(&parquet)?,
            arrow: arrow.into(),
            made,
        })
    }
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
            footer: Arc::clone(&self.footer),
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
            window_bytes: self.plan.window_bytes(),
            read_bytes: 0,
        };
        let rows = self.rows_of(group);
        let mut selection =
            wanted.map(|wanted| RowSelection::from_consecutive_ranges(wanted.into_iter(), rows));
        for predicate in &self.plan.predicates {
            if selection.as_ref().is_some_and(|rows| !rows.selects_any()) {
                break;
            }
            let numbers = RowNumbers::new(self.first_row(group), rows, selection.as_ref());
            let batches = self.read(sizes, group, &predicate.columns, selection.clone())?;
            let batches = self.made(batches, &predicate.columns, numbers, false);
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
        let numbers = RowNumbers::new(self.first_row(group), rows, selection.as_ref());
        let batches = self.read(sizes, group, &self.plan.columns, selection)?;
        let numbered = self.plan.row_numbers;
        Ok(self.made(batches, &self.plan.columns, numbers, numbered))
    }

    /// `batches` of `columns` as they are made and, if `numbered`, the row numbers behind them.
    fn made(
        &self,
        batches: ContainedBatches,
        columns: &[usize],
        mut numbers: RowNumbers,
        numbered: bool,
    ) -> ArrowBatches {
        let kinds = columns
            .iter()
            .filter_map(|&column| self.types.made.get(column));
        let kinds: Vec<Made> = kinds.copied().collect();
        Box::new(batches.map(move |batch| {
            let batch = batch?;
            let numbers = numbers.of(batch.num_rows());
            let batch = made(&batch, &kinds, &numbers)?;
            match numbered {
                true => with_numbers(&batch, numbers),
                false => Ok(batch),
            }
        }))
    }

    fn read(
        &self,
        sizes: PageSizes,
        group: usize,
        columns: &[usize],
        selection: Option<RowSelection>,
    ) -> Result<ContainedBatches, ArrowError> {
        let schema = &self.types.parquet;
        let mask = ProjectionMask::roots(schema, columns.iter().copied());
        let levels = parquet_to_arrow_field_levels(schema, mask, Some(&self.types.arrow))?;
        let row_bytes = self.row_bytes(group, columns);
        let fitting = usize::try_from(self.plan.batch_bytes / row_bytes).unwrap_or(usize::MAX);
        let most = self.plan.batch_rows.min(self.rows_of(group));
        let batch_rows = fitting.min(most).max(1);
        let selection = match row_bytes < SMALL_ROW_BYTES {
            true => selection,
            false => selection.map(skipping_runs),
        };
        let (file, footer) = (self.file.clone(), Arc::clone(&self.footer));
        let wanted = selection.clone();
        let sizes = PageSizes {
            read_bytes: self.stored_bytes(group, columns),
            ..sizes
        };
        let pages: Arc<dyn FileReader> = Arc::new(GroupPages::new(
            file,
            footer,
            group,
            sizes,
            wanted,
            self.free.clone(),
        ));
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(
            &levels, &pages, batch_rows, selection,
        )?;
        Ok(ContainedBatches::new(reader))
    }

    fn rows_of(&self, group: usize) -> usize {
        let rows = self.footer.row_group(group).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }

    fn first_row(&self, group: usize) -> i64 {
        let before = self.footer.row_groups().iter().take(group);
        before.map(|group| group.num_rows()).sum()
    }

    /// Bytes of an average row, of `columns`; at least 1.
    fn row_bytes(&self, group: usize, columns: &[usize]) -> u64 {
        let rows = natural(self.footer.row_group(group).num_rows()).max(1);
        let chunks = self.chunks(group, columns);
        let bytes: i64 = chunks.map(ColumnChunkMetaData::uncompressed_size).sum();
        (natural(bytes) / rows).max(1)
    }

    /// Bytes of `columns` in the file.
    fn stored_bytes(&self, group: usize, columns: &[usize]) -> u64 {
        let chunks = self.chunks(group, columns);
        chunks.map(|chunk| natural(chunk.compressed_size())).sum()
    }

    fn chunks<'a>(
        &'a self,
        group: usize,
        columns: &'a [usize],
    ) -> impl Iterator<Item = &'a ColumnChunkMetaData> {
        let schema = &self.types.parquet;
        let leaves = self.footer.row_group(group).columns().iter().enumerate();
        let read =
            move |&(leaf, _): &(usize, _)| columns.contains(&schema.get_column_root_idx(leaf));
        leaves.filter(read).map(|(_, chunk)| chunk)
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

    /// Those of the next `rows`.
    fn of(&mut self, rows: usize) -> Int64Array {
        Int64Array::from_iter_values(std::iter::from_fn(|| self.next()).take(rows))
    }
}

fn with_numbers(batch: &RecordBatch, numbers: Int64Array) -> Result<RecordBatch, ArrowError> {
    let mut fields = batch.schema_ref().fields().to_vec();
    fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(numbers));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn read_error(
    shard: &str,
    group: usize,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    // An error of our own comes from a predicate or from a value: the file is sound.
    let ours = own_error(&cause);
    let placed = |error: Error| error.with("shard", shard).with("row_group", group);
    if let Some(error) = ours {
        return placed(error);
    }
    let words = cause.to_string();
    if words.contains("non UTF-8") {
        return placed(Error::input("read a text within another column: it is not UTF-8"))
            .source(cause)
            .hint("mend the value, or leave the column out of conditions and queries: what is only carried may be any bytes");
    }
    let hint = match words.contains("'min_delta' too large") {
        true => {
            "DuckDB writes so with PARQUET_VERSION v2, and many cannot read it: write the shard again with v1"
        }
        false => "the file is damaged there; fetch it again or leave it out (--on-bad-shard skip)",
    };
    placed(Error::input("read a row group").of_bad_shard(shard))
        .source(cause)
        .hint(hint)
}
