//! Rows of shards and of a score store, side by side.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch,
        RecordBatchOptions,
    },
    buffer::BooleanBuffer,
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Int64Type, SchemaRef},
};
use datafusion::{
    common::{Result, ScalarValue, internal_err},
    physical_expr::PhysicalExpr,
    physical_plan::filter_pushdown::PushedDown,
};

use super::{
    AddedColumn, into_datafusion,
    memory_plan::check_scan,
    pairs_table::BatchSize,
    predicate::Condition,
    scan_exec::{Scan, Take},
};
use crate::{
    config::ByteSize,
    schema::{ROW, SHARD},
    source::{ReadPlan, RowPredicate, Shard, ShardReader, ShardSet, compact, conform},
    store::{ScoreCursor, ScoreStore, ShardIdentity},
    summary::Counters,
};

/// Rows that are decided at one time where the shard itself is not read.
const WINDOW_ROWS: u64 = 8192;

/// Shards and the scores that a store has of them.
#[derive(Debug, Clone)]
pub(super) struct StoredScan {
    pub(super) set: Arc<ShardSet>,
    pub(super) store: Arc<ScoreStore>,
    pub(super) scored: Vec<AddedColumn>,
    /// Shard columns, score columns, perhaps the row reference.
    pub(super) table_schema: SchemaRef,
    pub(super) projection: Vec<usize>,
    /// What the projection gives.
    pub(super) schema: SchemaRef,
    pub(super) shard_conditions: Vec<RowPredicate>,
    pub(super) stored_conditions: Vec<Condition>,
    pub(super) batch: BatchSize,
    /// The conditions, for EXPLAIN.
    pub(super) shown: String,
    pub(super) limit: Option<usize>,
    /// Pages for which this memory limit has no room are refused.
    pub(super) page_limit: Option<ByteSize>,
    /// Position of the image column, on which no condition is decided here.
    pub(super) image: usize,
    /// Position of the captions, in which what is not UTF-8 is null.
    pub(super) captions: Option<usize>,
}

impl Scan for StoredScan {
    const NAME: &'static str = "ScoredScanExec";

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn limit(&self) -> Option<usize> {
        self.limit
    }

    fn counters(&self) -> Option<&Counters> {
        None
    }

    fn describe(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names = |of_shard: bool| {
            let columns = self.projection.iter().copied();
            let columns = columns.filter(|&column| (column < self.shard_columns()) == of_shard);
            let names: Vec<&str> = columns
                .map(|column| self.table_schema.field(column).name().as_str())
                .collect();
            names.join(", ")
        };
        write!(
            f,
            "shards={}, read=[{}], stored=[{}]",
            self.set.shards.len(),
            names(true),
            names(false),
        )?;
        if !self.shown.is_empty() {
            write!(f, ", filter={}", self.shown)?;
        }
        Ok(())
    }

    /// One over columns that are all stored, or all read from the shard.
    fn take_condition(&mut self, condition: &Arc<dyn PhysicalExpr>) -> Result<PushedDown> {
        let shown = condition.to_string();
        let condition = Condition::of_physical(condition, &self.table_schema)?;
        let columns = &condition.columns;
        let is_shard = |column: &usize| *column < self.shard_columns() && *column != self.image;
        if columns.is_empty() {
            return Ok(PushedDown::No);
        } else if columns.iter().all(is_shard) {
            self.shard_conditions.push(condition.into_predicate());
        } else if columns.iter().all(|&column| column >= self.shard_columns()) {
            self.stored_conditions.push(condition);
        } else {
            return Ok(PushedDown::No);
        }
        let and = if self.shown.is_empty() { "" } else { " AND " };
        self.shown.push_str(&format!("{and}{shown}"));
        Ok(PushedDown::Yes)
    }

