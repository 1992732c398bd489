//! A scan that holds one page per column.
//!
//! DataFusion's own Parquet source fetches whole column chunks; a 1 GB row group of images would be 1 GB
//! in memory. This one streams pages instead, cuts batches by bytes, numbers the rows, and
//! evaluates pushed-down conditions on their own columns before it reads the others.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, ScalarValue},
    physical_expr::PhysicalExpr,
    physical_plan::filter_pushdown::PushedDown,
};

use super::{
    encode_columns::batch_bytes,
    into_datafusion,
    memory_plan::check_scan,
    predicate::Condition,
    scan_exec::{Scan, ShardScanExec, Take},
};
use crate::{
    config::ByteSize,
    schema::SHARD,
    source::{ReadPlan, ShardReader, ShardSet, compact, conform},
    summary::{Counters, Stage},
};

/// Where reading begins in each shard. A scan asks when it comes to a shard, not before: what others have done
/// meanwhile counts.
pub trait ShardStarts: fmt::Debug + Send + Sync {
    /// The first row that is read of a shard, by its place among the shards; `None` if none is.
    ///
    /// # Errors
    /// When it cannot be found out; the scan ends with that.
    fn first_row(&self, shard: usize) -> crate::error::Result<Option<u64>>;
}

/// What a [`ShardScanExec`] reads.
#[derive(Debug, Clone)]
pub(super) struct ShardScan {
    pub(super) set: Arc<ShardSet>,
    pub(super) table_schema: SchemaRef,
    /// Position of the column on which no condition is decided here.
    pub(super) image: Option<usize>,
    /// Shards are read from their first row on if `None`.
    pub(super) starts: Option<Arc<dyn ShardStarts>>,
    pub(super) plan: ReadPlan,
    pub(super) schema: SchemaRef,
    /// The conditions, for EXPLAIN.
    pub(super) filters: String,
    /// Some of the conditions are only known while the query runs.
    pub(super) conditions_change: bool,
    pub(super) limit: Option<usize>,
    /// Pages for which this memory limit has no room are refused.
    pub(super) page_limit: Option<ByteSize>,
    pub(super) counters: Arc<Counters>,
}

impl ShardScanExec {
    /// Whether both give the same rows, whatever their columns; a limit makes that uncertain.
    pub(super) fn gives_rows_of(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.scan, &other.scan);
        Arc::ptr_eq(&ours.set, &theirs.set)
            && same_starts(ours, theirs)
            && ours.filters == theirs.filters
            && !(ours.conditions_change || theirs.conditions_change)
            && ours.limit.is_none()
            && theirs.limit.is_none()
    }

    /// The same rows with the columns of `other` too.
    pub(super) fn with_columns_of(&self, other: Option<&Self>) -> Result<Self> {
        let mut scan = self.scan.clone();
        let mut fields: Vec<_> = scan.schema.fields().iter().cloned().collect();
        if let Some(ShardScan { schema, plan, .. }) = other.map(|other| &other.scan) {
            let new = schema.fields().iter();
            let new = new.filter(|field| scan.schema.index_of(field.name()).is_err());
            fields.extend(new.cloned());
            scan.plan.columns.extend(&plan.columns);
        }
        scan.plan.columns.sort_unstable();
        scan.plan.columns.dedup();
        scan.schema = Arc::new(Schema::new(fields));
        scan.limit = None;
        Ok(Self::new(scan))
    }
}

impl Scan for ShardScan {
    const NAME: &'static str = "ShardScanExec";

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn limit(&self) -> Option<usize> {
        self.limit
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }

    fn describe(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let columns = self.schema.fields().iter();
        let columns: Vec<&str> = columns.map(|field| field.name().as_str()).collect();
        write!(
            f,
            "shards={}, columns=[{}]",
            self.set.shards.len(),
            columns.join(", ")
        )?;
        if !self.filters.is_empty() {
            write!(f, ", filter={}", self.filters)?;
        }
        Ok(())
    }

