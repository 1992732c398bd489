//! The query of the wide pass.
//!
//! ```text
//! Projection: row reference, added columns, (late conditions) AS __passes
//!   ClipEncode
//!     Filter: early conditions            (these reach the scan)
//!       TableScan: shards
//! ```
//!
//! Late conditions are a column, not a filter: a filter would drop bad rows, whose score is null, before
//! they are counted.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, tree_node::TreeNode},
    datasource::provider_as_source,
    execution::{
        SendableRecordBatchStream,
        memory_pool::{GreedyMemoryPool, TrackConsumersPool},
        runtime_env::RuntimeEnvBuilder,
        session_state::SessionStateBuilder,
    },
    logical_expr::{
        Expr, Extension, LogicalPlan, LogicalPlanBuilder, col, lit, utils::split_conjunction_owned,
    },
    prelude::{SessionConfig, SessionContext},
};

use super::{
    AddedColumn, ClipEncodeNode, EncodeRuntime, PairColumns, ShardTable, from_datafusion, planner,
};
use crate::{
    config::ByteSize,
    error::{Error, Result},
    schema::{ROW, SHARD},
    source::ColumnBinding,
};

/// Boolean column: true where the late conditions hold; null or false where they do not.
pub const PASSES: &str = "__passes";

/// What the wide pass reads, adds and asks.
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
    /// `--where`, over input columns and added ones.
    pub condition: Option<String>,
    /// The model.
    pub runtime: Arc<EncodeRuntime>,
    /// Bytes that DataFusion's memory pool holds.
    pub memory_limit: ByteSize,
}

/// The query as a stream that is ready to give rows, and its physical plan as text.
///
/// # Errors
/// When the condition cannot be read, the plan cannot be made, or an encoder cannot be started.
pub async fn wide_pass(plan: WidePlan) -> Result<(SendableRecordBatchStream, String)> {
    let context = session(plan.memory_limit, plan.table.batch_rows())?;
    let runtime = Arc::clone(&plan.runtime);
    let logical = logical_plan(&context, plan)?;
    let failed = |error| from_datafusion(error, "plan the scoring pass");
    let physical = context
        .state()
        .create_physical_plan(&logical)
        .await
        .map_err(failed)?;
    let text = datafusion::physical_plan::displayable(physical.as_ref())
        .indent(false)
        .to_string();
    // A plan that is wrong is refused before weights are loaded once more per encoder.
    runtime
        .pool(&context.task_ctx())
        .await
        .map_err(|error| from_datafusion(error, "start the encoders"))?;
    let stream =
        datafusion::physical_plan::execute_stream(physical, context.task_ctx()).map_err(failed)?;
    Ok((stream, text))
}

fn session(memory_limit: ByteSize, batch_rows: usize) -> Result<SessionContext> {
    // One partition keeps rows in order; the encode operator brings its own threads.
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(batch_rows);
    // Column names such as TEXT and SAMPLE_ID are written as they are.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    let bytes = usize::try_from(memory_limit.0).unwrap_or(usize::MAX);
    let pool = TrackConsumersPool::new(
        GreedyMemoryPool::new(bytes),
        NonZeroUsize::MIN.saturating_add(4),
    );
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .build_arc()
        .map_err(|error| from_datafusion(error, "make the memory pool"))?;
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features();
    Ok(SessionContext::new_with_state(
        planner::with_clip_planner(builder).build(),
    ))
}

fn logical_plan(context: &SessionContext, plan: WidePlan) -> Result<LogicalPlan> {
    let failed = |error| from_datafusion(error, "plan the scoring pass");
    let source = provider_as_source(Arc::new(plan.table));
    let scan = LogicalPlanBuilder::scan("pairs", source, None)
        .map_err(failed)?
        .build()
        .map_err(failed)?;
    let node = |input: LogicalPlan| {
        let columns = PairColumns::pair(
            Column::from_name(&plan.binding.image),
            Column::from_name(&plan.binding.text),
        );
        ClipEncodeNode::try_new(
            input,
            columns,
            plan.added.clone(),
            Arc::clone(&plan.runtime),
        )
        .map_err(failed)
    };
    // Names of added columns must be known to read the condition.
    let described = extension(node(scan.clone())?);
    let input_names: HashSet<String> = scan
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let (early, late) = match &plan.condition {
        None => (None, None),
        Some(text) => split_condition(context, text, described.schema(), &input_names)?,
    };
    let mut builder = LogicalPlanBuilder::from(scan);
    if let Some(early) = early {
        builder = builder.filter(early).map_err(failed)?;
    }
    let encoded = extension(node(builder.build().map_err(failed)?)?);
    let mut columns = vec![col(SHARD), col(ROW)];
    columns.extend(
        plan.carried
            .iter()
            .map(|name| Expr::Column(Column::from_name(name))),
    );
    columns.extend(
        plan.added
            .iter()
            .map(|column| Expr::Column(Column::from_name(&column.name))),
    );
    columns.push(late.unwrap_or_else(|| lit(true)).alias(PASSES));
    LogicalPlanBuilder::from(encoded)
        .project(columns)
        .map_err(failed)?
        .build()
        .map_err(failed)
}

fn extension(node: ClipEncodeNode) -> LogicalPlan {
    LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    })
}

type Parts = (Option<Expr>, Option<Expr>);

/// The parts of a condition that need only input columns, and the rest.
fn split_condition(
    context: &SessionContext,
    text: &str,
    schema: &DFSchemaRef,
    input_names: &HashSet<String>,
) -> Result<Parts> {
    let failed =
        |error| from_datafusion(error, "read the --where condition").with("condition", text);
    // Without the table's name, which nobody typed.
    let schema: &DFSchema = &schema.as_ref().clone().strip_qualifiers();
    let expr = context
        .state()
        .create_logical_expr(text, schema)
        .map_err(failed)?;
    check_row_by_row(&expr, text)?;
    use datafusion::logical_expr::ExprSchemable;
    let data_type = expr.get_type(schema).map_err(failed)?;
    if !matches!(data_type, arrow::datatypes::DataType::Boolean) {
        return Err(
            Error::usage("use the --where condition: it is not true or false")
                .with("condition", text)
                .with("its type", data_type)
                .hint("compare it with something, as in clip_score > 0.25"),
        );
    }
    let (early, late): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(expr).into_iter().partition(|part| {
            part.column_refs()
                .iter()
                .all(|column| input_names.contains(&column.name))
                && !part.is_volatile()
        });
    let all = |parts: Vec<Expr>| parts.into_iter().reduce(Expr::and);
    Ok((all(early), all(late)))
}

/// Refuses what does not look at one row alone: a join or a sort would lose the order of rows.
fn check_row_by_row(expr: &Expr, text: &str) -> Result<()> {
    let several = |expr: &Expr| {
        matches!(
            expr,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
        )
    };
    match expr.exists(|part| Ok(several(part))) {
        Ok(false) => Ok(()),
        _ => Err(
            Error::usage("use the --where condition: it needs more than one row to decide")
                .with("condition", text)
                .hint(
                    "no subquery, aggregate or window function; --keep and --keep-rows rank rows",
                ),
        ),
    }
}
