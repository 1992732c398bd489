//! Conditions that a scan evaluates itself.

use std::sync::Arc;

use arrow::{
    array::{Array, BooleanArray, RecordBatch, RecordBatchOptions},
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    catalog::Session,
    common::{
        Column, DFSchema, Result,
        cast::as_boolean_array,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::Expr,
    physical_expr::{
        PhysicalExpr,
        utils::{collect_columns, reassign_expr_columns},
    },
};

use crate::{
    error::Error,
    source::{RowPredicate, conform},
};

/// A condition over columns of one batch.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// Its columns, by position in the table's schema, ascending.
    pub(super) columns: Vec<usize>,
    schema: SchemaRef,
    expr: Arc<dyn PhysicalExpr>,
}

impl Condition {
    /// `filter` over the columns of a table of `schema`.
    pub(super) fn of(state: &dyn Session, schema: &SchemaRef, filter: &Expr) -> Result<Self> {
        let mut columns = filter
            .column_refs()
            .iter()
            .map(|column| Ok(schema.index_of(&column.name)?))
            .collect::<Result<Vec<usize>>>()?;
        columns.sort_unstable();
        columns.dedup();
        let schema = Arc::new(schema.project(&columns)?);
        // The table's qualifier is not known here.
        let unqualified = unqualify(filter)?;
        let described = DFSchema::try_from(Arc::clone(&schema))?;
        let expr = state.create_physical_expr(unqualified, &described)?;
        Ok(Self {
            columns,
            schema,
            expr,
        })
    }

    /// `filter`, which names columns of a table of `schema`; it may change until it is evaluated.
    pub(super) fn of_physical(filter: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Self> {
        let mut columns = collect_columns(filter)
            .iter()
            .map(|column| Ok(schema.index_of(column.name())?))
            .collect::<Result<Vec<usize>>>()?;
        columns.sort_unstable();
        columns.dedup();
        let schema = Arc::new(schema.project(&columns)?);
        Ok(Self {
            columns,
            expr: reassign_expr_columns(Arc::clone(filter), &schema)?,
            schema,
        })
    }

    /// The condition for a reader that evaluates it on columns of a shard.
    pub(super) fn into_predicate(self) -> RowPredicate {
        RowPredicate {
            columns: self.columns.clone(),
            evaluate: Arc::new(move |batch: &RecordBatch| self.evaluate(batch)),
        }
    }

    /// Says of each row of `batch`, which holds [`Condition::columns`] in order, whether it passes.
    pub(super) fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| conform(column, field.data_type()));
        let columns = columns.collect::<Result<_, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &rows)?;
        let value = self
            .expr
            .evaluate(&batch)
            .and_then(|value| value.into_array(batch.num_rows()));
        // An error of our own, so that the reader does not blame the shard.
        let failed = |error| {
            let error = Error::input("evaluate a condition").source(error);
            ArrowError::ExternalError(Box::new(error))
        };
        Ok(as_boolean_array(&value.map_err(failed)?)
            .map_err(failed)?
            .clone())
    }
}

/// Filters of a scan.
pub(super) struct ScanFilters<'a> {
    /// Those that name a column.
    pub(super) of_columns: Vec<&'a Expr>,
    /// Whether all others hold, which may be left of one that named a column.
    pub(super) others_hold: bool,
}

impl<'a> ScanFilters<'a> {
    pub(super) fn of(state: &dyn Session, filters: &'a [Expr]) -> Result<Self> {
        let (of_columns, others): (Vec<&Expr>, Vec<&Expr>) = filters
            .iter()
            .partition(|filter| !filter.column_refs().is_empty());
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let nothing = Arc::new(Schema::empty());
        let one_row = RecordBatch::try_new_with_options(nothing, Vec::new(), &one_row)?;
        let mut others_hold = true;
        for filter in others {
            let holds = Condition::of(state, &one_row.schema(), filter)?.evaluate(&one_row)?;
            others_hold &= holds.is_valid(0) && holds.value(0);
        }
        Ok(Self {
            of_columns,
            others_hold,
        })
    }

    /// Most rows that the scan gives.
    pub(super) fn limit(&self, limit: Option<usize>) -> Option<usize> {
        if self.others_hold { limit } else { Some(0) }
    }
}

/// A condition on shard columns, which come first in `schema`.
pub(super) fn shard_predicate(
    state: &dyn Session,
    schema: &SchemaRef,
    filter: &Expr,
) -> Result<RowPredicate> {
    Ok(Condition::of(state, schema, filter)?.into_predicate())
}

fn unqualify(filter: &Expr) -> Result<Expr> {
    let transformed = filter.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(transformed.data)
}
