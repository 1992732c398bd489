//! The rule that makes NaN no number: a comparison with it holds of no row, negated or not, and an order has it last.
//!
//! Readers disagree on where NaN is, and a file that has statistics may give another answer than one that has none:
//! Arrow's order has NaN above all numbers, so that `score > 0.5` would take it, and a list from the top begin with it.

use std::sync::{Arc, atomic::Ordering};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::{nullif, or_kleene},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type},
    error::ArrowError,
};
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        exec_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
        ScalarUDF, ScalarUDFImpl, Signature, SortExpr, Volatility, WindowFrame, WindowFrameBound,
        WindowFrameUnits,
        expr::{Between, Cast, InList, WindowFunction},
        utils::merge_schema,
    },
    optimizer::{AnalyzerRule, utils::NamePreserver},
};

use crate::{source::RowPredicate, summary::Counters};

/// Puts [`NumberOrNull`] around what is compared, and "is it NaN" before what is ordered by.
#[derive(Debug)]
pub(super) struct NanIsNoNumber;

impl AnalyzerRule for NanIsNoNumber {
    fn name(&self) -> &str {
        "nan_is_no_number"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(without_nan)?.data)
    }
}

fn without_nan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let plan = match plan {
        LogicalPlan::Sort(mut sort) => {
            sort.expr = nan_last(sort.expr, &schema)?;
            Transformed::yes(LogicalPlan::Sort(sort))
        }
        other => Transformed::no(other),
    };
    plan.transform_data(|plan| {
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| compared(expr, &schema))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    })
}

fn compared(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let number = |expr: Box<Expr>| number_or_null(*expr, schema).map(Box::new);
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (left, right) = (number(left)?, number(right)?);
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(between) => Transformed::yes(Expr::Between(Between {
            expr: number(between.expr)?,
            negated: between.negated,
            low: number(between.low)?,
            high: number(between.high)?,
        })),
        Expr::InList(list) => Transformed::yes(Expr::InList(InList {
            expr: number(list.expr)?,
            ..list
        })),
        Expr::WindowFunction(mut window) => {
            let WindowFunction { params, .. } = &mut *window;
            if !is_measured(&params.window_frame) {
                params.order_by = nan_last(std::mem::take(&mut params.order_by), schema)?;
            }
            Transformed::yes(Expr::WindowFunction(window))
        }
        other => Transformed::no(other),
    })
}

/// Whether rows belong to a frame by how far they are apart, of which only one order can tell.
fn is_measured(frame: &WindowFrame) -> bool {
    let is_offset = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => !by.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    frame.units == WindowFrameUnits::Range
        && (is_offset(&frame.start_bound) || is_offset(&frame.end_bound))
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn number_or_null(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    if !can_be_nan(&expr, schema)? {
        return Ok(expr);
    }
    Ok(match expr {
        // Within a cast, so that what is compared with a number can still do without it.
        Expr::Cast(Cast { expr, field }) if expr.get_type(schema)?.is_floating() => {
            let expr = Box::new(number_or_null(*expr, schema)?);
            Expr::Cast(Cast { expr, field })
        }
        other => ScalarUDF::new_from_impl(NumberOrNull::default()).call(vec![other]),
    })
}

/// Each order, and before it that NaN is behind all others; of a null that says nothing.
fn nan_last(order: Vec<SortExpr>, schema: &DFSchema) -> Result<Vec<SortExpr>> {
    let mut all = Vec::with_capacity(order.len());
    for sort in order {
        if can_be_nan(&sort.expr, schema)? {
            let number = number_or_null(sort.expr.clone(), schema)?;
            let is_nan = number.is_null().and(sort.expr.clone().is_not_null());
            all.push(is_nan.sort(true, false));
        }
        all.push(sort);
    }
    Ok(all)
}

/// Of floats, all but a number that is written down and what our functions give, which is null where there is none.
fn can_be_nan(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match expr {
        Expr::Literal(value, _) => is_nan(value),
        Expr::Alias(alias) => can_be_nan(&alias.expr, schema)?,
        Expr::Cast(cast) if cast.field.data_type().is_floating() => can_be_nan(&cast.expr, schema)?,
        Expr::ScalarFunction(call) if is_ours(call.name()) => false,
        other => other.get_type(schema)?.is_floating(),
    })
}

fn is_ours(function: &str) -> bool {
    function == NumberOrNull::NAME || function.starts_with("clip_")
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float16(Some(value)) => value.is_nan(),
        ScalarValue::Float32(Some(value)) => value.is_nan(),
        ScalarValue::Float64(Some(value)) => value.is_nan(),
        _ => false,
    }
}

/// A float as it is, null where it is NaN.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NumberOrNull {
    signature: Signature,
}

impl NumberOrNull {
    const NAME: &str = "number_or_null";
}

impl Default for NumberOrNull {
    fn default() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for NumberOrNull {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [float] if float.is_floating() => Ok(float.clone()),
            _ => exec_err!("{} is of floats", Self::NAME),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(column)] => numbers(column).map(ColumnarValue::Array),
            [ColumnarValue::Scalar(value)] => {
                let values = numbers(&value.to_array()?)?;
                ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar)
            }
            _ => exec_err!("{} is of one column", Self::NAME),
        }
    }
}

fn numbers(column: &ArrayRef) -> Result<ArrayRef> {
    let is_nan = is_nan_each(column)?;
    match is_nan.true_count() {
        0 => Ok(Arc::clone(column)),
        _ => Ok(nullif(column, &is_nan)?),
    }
}

/// Whether each float is NaN.
fn is_nan_each(column: &ArrayRef) -> Result<BooleanArray> {
    Ok(match column.data_type() {
        DataType::Float16 => {
            BooleanArray::from_unary(column.as_primitive::<Float16Type>(), |value| value.is_nan())
        }
        DataType::Float32 => {
            BooleanArray::from_unary(column.as_primitive::<Float32Type>(), f32::is_nan)
        }
        DataType::Float64 => {
            BooleanArray::from_unary(column.as_primitive::<Float64Type>(), f64::is_nan)
        }
        other => return exec_err!("{} is of floats, not of {other}", NumberOrNull::NAME),
    })
}

/// A condition that every row fulfils, which adds those to `rows_nan` of which one of `columns` is NaN.
pub(super) fn counting_nan(columns: Vec<usize>, counters: Arc<Counters>) -> RowPredicate {
    RowPredicate {
        columns,
        evaluate: Arc::new(move |batch: &RecordBatch| {
            let mut any = BooleanArray::new(BooleanBuffer::new_unset(batch.num_rows()), None);
            for column in batch.columns() {
                // All of it is null where the shard lacks it.
                if column.data_type().is_floating() {
                    let is_nan = is_nan_each(column)
                        .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
                    any = or_kleene(&any, &is_nan)?;
                }
            }
            let rows = any.true_count() as u64;
            counters.rows_nan.fetch_add(rows, Ordering::Relaxed);
            let all = BooleanBuffer::new_set(batch.num_rows());
            Ok(BooleanArray::new(all, None))
        }),
    }
}
