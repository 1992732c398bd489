//! The rule that takes out of a plan what is encoded for nobody.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{Result, tree_node::Transformed},
    logical_expr::{Expr, Extension, LogicalPlan},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use super::{
    ClipEncodeNode, PairColumns,
    encode_node::{reads_image, reads_text},
};
use crate::{encode::Bond, schema::ScoreColumn};

/// Takes out of the encode operator what nobody above reads, and the operator if that is everything.
///
/// A view may call a CLIP function that a query over it does not ask for.
#[derive(Debug)]
pub(super) struct PruneClipColumns;

impl OptimizerRule for PruneClipColumns {
    fn name(&self) -> &str {
        "prune_clip_columns"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        // Only these say which of their input's columns are read.
        let input = match &plan {
            LogicalPlan::Projection(plan) => &plan.input,
            LogicalPlan::Aggregate(plan) => &plan.input,
            _ => return Ok(Transformed::no(plan)),
        };
        let exprs = plan.expressions();
        match pruned(input, &with_names(HashSet::new(), &exprs))? {
            None => Ok(Transformed::no(plan)),
            Some(input) => Ok(Transformed::yes(plan.with_new_exprs(exprs, vec![input])?)),
        }
    }
}

fn with_names(mut names: HashSet<String>, exprs: &[Expr]) -> HashSet<String> {
    let columns = exprs.iter().flat_map(Expr::column_refs);
    names.extend(columns.map(|column| column.name.clone()));
    names
}

/// `plan` without the added columns that are not in `read`; `None` if nothing changes.
fn pruned(plan: &LogicalPlan, read: &HashSet<String>) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let (exprs, inputs) = (plan.expressions(), plan.inputs());
            let [input] = inputs.as_slice() else {
                return Ok(None);
            };
            pruned(input, &with_names(read.clone(), &exprs))?
                .map(|input| plan.with_new_exprs(exprs, vec![input]))
                .transpose()
        }
        LogicalPlan::Extension(Extension { node }) => {
            match node.as_any().downcast_ref::<ClipEncodeNode>() {
                Some(node) => pruned_node(node, read),
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn pruned_node(node: &ClipEncodeNode, read: &HashSet<String>) -> Result<Option<LogicalPlan>> {
    let added = node.added.iter();
    let added: Vec<_> = added
        .filter(|column| read.contains(&column.name))
        .cloned()
        .collect();
    let whole = added.len() == node.added.len();
    let reads = |side: fn(ScoreColumn) -> bool| added.iter().any(|column| side(column.added));
    let columns = PairColumns {
        image: node.columns.image.clone().filter(|_| reads(reads_image)),
        text: node.columns.text.clone().filter(|_| reads(reads_text)),
        bond: match added
            .iter()
            .all(|column| column.added == ScoreColumn::CLIP_SCORE)
        {
            true => Bond::Pair,
            false => node.columns.bond,
        },
    };
    let mut below = read.clone();
    let sides = columns.image.iter().chain(&columns.text);
    below.extend(sides.map(|column| column.name.clone()));
    let input = pruned(&node.input, &below)?;
    if whole && input.is_none() {
        return Ok(None);
    }
    let input = input.unwrap_or_else(|| node.input.clone());
    if added.is_empty() {
        return Ok(Some(input));
    }
    let node = ClipEncodeNode::try_new(input, columns, added, Arc::clone(&node.runtime))?;
    Ok(Some(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    })))
}