    fn read_all(&self, take: Take<'_>) -> Result<()> {
        check_scan(&self.set, &self.read_plan(), self.page_limit)?;
        let opens_shards = !self.read_columns().is_empty() || !self.shard_conditions.is_empty();
        for (number, shard) in self.set.shards.iter().enumerate() {
            let identity = ShardIdentity::of(shard);
            let mut rows = ShardUnderWay::open(self, number, &identity)?;
            let go_on = if opens_shards {
                self.set.ask_ahead(number + 1..self.set.shards.len());
                let reader = ShardReader::open(shard, self.read_plan()).map_err(into_datafusion)?;
                rows.with_shard(&reader, &shard.row_groups, take)?
            } else {
                rows.stored_only(shard, take)?
            };
            if !go_on {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl StoredScan {
    fn shard_columns(&self) -> usize {
        self.set.schema.fields().len()
    }

    /// Columns of the shard that are asked for, ascending.
    fn read_columns(&self) -> Vec<usize> {
        let of_shard = |column: &usize| *column < self.shard_columns();
        let mut columns: Vec<usize> = self.projection.iter().copied().filter(of_shard).collect();
        columns.sort_unstable();
        columns
    }

    /// The stored name of a score column, by its position in the table.
    fn stored_name(&self, column: usize) -> Option<&'static str> {
        let scored = self.scored.get(column.checked_sub(self.shard_columns())?)?;
        Some(scored.added.name())
    }

    /// Whether some rows of a page may be wanted and others not.
    fn picks_rows(&self) -> bool {
        !(self.shard_conditions.is_empty() && self.stored_conditions.is_empty())
    }

    fn read_plan(&self) -> ReadPlan {
        ReadPlan {
            columns: self.read_columns(),
            stored: Vec::new(),
            lenient: self.captions.into_iter().collect(),
            row_numbers: true,
            predicates: self.shard_conditions.clone(),
            batch_rows: self.batch.rows,
            batch_bytes: self.batch.bytes,
        }
    }
}

/// One shard under way.
struct ShardUnderWay<'a> {
    scan: &'a StoredScan,
    shard: usize,
    /// Stored columns that come out; none if there are none.
    output: ScoreCursor,
    /// One for each condition on stored columns.
    decided: Vec<ScoreCursor>,
}

impl<'a> ShardUnderWay<'a> {
    fn open(scan: &'a StoredScan, shard: usize, identity: &ShardIdentity) -> Result<Self> {
        let scores = scan.store.scores(identity).map_err(into_datafusion)?;
        let cursor = |columns: &[usize]| {
            let names: Vec<&str> = columns
                .iter()
                .filter_map(|&column| scan.stored_name(column))
                .collect();
            scores.cursor(&names, 0).map_err(into_datafusion)
        };
        let decided = scan
            .stored_conditions
            .iter()
            .map(|condition| cursor(&condition.columns));
        Ok(Self {
            scan,
            shard,
            output: cursor(&scan.projection)?,
            decided: decided.collect::<Result<_>>()?,
        })
    }

    /// Only stored columns are asked for.
    fn stored_only(&mut self, shard: &Shard, take: Take<'_>) -> Result<bool> {
        let mut first = 0;
        while first < shard.rows {
            let end = (first + WINDOW_ROWS).min(shard.rows);
            let rows = row_numbers(shard.left_out.there(first..end));
            let passes = self.passes(&rows)?;
            let stored = self.output.take(rows.values()).map_err(into_datafusion)?;
            let mut batch = self.assemble(None, &rows, &stored)?;
            if let Some(passes) = passes {
                batch = filter_record_batch(&batch, &BooleanArray::new(passes, None))?;
            }
            if batch.num_rows() > 0 && !take(batch) {
                return Ok(false);
            }
            first = end;
        }
        Ok(true)
    }

    fn with_shard(
        &mut self,
        reader: &ShardReader,
        row_groups: &[u64],
        take: Take<'_>,
    ) -> Result<bool> {
        let mut first = 0;
        for (group, &rows) in row_groups.iter().enumerate() {
            let wanted = self.wanted(first, first + rows)?;
            first += rows;
            if wanted.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            for batch in reader.row_group(group, wanted).map_err(into_datafusion)? {
                let batch = batch.map_err(into_datafusion)?;
                let column = batch.column(batch.schema_ref().index_of(ROW)?);
                let rows = column.as_primitive::<Int64Type>().clone();
                let stored = self.output.take(rows.values()).map_err(into_datafusion)?;
                if !take(self.assemble(Some(&batch), &rows, &stored)?) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The stretches of a row group that pass the conditions on stored columns; `None` where there are none.
    fn wanted(&mut self, first: u64, end: u64) -> Result<Option<Vec<Range<usize>>>> {
        if self.decided.is_empty() {
            return Ok(None);
        }
        let mut passes = BooleanBufferBuilder::new(0);
        let mut from = first;
        while from < end {
            let to = (from + WINDOW_ROWS).min(end);
            if let Some(window) = self.passes(&row_numbers(std::iter::once(from..to)))? {
                passes.append_buffer(&window);
            }
            from = to;
        }
        let passes = passes.finish();
        let runs = passes.set_slices().map(|(start, end)| start..end);
        Ok(Some(runs.collect()))
    }

    /// Which of `rows` pass all conditions on stored columns; `None` where there are none.
    fn passes(&mut self, rows: &Int64Array) -> Result<Option<BooleanBuffer>> {
        let mut all: Option<BooleanBuffer> = None;
        for (condition, cursor) in self.scan.stored_conditions.iter().zip(&mut self.decided) {
            let stored = cursor.take(rows.values()).map_err(into_datafusion)?;
            let mut stored = stored.iter();
            let schema = Arc::new(self.scan.table_schema.project(&condition.columns)?);
            let mut columns: Vec<ArrayRef> = Vec::new();
            for (field, &position) in schema.fields().iter().zip(&condition.columns) {
                columns.push(match self.scan.stored_name(position) {
                    Some(_) => stored_value(stored.next(), field.data_type())?,
                    None => reference(field.name(), self.shard, rows)?,
                });
            }
            let batch = RecordBatch::try_new(schema, columns)?;
            let passes = condition.evaluate(&batch)?;
            // A null is no yes.
            let passes = match passes.nulls() {
                Some(nulls) => passes.values() & nulls.inner(),
                None => passes.values().clone(),
            };
            all = Some(match all {
                Some(all) => &all & &passes,
                None => passes,
            });
        }
        Ok(all)
    }

    /// The columns of the projection, in its order.
    fn assemble(
        &self,
        read: Option<&RecordBatch>,
        rows: &Int64Array,
        stored: &[ArrayRef],
    ) -> Result<RecordBatch> {
        let mut stored = stored.iter();
        let mut columns = Vec::with_capacity(self.scan.schema.fields().len());
        for (field, &position) in self.scan.schema.fields().iter().zip(&self.scan.projection) {
            let column: ArrayRef = if [SHARD, ROW].contains(&field.name().as_str()) {
                reference(field.name(), self.shard, rows)?
            } else if self.scan.stored_name(position).is_some() {
                stored_value(stored.next(), field.data_type())?
            } else {
                let Some(batch) = read else {
                    return internal_err!("a shard column is missing");
                };
                let at = batch.schema_ref().index_of(field.name())?;
                let column = conform(batch.column(at), field.data_type())?;
                match self.scan.picks_rows() {
                    true => compact(&column),
                    false => column,
                }
            };
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.scan.schema),
            columns,
            &options,
        )?)
    }
}

/// Embeddings may be kept in half precision; tables show them as they show encoded ones.
fn stored_value(column: Option<&ArrayRef>, data_type: &DataType) -> Result<ArrayRef> {
    match column {
        None => internal_err!("a stored column is missing"),
        Some(column) if column.data_type() == data_type => Ok(Arc::clone(column)),
        Some(column) => Ok(cast(column, data_type)?),
    }
}

/// A column of the row reference.
fn reference(name: &str, shard: usize, rows: &Int64Array) -> Result<ArrayRef> {
    if name == ROW {
        return Ok(Arc::new(rows.clone()));
    }
    ScalarValue::UInt32(u32::try_from(shard).ok()).to_array_of_size(rows.len())
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "a shard has fewer than 2^63 rows"
)]
fn row_numbers(runs: impl IntoIterator<Item = Range<u64>>) -> Int64Array {
    let rows = runs.into_iter().flatten();
    rows.map(|row| row as i64).collect::<Vec<_>>().into()
}
