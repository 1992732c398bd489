//! The operator that reads: written once, over what a table reads.
//!
//! # Why not DataFusion's `DataSourceExec`?
//! It would not be less. A `DataSource` answers eleven questions, where an operator has the ten below, and these stand
//! here once for both tables. It calls every leaf of a plan `DataSourceExec`, where `ShardScanExec` and `ScoredScanExec`
//! say at a glance whether a query opens shards, and it sends batches through one more stream that counts them again.
//! What it has beside that, file groups, sorting and projections that are pushed down, a scan of shards has no use for:
//! the table's own `scan` is given projection and limit, and conditions that a join finds out come by
//! `handle_child_pushdown_result` to one as to the other.
//!
//! # Why one partition?
//! Rows leave in the order of the shards: scores are stored and outputs written in it, and a query without `ORDER BY`
//! gives it. A partition per shard would need a merge by the row reference above it to get it back, and each holds a
//! page per column and a batch, which for images is what the memory limit is divided for once. Decoding and encoding
//! bring their own threads: reading alone is not what a run waits for.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, config::ConfigOptions, tree_node::TreeNodeRecursion},
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
    gather::Gather,
    scan_output::{ScanMetrics, ScanOutput},
    shard_scan::ShardScan,
    stored_scan::StoredScan,
};
use crate::summary::{Counters, Stage};

/// Reads shards in order, one row group after another.
pub(super) type ShardScanExec = ScanExec<ShardScan>;

/// Reads shards and the scores a store has of them, side by side, in row order.
///
/// Conditions on stored columns are decided first; of the shard only pages with rows that pass are read. If no
/// column of the shard is asked for, it is not opened.
pub(super) type ScoredScanExec = ScanExec<StoredScan>;

/// Gets batches until it answers false.
pub(super) type Take<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

/// What a [`ScanExec`] reads.
pub(super) trait Scan: Clone + fmt::Debug + Send + Sync + 'static {
    /// What the operator is called in plans.
    const NAME: &'static str;

    /// Columns that come out.
    fn schema(&self) -> &SchemaRef;

    /// Most rows that come out.
    fn limit(&self) -> Option<usize>;

    /// What a plan shows behind the name.
    fn describe(&self, f: &mut fmt::Formatter) -> fmt::Result;

    /// Takes a condition that is known when rows are asked for, if it can be decided here.
    fn take_condition(&mut self, condition: &Arc<dyn PhysicalExpr>) -> Result<PushedDown>;

    /// Gives every batch to `take`, until it answers false.
    fn read_all(&self, take: Take<'_>) -> Result<()>;

    /// Where the time is counted in which nobody takes a batch.
    fn counters(&self) -> Option<&Counters>;
}

/// Reads a table in one partition.
#[derive(Debug)]
pub(super) struct ScanExec<S> {
    pub(super) scan: S,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl<S: Scan> ScanExec<S> {
    pub(super) fn new(scan: S) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(scan.schema())),
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
}

impl<S: Scan> DisplayAs for ScanExec<S> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: ", S::NAME)?;
        self.scan.describe(f)
    }
}

impl<S: Scan> ExecutionPlan for ScanExec<S> {
    fn name(&self) -> &str {
        S::NAME
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

    /// Takes the conditions that a join finds out while it runs, so that only pages with rows it may want are read.
    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut scan = self.scan.clone();
        let filters = result.parent_filters.iter();
        let taken = filters.map(|filter| match scan.limit() {
            // The limit counts rows before the condition.
            Some(_) => Ok(PushedDown::No),
            None => scan.take_condition(&filter.filter),
        });
        let taken = taken.collect::<Result<_>>()?;
        let propagated = FilterPushdownPropagation::with_parent_pushdown_result(taken);
        Ok(propagated.with_updated_node(Arc::new(Self::new(scan))))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scan = self.scan.clone();
        let metrics = ScanMetrics::new(&self.metrics, partition);
        let schema = Arc::clone(scan.schema());
        Ok(read_when_polled(schema, move |sender| {
            let mut output = ScanOutput::new(&metrics, scan.limit());
            let send = |batch: RecordBatch| {
                // A closed channel means that the query was cancelled.
                let send = || sender.blocking_send(Ok(batch)).is_ok();
                match scan.counters() {
                    Some(counters) => counters.blocked(Stage::Read, send),
                    None => send(),
                }
            };
            let mut give = |batch| output.give(&batch, send);
            Gather::new(&mut give).run(|take| scan.read_all(take))
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A stream whose rows `read` sends from a thread of its own, once somebody asks for the first: a join that
/// is the consumer knows by then which rows it wants.
fn read_when_polled(
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
