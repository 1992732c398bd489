//! A scan that holds one page per column.
//!
//! DataFusion's own Parquet source fetches whole column chunks; a 1 GB row group of images would be 1 GB
//! in memory. [`ShardScanExec`] streams pages instead, cuts batches by bytes, numbers the rows, and
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
    common::{Result, ScalarValue, config::ConfigOptions, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        filter_pushdown::{
            ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
        },
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter},
    },
};

use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::{
    encode_columns::batch_bytes,
    into_datafusion,
    predicate::Condition,
    scan_output::{ScanMetrics, ScanOutput},
};
use crate::{
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
    pub(super) counters: Arc<Counters>,
}

/// Reads shards in order, one row group after another, in one partition.
#[derive(Debug)]
pub struct ShardScanExec {
    scan: ShardScan,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardScanExec {
    pub(super) fn new(scan: ShardScan) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&scan.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            scan,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

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

impl DisplayAs for ShardScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> = self
            .scan
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "ShardScanExec: shards={}, columns=[{}]",
            self.scan.set.shards.len(),
            columns.join(", ")
        )?;
        if !self.scan.filters.is_empty() {
            write!(f, ", filter={}", self.scan.filters)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ShardScanExec {
    fn name(&self) -> &str {
        "ShardScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// Takes the conditions that a join finds out while it runs.
    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut scan = self.scan.clone();
        let filters = result.parent_filters.iter();
        let taken = filters.map(|filter| scan.take(&filter.filter));
        let taken = taken.collect::<Result<_>>()?;
        let propagated = FilterPushdownPropagation::with_parent_pushdown_result(taken);
        Ok(propagated.with_updated_node(Arc::new(Self::new(scan))))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scan = self.scan.clone();
        let metrics = ScanMetrics::new(&self.metrics, partition);
        let schema = Arc::clone(&scan.schema);
        Ok(read_when_polled(schema, move |sender| {
            let mut output = ScanOutput::new(&metrics, scan.limit);
            let send = |batch| {
                let send = || sender.blocking_send(Ok(batch));
                // A closed channel means that the query was cancelled.
                scan.counters.blocked(Stage::Read, send).is_ok()
            };
            scan.read_all(&mut |batch| output.give(&batch, send))
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A stream whose rows `read` sends from a thread of its own, once somebody asks for the first: a join that
/// is the consumer knows by then which rows it wants.
pub(super) fn read_when_polled(
    schema: SchemaRef,
    read: impl FnOnce(&Sender<Result<RecordBatch>>) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let columns = Arc::clone(&schema);
    let started = futures::stream::once(async move {
        // One batch waits while the next is read.
        let mut builder = RecordBatchReceiverStreamBuilder::new(columns, 1);
        let sender = builder.tx();
        builder.spawn_blocking(move || read(&sender));
        builder.build()
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, started.flatten()))
}

impl ShardScan {
    /// Takes a condition over columns of the shards, but for the image.
    fn take(&mut self, filter: &Arc<dyn PhysicalExpr>) -> Result<PushedDown> {
        if self.limit.is_some() {
            // The limit counts rows before the condition.
            return Ok(PushedDown::No);
        }
        let condition = Condition::of_physical(filter, &self.table_schema)?;
        let file_columns = self.set.schema.fields().len();
        let of_shard = |column: &usize| *column < file_columns && Some(*column) != self.image;
        if condition.columns.is_empty() || !condition.columns.iter().all(of_shard) {
            return Ok(PushedDown::No);
        }
        self.plan.predicates.push(condition.into_predicate());
        self.conditions_change = true;
        let and = if self.filters.is_empty() { "" } else { " AND " };
        self.filters.push_str(&format!("{and}{filter}"));
        Ok(PushedDown::Yes)
    }

    /// Gives every batch to `take`, until it answers false.
    fn read_all(&self, take: &mut dyn FnMut(RecordBatch) -> bool) -> Result<()> {
        for (number, shard) in self.set.shards.iter().enumerate() {
            let start = match &self.starts {
                Some(starts) => starts.first_row(number).map_err(into_datafusion)?,
                None => Some(0),
            };
            let Some(start) = start.filter(|&start| start < shard.rows) else {
                continue;
            };
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

    fn read_group(
        &self,
        shard: usize,
        reader: &ShardReader,
        stretch: &Stretch,
        take: &mut dyn FnMut(RecordBatch) -> bool,
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
