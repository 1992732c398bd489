//! A scan that holds one page per column.
//!
//! DataFusion's own Parquet source fetches whole column chunks; a 1 GB row group of images would be 1 GB
//! in memory. This one streams pages instead, cuts batches by bytes, numbers the rows, and
//! evaluates pushed-down conditions on their own columns before it reads the others.

use std::{
    collections::VecDeque,
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
    source::{ReadPlan, RowGroupReader, ShardReader, ShardSet, compact, conform},
    summary::{Counters, Stage},
};

/// Where reading begins in each shard. A scan asks when it comes to a shard, or to the last rows before one that is far,
/// not earlier: what others have done meanwhile counts.
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
        let mut stretches = Stretches::of(self);
        let mut next = stretches.open_next();
        while let Some(open) = next.transpose()? {
            next = match self.read_group(open, &mut stretches, take)? {
                Some(ahead) => ahead,
                None => return Ok(()),
            };
        }
        Ok(())
    }
}

/// A row group that was opened, or why it could not be; `None` behind the last.
type Opened = Option<Result<OpenGroup>>;

impl ShardScan {
    /// Answers with the row group behind; nothing if `take` wants no more.
    ///
    /// Of a shard that is far, that one is opened while the last of this one is on its way.
    fn read_group(
        &self,
        mut open: OpenGroup,
        stretches: &mut Stretches<'_>,
        take: Take<'_>,
    ) -> Result<Option<Opened>> {
        let (mut passed, mut ahead) = (0, None);
        loop {
            let mut span = self.counters.span(Stage::Read);
            let Some(batch) = open.batches.next() else {
                break;
            };
            let batch = self.arrange(open.shard, batch.map_err(into_datafusion)?)?;
            span.rows(batch.num_rows());
            span.bytes(|| batch_bytes(&batch));
            drop(span);
            passed += batch.num_rows() as u64;
            if ahead.is_none() && passed >= open.rows_alone {
                ahead = Some(stretches.open_next());
            }
            if !take(batch) {
                return Ok(None);
            }
        }
        let skipped = &self.counters.rows_skipped;
        skipped.fetch_add(open.due.saturating_sub(passed), Relaxed);
        drop(open);
        Ok(Some(ahead.unwrap_or_else(|| stretches.open_next())))
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

/// A row group that is being read.
struct OpenGroup {
    shard: usize,
    batches: RowGroupReader,
    /// Rows that are read, if all pass.
    due: u64,
    /// Those of them that pass before the next row group is opened.
    rows_alone: u64,
}

/// The row groups that a scan reads, in order.
struct Stretches<'a> {
    scan: &'a ShardScan,
    /// The next shard.
    shard: usize,
    /// The shard under way, and what is left of it.
    open: Option<(ShardReader, VecDeque<Stretch>)>,
}

impl<'a> Stretches<'a> {
    fn of(scan: &'a ShardScan) -> Self {
        Self {
            scan,
            shard: 0,
            open: None,
        }
    }

    fn open_next(&mut self) -> Opened {
        self.try_open_next().transpose()
    }

    fn try_open_next(&mut self) -> Result<Option<OpenGroup>> {
        loop {
            if let Some((reader, left)) = &mut self.open
                && let Some(stretch) = left.pop_front()
            {
                let span = self.scan.counters.span(Stage::Read);
                let batches = reader
                    .row_group(stretch.group, stretch.wanted())
                    .map_err(into_datafusion)?;
                drop(span);
                let shard = self.shard - 1;
                let due = stretch.rows - stretch.from - stretch.left_out;
                return Ok(Some(OpenGroup {
                    shard,
                    batches,
                    due,
                    rows_alone: self.rows_alone(shard, due),
                }));
            }
            if self.shard == self.scan.set.shards.len() {
                return Ok(None);
            }
            self.open = self.open_shard(self.shard)?;
            self.shard += 1;
        }
    }

    /// `None` if no row of it is read.
    fn open_shard(&self, number: usize) -> Result<Option<(ShardReader, VecDeque<Stretch>)>> {
        let (scan, shard) = (self.scan, &self.scan.set.shards[number]);
        let start = match &scan.starts {
            Some(starts) => starts.first_row(number).map_err(into_datafusion)?,
            None => Some(0),
        };
        let Some(start) = start.filter(|&start| start < shard.rows) else {
            return Ok(None);
        };
        scan.set.ask_ahead(number + 1..scan.set.shards.len());
        let reader = ShardReader::open(shard, scan.plan.clone()).map_err(into_datafusion)?;
        let (mut first, mut stretches) = (0, VecDeque::new());
        for (group, &rows) in shard.row_groups.iter().enumerate() {
            let (begin, end) = (start.clamp(first, first + rows), first + rows);
            if begin < end {
                stretches.push_back(Stretch {
                    group,
                    from: begin - first,
                    rows,
                    left_out: shard.left_out.count_in(begin..end),
                });
            }
            first = end;
        }
        Ok(Some((reader, stretches)))
    }

    /// Rows of a row group behind which the next is opened: all that is left of it has been asked for by then. A condition
    /// may pass none of the last, and reads before anybody asks for a row.
    fn rows_alone(&self, shard: usize, due: u64) -> u64 {
        let (shard, plan) = (&self.scan.set.shards[shard], &self.scan.plan);
        if !shard.is_far() || !plan.predicates.is_empty() {
            return u64::MAX;
        }
        let row_bytes = (shard.size_bytes / shard.rows.max(1)).max(1);
        due.saturating_sub(plan.window_bytes() / row_bytes)
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
