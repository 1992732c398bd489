//! The queries of a run.
//!
//! The wide pass encodes, with the conditions that need no score below the model:
//!
//! ```text
//! Projection: row reference, added columns
//!   ClipEncode
//!     Filter: early conditions            (these reach the scan)
//!       TableScan: shards
//! ```
//!
//! The narrow pass decides the whole condition over stored scores. Late conditions are a column, not a filter:
//! a filter would drop bad rows, whose score is null, before they are counted.
//!
//! ```text
//! Projection: row reference, (late conditions) AS __passes
//!   Filter: early conditions
//!     TableScan: shards and scores
//! ```
//!
//! A run that keeps no scores does both at once: the wide pass with all columns of the shards, and with
//! (late conditions) AS __passes beside the added ones.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::Schema};
use datafusion::{
    common::Column,
    datasource::{MemTable, provider_as_source},
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, col, lit},
    prelude::{SessionContext, isnan},
};

use super::{
    AddedColumn, ClipEncodeNode, EncodeRuntime, PairColumns, PairsTable, RowCondition, ShardTable,
    condition::Parts, from_datafusion, session::session, udf::class_caption,
};
use crate::{
    config::ByteSize,
    error::Result,
    schema::{ROW, SHARD},
    source::ColumnBinding,
};

/// Boolean column: true where the late conditions hold; null or false where they do not.
pub const PASSES: &str = "__passes";
/// What is said of a labelled image.
const CLASS_CAPTION: &str = "__class_caption";
/// A query that is ready to give rows.
pub struct RunningQuery {
    /// Its rows.
    pub batches: SendableRecordBatchStream,
    /// Its physical plan, as text.
    pub plan: String,
}

/// Rows of a batch of the narrow pass.
const NARROW_BATCH_ROWS: usize = 8192;

/// What the wide pass reads and adds.
#[derive(Debug)]
pub struct WidePlan {
    /// The shards.
    pub table: ShardTable,
    /// Which columns are encoded.
    pub binding: ColumnBinding,
    /// Input columns that come out beside the row reference.
    pub carried: Vec<String>,
    /// What the encode operator adds.
    pub added: Vec<AddedColumn>,
    /// Rows that fail its early parts are not encoded.
    pub condition: Option<RowCondition>,
    /// The model.
    pub runtime: Arc<EncodeRuntime>,
    /// Bytes that DataFusion's memory pool holds.
    pub memory_limit: ByteSize,
}

/// The query as a stream that is ready to give rows, and its physical plan as text.
///
/// # Errors
/// When the condition cannot be read, the plan cannot be made, or an encoder cannot be started.
pub async fn wide_pass(plan: WidePlan) -> Result<RunningQuery> {
    let context = session(plan.memory_limit, plan.table.batch_rows())?;
    let early = split(&plan, &context)?.early;
    encode(&context, plan, early, None).await
}

/// As [`wide_pass`], with [`PASSES`] behind the added columns; rows with NaN in a column of the condition are counted.
///
/// # Errors
/// As [`wide_pass`].
pub async fn one_pass(mut plan: WidePlan) -> Result<RunningQuery> {
    let context = session(plan.memory_limit, plan.table.batch_rows())?;
    let parts = split(&plan, &context)?;
    if let Some(condition) = &plan.condition {
        let floats = floats(condition, &context, plan.table.shard_schema())?;
        plan.table = plan.table.counting_nan(&floats);
    }
    let passes = parts.late.unwrap_or_else(|| lit(true)).alias(PASSES);
    encode(&context, plan, parts.early, Some(passes)).await
}

fn split(plan: &WidePlan, context: &SessionContext) -> Result<Parts> {
    match &plan.condition {
        None => Ok(Parts {
            early: None,
            late: None,
        }),
        Some(condition) => condition.split(context, plan.table.shard_schema()),
    }
}

