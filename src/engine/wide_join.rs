//! Joins of pictures.
//!
//! A hash join holds all rows of its first input. Where those have pictures and the others have none the inputs change
//! places; where both have, the join is one of sorted inputs, which writes what does not fit to temporary files.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        joins::{CrossJoinExec, HashJoinExec, PartitionMode, SortMergeJoinExec},
    },
};

use super::query_memory::holds_bytes;

/// See the module; to come before the rule that adds the sorts which operators require.
#[derive(Debug)]
pub(super) struct JoinPictures;

impl PhysicalOptimizerRule for JoinPictures {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let joined = plan.transform_up(|plan| {
            let new = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
                hash_join(join)?
            } else if let Some(join) = plan.downcast_ref::<CrossJoinExec>() {
                let swaps = has_pictures(join.left()) && !has_pictures(join.right());
                swaps.then(|| join.swap_inputs()).transpose()?
            } else {
                None
            };
            Ok(match new {
                Some(new) => Transformed::yes(new),
                None => Transformed::no(plan),
            })
        })?;
        Ok(joined.data)
    }

    fn name(&self) -> &str {
        "join_pictures"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn hash_join(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let changes = has_pictures(join.left()) && !join.null_aware && join.projection.is_none();
    if !changes {
        return Ok(None);
    }
    if !has_pictures(join.right()) {
        return join.swap_inputs(PartitionMode::CollectLeft).map(Some);
    }
    let sorted = SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        vec![SortOptions::default(); join.on.len()],
        join.null_equality,
    )?;
    Ok(Some(Arc::new(sorted)))
}

fn has_pictures(input: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = input.schema();
    let mut fields = schema.fields().iter();
    fields.any(|field| holds_bytes(field.data_type()))
}
