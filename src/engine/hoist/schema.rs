//! The columns that a plan had before calls were taken out of it.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema, Result},
    logical_expr::{Expr, LogicalPlan, Projection},
};

/// `plan` cut to the columns of `schema`.
pub(super) fn with_schema(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = schema.columns();
    if plan.schema().columns() == columns {
        return Ok(plan);
    }
    let exprs = columns.into_iter().map(Expr::Column).collect();
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// The columns of `plan` at `positions` under the names of `schema`, and `more`.
pub(super) fn renamed(
    plan: LogicalPlan,
    positions: &[usize],
    schema: &DFSchema,
    more: &[Column],
) -> Result<LogicalPlan> {
    let (old, new) = (schema.columns(), plan.schema().columns());
    let in_place = positions.iter().copied().eq(0..new.len());
    if in_place && old == new {
        return Ok(plan);
    }
    let pick = |(&position, old): (&usize, Column)| {
        let new = &new[position];
        match *new == old {
            true => Expr::Column(old),
            false => Expr::Column(new.clone()).alias_qualified(old.relation, old.name),
        }
    };
    let mut exprs: Vec<Expr> = positions.iter().zip(old).map(pick).collect();
    for column in more {
        let column = Expr::Column(column.clone());
        if !exprs.contains(&column) {
            exprs.push(column);
        }
    }
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}