async fn encode(
    context: &SessionContext,
    plan: WidePlan,
    early: Option<Expr>,
    passes: Option<Expr>,
) -> Result<RunningQuery> {
    let runtime = Arc::clone(&plan.runtime);
    let logical = encode_shards(plan, early, passes)
        .map_err(|error| from_datafusion(error, "plan the scoring pass"))?;
    // A plan that is wrong is refused before weights are loaded once more per encoder.
    let starting = async {
        let started = runtime.pool(&context.task_ctx()).await;
        started.map_err(|error| from_datafusion(error, "start the encoders"))
    };
    run(context, &logical, "plan the scoring pass", starting).await
}

fn encode_shards(
    plan: WidePlan,
    early: Option<Expr>,
    passes: Option<Expr>,
) -> datafusion::common::Result<LogicalPlan> {
    let source = provider_as_source(Arc::new(plan.table));
    let mut builder = LogicalPlanBuilder::scan("pairs", source, None)?;
    if let Some(early) = early {
        builder = builder.filter(early)?;
    }
    let encoded = encoding(builder, &plan.binding, plan.added.clone(), plan.runtime)?;
    let carried = plan.carried.iter();
    let added = plan.added.iter().map(|column| &column.name);
    let columns = [col(SHARD), col(ROW)].into_iter().chain(
        carried
            .chain(added)
            .map(|name| Expr::Column(Column::from_name(name))),
    );
    LogicalPlanBuilder::from(encoded)
        .project(columns.chain(passes))?
        .build()
}