    /// One over columns of the shards, but for the image.
    fn take_condition(&mut self, condition: &Arc<dyn PhysicalExpr>) -> Result<PushedDown> {
        let shown = condition.to_string();
        let condition = Condition::of_physical(condition, &self.table_schema)?;
        let file_columns = self.set.schema.fields().len();
        let of_shard = |column: &usize| *column < file_columns && Some(*column) != self.image;
        if condition.columns.is_empty() || !condition.columns.iter().all(of_shard) {
            return Ok(PushedDown::No);
        }
        self.plan.predicates.push(condition.into_predicate());
        self.conditions_change = true;
        let and = if self.filters.is_empty() { "" } else { " AND " };
        self.filters.push_str(&format!("{and}{shown}"));
        Ok(PushedDown::Yes)
    }

    fn read_all(&self, take: Take<'_>) -> Result<()> {
        check_scan(&self.set, &self.plan, self.page_limit)?;
        for (number, shard) in self.set.shards.iter().enumerate() {
            let start = match &self.starts {
                Some(starts) => starts.first_row(number).map_err(into_datafusion)?,
                None => Some(0),
            };
            let Some(start) = start.filter(|&start| start < shard.rows) else {
                continue;
            };
            self.set.ask_ahead(number + 1..self.set.shards.len());
            let reader = ShardReader::open(shard, self.plan.clone()).map_err(into_datafusion)?;
            let mut first = 0;
            for (group, &rows) in shard.row_groups.iter().enumerate() {
                let (begin, end) = (start.clamp(first, first + rows), first + rows);
                let stretch = Stretch {
                    group,
                    from: begin - first,
                    rows,
                    left_out: shard.left_out.count_in(begin..end),
                };
                first = end;
                if begin < end && !self.read_group(number, &reader, &stretch, take)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl ShardScan {
    /// Answers false if `take` does.
    fn read_group(
        &self,
        shard: usize,
        reader: &ShardReader,
        stretch: &Stretch,
        take: Take<'_>,
    ) -> Result<bool> {
        let mut passed = 0;
        let opening = self.counters.span(Stage::Read);
        let mut batches = reader
            .row_group(stretch.group, stretch.wanted())
            .map_err(into_datafusion)?;
        drop(opening);
        loop {
            let mut span = self.counters.span(Stage::Read);
            let Some(batch) = batches.next() else { break };
            let batch = self.arrange(shard, batch.map_err(into_datafusion)?)?;
            span.rows(batch.num_rows());
            span.bytes(|| batch_bytes(&batch));
            drop(span);
            passed += batch.num_rows() as u64;
            if !take(batch) {
                return Ok(false);
            }
        }
        let skipped = &self.counters.rows_skipped;
        let due = stretch.rows - stretch.from - stretch.left_out;
        skipped.fetch_add(due.saturating_sub(passed), Relaxed);
        Ok(true)
    }

    /// The columns of the table's schema, in its order.
    fn arrange(&self, shard: usize, batch: RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| {
            if field.name() == SHARD {
                let shard = ScalarValue::UInt32(u32::try_from(shard).ok());
                return shard.to_array_of_size(batch.num_rows());
            }
            let at = batch.schema_ref().index_of(field.name())?;
            let column = conform(batch.column(at), field.data_type())?;
            Ok(match self.plan.predicates.is_empty() {
                true => column,
                false => compact(&column),
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

fn same_starts(ours: &ShardScan, theirs: &ShardScan) -> bool {
    match (&ours.starts, &theirs.starts) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
        _ => false,
    }
}

/// A row group from one of its rows on.
struct Stretch {
    group: usize,
    /// The first row that is read, counted within the group.
    from: u64,
    /// Rows of the whole group.
    rows: u64,
    /// How many of those that are read are left out of the shard.
    left_out: u64,
}

impl Stretch {
    /// The rows that are read; `None` for all of them.
    fn wanted(&self) -> Option<Vec<Range<usize>>> {
        let position = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        let run = position(self.from)..position(self.rows);
        (self.from > 0).then(|| std::iter::once(run).collect())
    }
}
