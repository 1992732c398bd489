//! The scan over shards and what a store has of them.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, config::ConfigOptions, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
    },
};

use super::{
    scan::read_when_polled,
    scan_output::{ScanMetrics, ScanOutput},
    stored_scan::StoredScan,
};

/// Reads shards and the scores a store has of them, side by side, in row order and one partition.
///
/// Conditions on stored columns are decided first; of the shard only pages with rows that pass are read. If no
/// column of the shard is asked for, it is not opened.
#[derive(Debug)]
pub struct ScoredScanExec {
    scan: StoredScan,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScoredScanExec {
    pub(super) fn try_new(scan: StoredScan) -> Result<Self> {
        let schema = Arc::new(scan.table_schema.project(&scan.projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            scan,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for ScoredScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let names = |wanted: &dyn Fn(usize) -> bool| {
            let names = self.scan.projection.iter().copied().filter(|&c| wanted(c));
            let names: Vec<&str> = names
                .map(|column| self.scan.table_schema.field(column).name().as_str())
                .collect();
            names.join(", ")
        };
        write!(
            f,
            "ScoredScanExec: shards={}, read=[{}], stored=[{}]",
            self.scan.set.shards.len(),
            names(&|column| column < self.scan.shard_columns()),
            names(&|column| column >= self.scan.shard_columns()),
        )?;
        if !self.scan.shown.is_empty() {
            write!(f, ", filter={}", self.scan.shown)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ScoredScanExec {
    fn name(&self) -> &str {
        "ScoredScanExec"
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

    /// Takes the conditions that a join finds out while it runs, so that only pages with rows it may want are
    /// read.
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
        Ok(propagated.with_updated_node(Arc::new(Self::try_new(scan)?)))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = ScanMetrics::new(&self.metrics, partition);
        let (scan, schema) = (self.scan.clone(), Arc::clone(&self.schema));
        Ok(read_when_polled(Arc::clone(&self.schema), move |sender| {
            let mut output = ScanOutput::new(&metrics, scan.limit);
            // A closed channel means that the query was cancelled.
            let send = |batch| sender.blocking_send(Ok(batch)).is_ok();
            scan.read_all(&schema, &mut |batch| output.give(&batch, send))
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