/// The encode operator over the pairs of `rows`.
fn encoding(
    rows: LogicalPlanBuilder,
    binding: &ColumnBinding,
    added: Vec<AddedColumn>,
    runtime: Arc<EncodeRuntime>,
) -> datafusion::common::Result<LogicalPlan> {
    let mut builder = rows;
    let text = match binding.class_captions() {
        None => &binding.text,
        Some(classes) => {
            let input = builder.schema().columns().into_iter().map(Expr::Column);
            let labels = Expr::Column(Column::from_name(&classes.column));
            let captions = class_caption(classes.clone()).call(vec![labels]);
            let columns: Vec<Expr> = input.chain([captions.alias(CLASS_CAPTION)]).collect();
            builder = builder.project(columns)?;
            CLASS_CAPTION
        }
    };
    let pair = PairColumns::pair(Column::from_name(&binding.image), Column::from_name(text));
    let node = ClipEncodeNode::try_new(builder.build()?, pair, added, runtime)?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

/// Rows that somebody has, and what is added to them.
#[derive(Debug)]
pub struct GivenPlan {
    /// Their pairs, all of one schema.
    pub rows: Vec<RecordBatch>,
    /// Which columns are encoded.
    pub binding: ColumnBinding,
    /// What the encode operator adds.
    pub added: Vec<AddedColumn>,
    /// The model.
    pub runtime: Arc<EncodeRuntime>,
    /// Bytes that DataFusion's memory pool holds.
    pub memory_limit: ByteSize,
}

/// The added columns of every row, in the order of the rows.
///
/// # Errors
/// As [`wide_pass`].
pub async fn given_pass(plan: GivenPlan) -> Result<RunningQuery> {
    let context = session(plan.memory_limit, NARROW_BATCH_ROWS)?;
    let doing = "plan the scoring of rows";
    let build = || -> datafusion::common::Result<LogicalPlan> {
        let schema = plan.rows.first().map(RecordBatch::schema);
        let schema = schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        let source = provider_as_source(Arc::new(MemTable::try_new(schema, vec![plan.rows])?));
        let rows = LogicalPlanBuilder::scan("pairs", source, None)?;
        let columns: Vec<Expr> = plan
            .added
            .iter()
            .map(|column| Expr::Column(Column::from_name(&column.name)))
            .collect();
        let encoded = encoding(rows, &plan.binding, plan.added, plan.runtime)?;
        LogicalPlanBuilder::from(encoded).project(columns)?.build()
    };
    let logical = build().map_err(|error| from_datafusion(error, doing))?;
    run(&context, &logical, doing, async { Ok(()) }).await
}

/// What the narrow pass reads.
#[derive(Debug)]
pub struct NarrowPlan {
    /// Shards with stored scores and row references.
    pub table: PairsTable,
    /// Columns of the shards.
    pub shards: arrow::datatypes::SchemaRef,
    /// What is decided of each row.
    pub condition: RowCondition,
    /// Bytes that DataFusion's memory pool holds.
    pub memory_limit: ByteSize,
}

/// Row reference and [`PASSES`] of every row that fulfils the early conditions, in row order; and the plan.
///
/// # Errors
/// When the condition cannot be read or the plan cannot be made.
pub async fn narrow_pass(plan: NarrowPlan) -> Result<RunningQuery> {
    let context = session(plan.memory_limit, NARROW_BATCH_ROWS)?;
    let parts = plan.condition.split(&context, &plan.shards)?;
    narrow(&context, plan, parts).await
}

/// As [`narrow_pass`] without the late conditions, whose columns need not be there yet.
///
/// # Errors
/// As [`narrow_pass`].
pub async fn early_pass(plan: NarrowPlan) -> Result<RunningQuery> {
    let context = session(plan.memory_limit, NARROW_BATCH_ROWS)?;
    let early = plan.condition.split(&context, &plan.shards)?.early;
    narrow(&context, plan, Parts { early, late: None }).await
}

/// Row reference of every row of which a column that the condition names is NaN; `None` if it names no column of the
/// shards that could be.
///
/// # Errors
/// As [`narrow_pass`].
pub async fn nan_pass(
    table: ShardTable,
    condition: &RowCondition,
    memory_limit: ByteSize,
) -> Result<Option<RunningQuery>> {
    let context = session(memory_limit, NARROW_BATCH_ROWS)?;
    let shards = Arc::clone(table.shard_schema());
    let floats = floats(condition, &context, &shards)?;
    let is_nan = floats
        .iter()
        .map(|name| isnan(Expr::Column(Column::from_name(name))));
    let Some(any) = is_nan.reduce(Expr::or) else {
        return Ok(None);
    };
    let build = || -> datafusion::common::Result<LogicalPlan> {
        let source = provider_as_source(Arc::new(table));
        let found = LogicalPlanBuilder::scan("pairs", source, None)?.filter(any)?;
        found.project([col(SHARD), col(ROW)])?.build()
    };
    let doing = "count rows of which a number is NaN";
    let logical = build().map_err(|error| from_datafusion(error, doing))?;
    run(&context, &logical, doing, async { Ok(()) })
        .await
        .map(Some)
}

/// Columns of the shards that `condition` names and that may be NaN.
fn floats(
    condition: &RowCondition,
    context: &SessionContext,
    shards: &Schema,
) -> Result<Vec<String>> {
    let mut names: Vec<String> = condition.columns(context, shards)?.into_iter().collect();
    names.retain(|name| {
        let field = shards.field_with_name(name);
        field.is_ok_and(|field| field.data_type().is_floating())
    });
    Ok(names)
}

async fn narrow(context: &SessionContext, plan: NarrowPlan, parts: Parts) -> Result<RunningQuery> {
    let build = || -> datafusion::common::Result<LogicalPlan> {
        let source = provider_as_source(Arc::new(plan.table));
        let mut builder = LogicalPlanBuilder::scan("pairs", source, None)?;
        if let Some(early) = parts.early {
            builder = builder.filter(early)?;
        }
        let passes = parts.late.unwrap_or_else(|| lit(true)).alias(PASSES);
        builder.project([col(SHARD), col(ROW), passes])?.build()
    };
    let logical = build().map_err(|error| from_datafusion(error, "plan the selection"))?;
    run(context, &logical, "plan the selection", async { Ok(()) }).await
}

async fn run<T>(
    context: &SessionContext,
    logical: &LogicalPlan,
    doing: &str,
    before: impl Future<Output = Result<T>>,
) -> Result<RunningQuery> {
    let failed = |error| from_datafusion(error, doing);
    let physical = context
        .state()
        .create_physical_plan(logical)
        .await
        .map_err(failed)?;
    let text = datafusion::physical_plan::displayable(physical.as_ref())
        .indent(false)
        .to_string();
    before.await?;
    let batches =
        datafusion::physical_plan::execute_stream(physical, context.task_ctx()).map_err(failed)?;
    Ok(RunningQuery {
        batches,
        plan: text,
    })
}
