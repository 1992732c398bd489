//! Tables that hold the answers already.

use datafusion::{
    catalog::TableProvider,
    common::{Column, Result},
    datasource::source_as_provider,
    logical_expr::{LogicalPlan, TableScan, TableScanBuilder},
};

use crate::engine::PairsTable;

use super::{
    CallKind,
    call::Call,
    lineage::{through_alias, through_projection},
};

/// The column of `provider` that answers a call on its columns `image` and `text`.
pub(in crate::engine) fn provided_column(
    provider: &dyn TableProvider,
    call: CallKind,
    image: Option<&str>,
    text: Option<&str>,
) -> Option<String> {
    #[cfg(test)]
    if let Some(table) =
        (provider as &dyn std::any::Any).downcast_ref::<super::tests::StoredTable>()
    {
        return table.provided(call, image, text);
    }
    let table = (provider as &dyn std::any::Any).downcast_ref::<PairsTable>()?;
    table
        .scored_column(call.added(), image, text)
        .map(str::to_owned)
}

/// The column of `scan` that answers `call`, whether or not the scan shows it yet.
pub(super) fn column_of(scan: &TableScan, call: &Call) -> Option<Column> {
    let provider = source_as_provider(&scan.source).ok()?;
    // An argument that is no column is no column of the table.
    let name = |argument: &Option<_>| match argument {
        None => Some(None),
        Some(argument) => Some(Some(
            datafusion::logical_expr::Expr::try_as_col(argument)?
                .name
                .clone(),
        )),
    };
    let (image, text) = (name(&call.image)?, name(&call.text)?);
    let found = provided_column(
        provider.as_ref(),
        call.kind,
        image.as_deref(),
        text.as_deref(),
    )?;
    Some(Column::new(Some(scan.table_name.clone()), found))
}

/// `scan` with `column` among those it shows.
pub(super) fn showing(scan: TableScan, column: &Column) -> Result<TableScan> {
    let position = scan.source.schema().index_of(&column.name)?;
    match &scan.projection {
        Some(shown) if !shown.contains(&position) => {
            let shown = shown.iter().copied().chain([position]).collect();
            TableScanBuilder::from(scan)
                .with_projection(Some(shown))
                .build()
        }
        _ => Ok(scan),
    }
}

/// Whether a table below answers `call` without a model, or all of it but a constant text.
pub(super) fn is_provided(plan: &LogicalPlan, call: &Call) -> Result<bool> {
    match plan {
        LogicalPlan::TableScan(scan) => Ok(column_of(scan, call).is_some()
            || scored_by_parts(call)
                .is_some_and(|parts| parts.iter().all(|part| column_of(scan, part).is_some()))),
        LogicalPlan::Filter(plan) => is_provided(&plan.input, call),
        LogicalPlan::Sort(plan) => is_provided(&plan.input, call),
        LogicalPlan::Limit(plan) => is_provided(&plan.input, call),
        LogicalPlan::SubqueryAlias(alias) => {
            is_provided(&alias.input, &through_alias(alias, call)?)
        }
        LogicalPlan::Projection(projection) => match through_projection(projection, call)? {
            Some(below) => is_provided(&projection.input, &below),
            None => Ok(false),
        },
        LogicalPlan::Window(plan) if call.is_over(plan.input.schema()) => {
            is_provided(&plan.input, call)
        }
        LogicalPlan::Join(join) => {
            let sides = [&join.left, &join.right];
            let side = sides.iter().find(|side| call.is_over(side.schema()));
            side.map_or(Ok(false), |side| is_provided(side, call))
        }
        _ => Ok(false),
    }
}

/// The embeddings that a score can be computed from; those of a constant text need no column.
fn scored_by_parts(call: &Call) -> Option<Vec<Call>> {
    let (Some(image), Some(text)) = (&call.image, &call.text) else {
        return None;
    };
    let mut parts = vec![Call::image(image.clone())];
    if !crate::engine::udf::is_constant(text) {
        parts.push(Call::text(text.clone()));
    }
    Some(parts)
}
