//! A scan that holds one page per column.
//!
//! DataFusion's own Parquet source fetches whole column chunks; a 1 GB row group of images would be 1 GB
//! in memory. [`ShardScanExec`] streams pages instead, cuts batches by bytes, numbers the rows, and
//! evaluates pushed-down conditions on their own columns before it reads the others.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, ScalarValue, config::ConfigOptions, tree_node::TreeNodeRecursion},
    datasource::TableType,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        filter_pushdown::{
            ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
        },
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter},
    },
};

use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::{
    into_datafusion,
    predicate::{Condition, shard_predicate},
};
use crate::{
    report::{Counters, Stage},
    schema::{ROW, SHARD},
    source::{ReadPlan, ShardReader, ShardSet, conform, view_schema},
};

/// The shards of a run as a table: their columns, then [`SHARD`] and [`ROW`].
#[derive(Debug)]
pub struct ShardTable {
    set: Arc<ShardSet>,
    image: String,
    /// For each shard the first row that is read.
    starts: Vec<u64>,
    schema: SchemaRef,
    batch_rows: usize,
    batch_bytes: u64,
    counters: Arc<Counters>,
}

impl ShardTable {
    /// A table over `set`; conditions on the column `image` are never evaluated inside the scan.
    pub fn new(
        set: Arc<ShardSet>,
        image: &str,
        (batch_rows, batch_bytes): (usize, u64),
        counters: Arc<Counters>,
    ) -> Self {
        let mut fields: Vec<_> = view_schema(&set.schema).fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(SHARD, DataType::UInt32, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        Self {
            starts: vec![0; set.shards.len()],
            set,
            image: image.to_owned(),
            schema,
            batch_rows,
            batch_bytes,
            counters,
        }
    }

    /// The table without the rows of each shard before the given one.
    #[must_use]
    pub fn starting_at(mut self, starts: Vec<u64>) -> Self {
        self.starts = starts;
        self
    }

    /// Columns of the shards.
    pub(super) fn shard_schema(&self) -> &SchemaRef {
        &self.set.schema
    }

    /// Most rows of a batch.
    pub(super) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    fn can_evaluate(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns.iter().all(|column| {
                self.set.schema.index_of(&column.name).is_ok() && column.name != self.image
            })
    }
}

#[async_trait]
impl TableProvider for ShardTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.can_evaluate(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let file_columns = self.set.schema.fields().len();
        let mut columns: Vec<usize> = projection
            .iter()
            .copied()
            .filter(|&column| column < file_columns)
            .collect();
        columns.sort_unstable();
        let plan = ReadPlan {
            columns,
            row_numbers: true,
            predicates: filters
                .iter()
                .map(|filter| shard_predicate(state, &self.schema, filter))
                .collect::<Result<_>>()?,
            batch_rows: self.batch_rows,
            batch_bytes: self.batch_bytes,
        };
        let schema = Arc::new(self.schema.project(projection)?);
        let shown: Vec<String> = filters.iter().map(ToString::to_string).collect();
        Ok(Arc::new(ShardScanExec {
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(Arc::clone(&schema)),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            set: Arc::clone(&self.set),
            table_schema: Arc::clone(&self.schema),
            image: self.schema.index_of(&self.image).ok(),
            starts: self.starts.clone(),
            plan,
            schema,
            filters: shown.join(" AND "),
            limit,
            counters: Arc::clone(&self.counters),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

/// Reads shards in order, one row group after another, in one partition.
#[derive(Debug, Clone)]
pub struct ShardScanExec {
    set: Arc<ShardSet>,
    table_schema: SchemaRef,
    /// Position of the column on which no condition is decided here.
    image: Option<usize>,
    starts: Vec<u64>,
    plan: ReadPlan,
    schema: SchemaRef,
    filters: String,
    limit: Option<usize>,
    counters: Arc<Counters>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardScanExec {
    /// Whether both give the same rows, whatever their columns; a limit makes that uncertain.
    pub(super) fn gives_rows_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.set, &other.set)
            && self.starts == other.starts
            && self.filters == other.filters
            && self.limit.is_none()
            && other.limit.is_none()
    }

    /// Takes a condition over columns of the shards, but for the image.
    fn take(&mut self, filter: &Arc<dyn PhysicalExpr>) -> Result<PushedDown> {
        let condition = Condition::of_physical(filter, &self.table_schema)?;
        let file_columns = self.set.schema.fields().len();
        let of_shard = |column: &usize| *column < file_columns && Some(*column) != self.image;
        if condition.columns.is_empty() || !condition.columns.iter().all(of_shard) {
            return Ok(PushedDown::No);
        }
        self.plan.predicates.push(condition.into_predicate());
        let and = if self.filters.is_empty() { "" } else { " AND " };
        self.filters.push_str(&format!("{and}{filter}"));
        Ok(PushedDown::Yes)
    }

    /// The same rows with the columns of `other` too.
    pub(super) fn with_columns_of(&self, other: Option<&Self>) -> Result<Self> {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        let mut plan = self.plan.clone();
        if let Some(other) = other {
            let new = other.schema.fields().iter();
            let new = new.filter(|field| self.schema.index_of(field.name()).is_err());
            fields.extend(new.cloned());
            plan.columns.extend(&other.plan.columns);
        }
        plan.columns.sort_unstable();
        plan.columns.dedup();
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::clone(&self.properties)
            .with_eq_properties(EquivalenceProperties::new(Arc::clone(&schema)));
        Ok(Self {
            set: Arc::clone(&self.set),
            table_schema: Arc::clone(&self.table_schema),
            image: self.image,
            starts: self.starts.clone(),
            plan,
            schema,
            filters: self.filters.clone(),
            limit: None,
            counters: Arc::clone(&self.counters),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for ShardScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "ShardScanExec: shards={}, columns=[{}]",
            self.set.shards.len(),
            columns.join(", ")
        )?;
        if !self.filters.is_empty() {
            write!(f, ", filter={}", self.filters)?;
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
        let mut scan = self.clone();
        let filters = result.parent_filters.iter();
        let taken = filters.map(|filter| scan.take(&filter.filter));
        let taken = taken.collect::<Result<_>>()?;
        let propagated = FilterPushdownPropagation::with_parent_pushdown_result(taken);
        Ok(propagated.with_updated_node(Arc::new(scan)))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scan = Scan {
            set: Arc::clone(&self.set),
            starts: self.starts.clone(),
            plan: self.plan.clone(),
            schema: Arc::clone(&self.schema),
            counters: Arc::clone(&self.counters),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let limit = self.limit.unwrap_or(usize::MAX);
        Ok(read_when_polled(Arc::clone(&self.schema), move |sender| {
            let mut rows_left = limit;
            scan.read_all(&mut |batch| {
                let rows = batch.num_rows().min(rows_left);
                rows_left -= rows;
                metrics.record_output(rows);
                // A closed channel means that the query was cancelled.
                sender.blocking_send(Ok(batch.slice(0, rows))).is_ok() && rows_left > 0
            })
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

struct Scan {
    set: Arc<ShardSet>,
    starts: Vec<u64>,
    plan: ReadPlan,
    schema: SchemaRef,
    counters: Arc<Counters>,
}

impl Scan {
    /// Gives every batch to `take`, until it answers false.
    fn read_all(&self, take: &mut dyn FnMut(RecordBatch) -> bool) -> Result<()> {
        for (number, shard) in self.set.shards.iter().enumerate() {
            let start = self.starts.get(number).copied().unwrap_or(0);
            if start >= shard.rows {
                continue;
            }
            let reader = ShardReader::open(shard, self.plan.clone()).map_err(into_datafusion)?;
            let mut first = 0;
            for (group, &rows) in shard.row_groups.iter().enumerate() {
                let wanted = start.clamp(first, first + rows) - first;
                first += rows;
                if wanted < rows
                    && !self.read_group(number, &reader, (group, wanted, rows), take)?
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One row group from row `from` of its `rows` on.
    fn read_group(
        &self,
        shard: usize,
        reader: &ShardReader,
        (group, from, rows): (usize, u64, u64),
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<bool> {
        let mut passed = 0;
        let start = Instant::now();
        let mut batches = reader
            .row_group(group, rows_from(from, rows))
            .map_err(into_datafusion)?;
        self.counters.add_busy(Stage::Read, start.elapsed());
        loop {
            let start = Instant::now();
            let next = batches.next();
            self.counters.add_busy(Stage::Read, start.elapsed());
            let Some(batch) = next else { break };
            let batch = self.arrange(shard, batch.map_err(into_datafusion)?)?;
            passed += batch.num_rows() as u64;
            if !take(batch) {
                return Ok(false);
            }
        }
        let skipped = &self.counters.rows_skipped;
        skipped.fetch_add((rows - from).saturating_sub(passed), Relaxed);
        Ok(true)
    }

    /// The columns of the table's schema, in its order.
    fn arrange(&self, shard: usize, batch: RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| {
            if field.name() == SHARD {
                let shard = ScalarValue::UInt32(u32::try_from(shard).ok());
                return shard.to_array_of_size(batch.num_rows());
            }
            Ok(conform(
                batch.column(batch.schema_ref().index_of(field.name())?),
                field.data_type(),
            )?)
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

/// The rows of a row group from `from` on; `None` for all of them.
fn rows_from(from: u64, rows: u64) -> Option<Vec<Range<usize>>> {
    let position = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
    (from > 0).then(|| std::iter::once(position(from)..position(rows)).collect())
}
