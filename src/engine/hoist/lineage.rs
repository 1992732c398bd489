//! What a call is called one plan further down.

use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, Projection, SubqueryAlias},
};

use super::call::{Call, CallKind, has_outer_reference, mentions};
use crate::engine::udf;

/// The call over the projection's input, unless it would read what can be computed only once.
pub(super) fn through_projection(plan: &Projection, call: &Call) -> Result<Option<Call>> {
    let below = call.map(|argument| {
        replace_columns(argument, |column| {
            let position = plan.schema.index_of_column(column)?;
            Ok(plan.expr[position].clone().unalias_nested().data)
        })
    })?;
    let fixed = |expr: &Expr| {
        expr.is_volatile()
            || mentions(expr)
            || has_outer_reference(expr)
            || expr.exists(is_subquery).unwrap_or(true)
    };
    let constant_text =
        below.kind == CallKind::TextEmbedding && below.text.iter().all(udf::is_constant);
    let stays = constant_text || below.arguments().any(fixed);
    Ok((!stays).then_some(below))
}

/// The call over the input of an alias.
pub(super) fn through_alias(plan: &SubqueryAlias, call: &Call) -> Result<Call> {
    call.map(|argument| {
        replace_columns(argument, |column| {
            let position = plan.schema.index_of_column(column)?;
            let below = plan.input.schema().qualified_field(position);
            Ok(Expr::Column(Column::from(below)))
        })
    })
}

fn replace_columns(expr: &Expr, replace: impl Fn(&Column) -> Result<Expr>) -> Result<Expr> {
    let replaced = expr.clone().transform_up(|part| match &part {
        Expr::Column(column) => Ok(Transformed::yes(replace(column)?)),
        _ => Ok(Transformed::no(part)),
    })?;
    Ok(replaced.data)
}

fn is_subquery(expr: &Expr) -> Result<bool> {
    Ok(matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
    ))
}
