//! From logical plans with an encode operator to physical ones.

use std::{fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::Result,
    execution::{context::QueryPlanner, session_state::SessionStateBuilder},
    logical_expr::{
        LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext,
    },
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::ExecutionPlan,
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};

use super::{
    ClipEncodeExec, ClipEncodeNode, EncodeRuntime, held_rows::KnowHeldRows, hoist::HoistClipCalls,
    prune::PruneClipColumns, share::ShareEncodedRows, udf, wide_join::JoinPictures,
};

/// DataFusion's planner with the encode operator added.
#[derive(Debug)]
struct ClipQueryPlanner;

#[async_trait]
impl QueryPlanner for ClipQueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(ClipEncodePlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

/// `ClipEncodeNode` to `ClipEncodeExec`.
struct ClipEncodePlanner;

#[async_trait]
impl ExtensionPlanner for ClipEncodePlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<ClipEncodeNode>(), inputs) else {
            return Ok(None);
        };
        // The plan shows the model's name and device.
        node.runtime.load().await?;
        let exec = ClipEncodeExec::try_new(
            Arc::clone(input),
            node.positions()?,
            node.added.clone(),
            Arc::clone(&node.runtime),
        )?;
        Ok(Some(Arc::new(exec)))
    }
}

impl fmt::Debug for ClipEncodePlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClipEncodePlanner")
    }
}

/// `builder` with a planner that knows the encode operator.
pub(super) fn with_clip_planner(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.with_query_planner(Arc::new(ClipQueryPlanner))
}

/// `builder` with the CLIP functions, which run on `runtime`, and all that plans them.
///
/// Rows that a query reads twice lie in `temporary_files` between the two.
///
/// To be called after `with_default_features`: the rule has to come after type coercion.
pub(super) fn with_clip_functions(
    mut builder: SessionStateBuilder,
    runtime: &Arc<EncodeRuntime>,
    temporary_files: &Path,
) -> SessionStateBuilder {
    let functions = udf::clip_functions(runtime).into_iter().map(Arc::new);
    builder
        .scalar_functions()
        .get_or_insert_default()
        .extend(functions);
    let rule = HoistClipCalls::new(Arc::clone(runtime));
    let mut physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> =
        vec![Arc::new(JoinPictures)];
    physical.extend(PhysicalOptimizer::new().rules);
    with_clip_planner(builder)
        .with_analyzer_rule(Arc::new(rule))
        .with_optimizer_rule(Arc::new(PruneClipColumns))
        .with_physical_optimizer_rules(physical)
        .with_physical_optimizer_rule(Arc::new(ShareEncodedRows::new(temporary_files.into())))
        .with_physical_optimizer_rule(Arc::new(KnowHeldRows))
}
