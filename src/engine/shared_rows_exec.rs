//! The operator that reads rows another place of the query has computed.

use std::{fmt, path::PathBuf, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        execute_stream,
        execution_plan::{Boundedness, EmissionType},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchReceiverStreamBuilder,
    },
};
use futures::StreamExt;
use tokio::sync::OnceCell;

use super::{
    from_datafusion, into_datafusion,
    scan_output::{ScanMetrics, ScanOutput},
};
use crate::{
    error::Error,
    store::{Spool, SpoolRows},
};

/// Rows that several places of a query read: the first that runs computes them, into a temporary file.
pub(super) struct SharedRows {
    plan: Arc<dyn ExecutionPlan>,
    directory: PathBuf,
    rows: OnceCell<Arc<SpoolRows>>,
}

impl SharedRows {
    /// The rows of `plan`, in a file in `directory` once they are computed.
    pub(super) fn new(plan: Arc<dyn ExecutionPlan>, directory: PathBuf) -> Self {
        Self {
            plan,
            directory,
            rows: OnceCell::new(),
        }
    }

    async fn rows(&self, context: &Arc<TaskContext>) -> Result<Arc<SpoolRows>> {
        let rows = self.rows.get_or_try_init(|| self.compute(context)).await?;
        Ok(Arc::clone(rows))
    }

    async fn compute(&self, context: &Arc<TaskContext>) -> Result<Arc<SpoolRows>> {
        let mut batches = execute_stream(Arc::clone(&self.plan), Arc::clone(context))?;
        let (directory, schema) = (self.directory.clone(), self.plan.schema());
        let mut spool = blocking(move || Spool::create(&directory, schema)).await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let append = move || spool.append(&batch).map(|()| spool);
            spool = blocking(append).await?;
        }
        blocking(|| spool.finish()).await.map(Arc::new)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> crate::error::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| into_datafusion(Error::internal("share encoded rows").source(error)))?
        .map_err(into_datafusion)
}

/// Reads [`SharedRows`]; only the first of the places that read them shows how they are computed.
pub(super) struct SharedRowsExec {
    id: usize,
    shared: Arc<SharedRows>,
    shown: Option<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedRowsExec {
    /// The first of the places, under number `id`.
    pub(super) fn first(id: usize, shared: Arc<SharedRows>) -> Self {
        let shown = Some(Arc::clone(&shared.plan));
        Self {
            shown,
            ..Self::further(id, shared)
        }
    }

    /// Any other place.
    pub(super) fn further(id: usize, shared: Arc<SharedRows>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(shared.plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            id,
            shared,
            shown: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl fmt::Debug for SharedRowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRowsExec")
            .field("id", &self.id)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for SharedRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SharedRowsExec: id={}", self.id)?;
        match self.shown {
            Some(_) => Ok(()),
            None => f.write_str(", shown above"),
        }
    }
}

impl ExecutionPlan for SharedRowsExec {
    fn name(&self) -> &str {
        "SharedRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.shown.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// The other places would not know of another child, so that it is only shown.
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            id: self.id,
            shared: Arc::clone(&self.shared),
            shown: children.pop(),
            properties: Arc::clone(&self.properties),
            metrics: self.metrics.clone(),
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        // One batch waits while the next is read.
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema(), 1);
        let (sender, schema) = (builder.tx(), self.schema());
        let shared = Arc::clone(&self.shared);
        let metrics = ScanMetrics::new(&self.metrics, partition);
        builder.spawn(async move {
            let rows = shared.rows(&context).await?;
            blocking(move || {
                let mut output = ScanOutput::new(&metrics, None);
                for batch in rows.read(&[])? {
                    let batch = with_schema(&batch?, &schema)
                        .map_err(|error| from_datafusion(error, "share encoded rows"))?;
                    // A closed channel means that the query was cancelled.
                    if !output.give(&batch, |batch| sender.blocking_send(Ok(batch)).is_ok()) {
                        break;
                    }
                }
                Ok(())
            })
            .await
        });
        Ok(builder.build())
    }
}

/// Columns come back as they were written, but for the schema's metadata.
fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
