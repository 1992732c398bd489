//! The rule that compares times by the instants they are, whatever their units.
//!
//! SQL's TIMESTAMP has nanoseconds here, which reach from 1677 to 2262, and so has what a time is brought to before it is
//! compared with one, with a date or with a text: of a column that reaches further, either would be an error. So a time that is
//! written down has microseconds, which reach over all years that can be written, unless it has nanoseconds; a cast to TIMESTAMP
//! keeps the unit of what it is of; and of two times of different units one is brought to the type of the other where that
//! is exact, else both to [`Instant`]s.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{
        Column, DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, RecursiveQuery,
        expr::{Between, Cast, InList, InSubquery, TryCast},
        utils::merge_schema,
    },
    optimizer::{AnalyzerRule, utils::NamePreserver},
};

use super::instant::{Instant, as_type, instant_literal};

/// To come before types are coerced, which brings times to nanoseconds.
#[derive(Debug)]
pub(super) struct TimesAreInstants;

impl AnalyzerRule for TimesAreInstants {
    fn name(&self) -> &str {
        "times_are_instants"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(by_instants)?.data)
    }
}

fn by_instants(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&scan.projected_schema);
    }
    let names = NamePreserver::new(&plan);
    let changed = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let changed = expr.transform_up(|expr| rewritten(expr, &schema))?;
        Ok(changed.update_data(|expr| name.restore(expr)))
    })?;
    changed.map_data(|plan| match plan {
        LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
        LogicalPlan::RecursiveQuery(query) => of_own_types(query),
        other => other.recompute_schema(),
    })
}

/// Both terms of `query` of the types that they had: what is read of it within was planned with these.
fn of_own_types(query: RecursiveQuery) -> Result<LogicalPlan> {
    let cast = |term: Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> {
        let columns = term.schema().columns().into_iter();
        let columns = columns.zip(query.schema.fields()).map(|(column, field)| {
            let name = column.name.clone();
            let column = Expr::Column(column).cast_to(field.data_type(), term.schema())?;
            Ok(column.alias(name))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlanBuilder::from(Arc::clone(&term)).project(columns)?;
        plan.build().map(Arc::new)
    };
    Ok(LogicalPlan::RecursiveQuery(RecursiveQuery {
        static_term: cast(query.static_term)?,
        recursive_term: cast(query.recursive_term)?,
        ..query
    }))
}

fn rewritten(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Cast(Cast { expr, field }) => match timestamp(&expr, field.data_type(), schema)? {
            Some(Kept::Literal(time)) => Transformed::yes(time),
            Some(Kept::Unit(data_type)) => Transformed::yes(Expr::Cast(Cast::new(expr, data_type))),
            None => Transformed::no(Expr::Cast(Cast { expr, field })),
        },
        Expr::TryCast(TryCast { expr, field }) => {
            match timestamp(&expr, field.data_type(), schema)? {
                Some(Kept::Literal(time)) => Transformed::yes(time),
                Some(Kept::Unit(data_type)) => {
                    Transformed::yes(Expr::TryCast(TryCast::new(expr, data_type)))
                }
                None => Transformed::no(Expr::TryCast(TryCast { expr, field })),
            }
        }
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
            match compared(&binary.left, &binary.right, schema)? {
                Some(Compared { left, right, .. }) => {
                    let (left, right) = (Box::new(left), Box::new(right));
                    let op = binary.op;
                    Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
                }
                None => Transformed::no(Expr::BinaryExpr(binary)),
            }
        }
        Expr::Between(between) => match bounds(&between, schema)? {
            Some(expr) => Transformed::yes(expr),
            None => Transformed::no(Expr::Between(between)),
        },
        Expr::InList(list) => match any_of(&list, schema)? {
            Some(expr) => Transformed::yes(expr),
            None => Transformed::no(Expr::InList(list)),
        },
        Expr::InSubquery(one) => match among(&one, schema)? {
            Some(one) => Transformed::yes(Expr::InSubquery(one)),
            None => Transformed::no(Expr::InSubquery(one)),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Plus | Operator::Minus) =>
        {
            let [first, second] = [in_nanos(&left, &right)?, in_nanos(&right, &left)?];
            let left = first.map_or(left, Box::new);
            let right = second.map_or(right, Box::new);
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        other => Transformed::no(other),
    })
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

/// What a cast to TIMESTAMP is instead.
enum Kept {
    Literal(Expr),
    Unit(DataType),
}

/// What a cast of `expr` to `wanted` is instead; `None` if it is none to TIMESTAMP, or has to be one to nanoseconds.
fn timestamp(expr: &Expr, wanted: &DataType, schema: &DFSchema) -> Result<Option<Kept>> {
    let DataType::Timestamp(TimeUnit::Nanosecond, zone) = wanted else {
        return Ok(None);
    };
    if let Expr::Literal(value, _) = expr
        && value.data_type().is_string()
    {
        let instant = Instant::within(zone.clone()).of_value(value);
        // What cannot be read is told by the cast itself.
        let Ok(Some(instant)) = instant else {
            return Ok(None);
        };
        let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
        let time = as_type(Some(instant), &micros)?;
        return Ok(time.map(|time| Kept::Literal(Expr::Literal(time, None))));
    }
    Ok(match expr.get_type(schema)? {
        DataType::Timestamp(unit, _) if unit != TimeUnit::Nanosecond => {
            Some(Kept::Unit(DataType::Timestamp(unit, zone.clone())))
        }
        DataType::Date32 | DataType::Date64 => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            Some(Kept::Unit(micros))
        }
        _ => None,
    })
}

/// Two sides of one type.
struct Compared {
    left: Expr,
    right: Expr,
    /// Whether the left side is as it was.
    keeps_left: bool,
}

/// `left` and `right` as what compares by instants; `None` where they are no times, or compare as they are.
fn compared(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Option<Compared>> {
    let types = (kind(left, schema)?, kind(right, schema)?);
    let (Some(left_type), Some(right_type)) = types else {
        return Ok(None);
    };
    let Some(zone) = zone_of(&left_type, &right_type) else {
        return Ok(None);
    };
    if let Some(time) = fitted(right, &left_type, &zone)? {
        let (left, right) = (left.clone(), Expr::Literal(time, None));
        let keeps_left = true;
        return Ok(Some(Compared {
            left,
            right,
            keeps_left,
        }));
    }
    let (left, right) = match fitted(left, &right_type, &zone)? {
        Some(time) => (Expr::Literal(time, None), right.clone()),
        None => (exact(left, &zone, schema)?, exact(right, &zone, schema)?),
    };
    Ok(Some(Compared {
        left,
        right,
        keeps_left: false,
    }))
}

/// The type of a time, a date or a text.
fn kind(expr: &Expr, schema: &DFSchema) -> Result<Option<DataType>> {
    let data_type = match expr.get_type(schema)? {
        DataType::Dictionary(_, values) => *values,
        other => other,
    };
    let is_known = matches!(
        data_type,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    );
    Ok((is_known || data_type.is_string()).then_some(data_type))
}

/// The zone of a side that has none; `None` if the two compare as they are.
fn zone_of(left: &DataType, right: &DataType) -> Option<Option<Arc<str>>> {
    use DataType::Timestamp;
    match (left, right) {
        (Timestamp(a, _), Timestamp(b, _)) if a == b => None,
        (Timestamp(_, a), Timestamp(_, b)) => Some(a.clone().or_else(|| b.clone())),
        (Timestamp(_, zone), text) | (text, Timestamp(_, zone)) if text.is_string() => {
            Some(zone.clone())
        }
        // A date begins in UTC.
        (Timestamp(..), _) | (_, Timestamp(..)) => Some(None),
        _ => None,
    }
}

/// `expr`, if it is written down and one of the values of `data_type`, as that.
fn fitted(
    expr: &Expr,
    data_type: &DataType,
    zone: &Option<Arc<str>>,
) -> Result<Option<ScalarValue>> {
    if matches!((data_type, zone), (DataType::Timestamp(_, None), Some(_))) {
        return Ok(None);
    }
    match constant(expr) {
        None => Ok(None),
        Some(value) => match Instant::within(zone.clone()).of_value(&value) {
            Ok(instant) => as_type(instant, data_type),
            Err(_) => Ok(None),
        },
    }
}

/// What `expr` is, if it is written down.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        _ => None,
    }
}

/// `time`, if it is written down and an interval of nanoseconds is added to it, as one that has them.
fn in_nanos(time: &Expr, added: &Expr) -> Result<Option<Expr>> {
    match (time, added) {
        (
            Expr::Literal(time @ ScalarValue::TimestampMicrosecond(Some(_), zone), _),
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(added)), _),
        ) if added.nanoseconds % 1_000 != 0 => {
            let nanos = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
            let time = as_type(Instant::within(None).of_value(time)?, &nanos)?;
            Ok(time.map(|time| Expr::Literal(time, None)))
        }
        _ => Ok(None),
    }
}

/// The instant of `expr`; of a text that is cast to nanoseconds, that of the text.
fn exact(expr: &Expr, zone: &Option<Arc<str>>, schema: &DFSchema) -> Result<Expr> {
    let instant = Instant::within(zone.clone());
    // A clock of no zone shows the time in UTC, so that only there it is that of the text.
    let is_utc = matches!(zone.as_deref(), Some("UTC" | "+00:00" | "Z"));
    let is_of_text = |of: &Expr, wanted: &DataType| -> Result<bool> {
        let DataType::Timestamp(TimeUnit::Nanosecond, own) = wanted else {
            return Ok(false);
        };
        let is_text = kind(of, schema)?.is_some_and(|found| found.is_string());
        Ok(is_text && (own == zone || (own.is_none() && is_utc)))
    };
    match expr {
        Expr::Cast(cast) if is_of_text(&cast.expr, cast.field.data_type())? => {
            return Ok(instant.of((*cast.expr).clone()));
        }
        Expr::TryCast(cast) if is_of_text(&cast.expr, cast.field.data_type())? => {
            return Ok(instant.lenient().of((*cast.expr).clone()));
        }
        _ => {}
    }
    let value = constant(expr).and_then(|value| instant.of_value(&value).ok());
    Ok(match value {
        Some(value) => instant_literal(value),
        None => instant.of(expr.clone()),
    })
}

/// `between` as two comparisons, if one of them is by instants.
fn bounds(between: &Between, schema: &DFSchema) -> Result<Option<Expr>> {
    let Between {
        expr,
        negated,
        low,
        high,
    } = between;
    let above = compared(expr, low, schema)?;
    let below = compared(expr, high, schema)?;
    if above.is_none() && below.is_none() {
        return Ok(None);
    }
    let side = |compared: Option<Compared>, bound: &Expr| match compared {
        Some(compared) => (compared.left, compared.right),
        None => ((**expr).clone(), bound.clone()),
    };
    let ((left, low), (same, high)) = (side(above, low), side(below, high));
    let within = left.gt_eq(low).and(same.lt_eq(high));
    Ok(Some(if *negated { !within } else { within }))
}

/// `list` of the type of what is looked for, or one equation for each of its times; `None` where it compares as it is.
fn any_of(list: &InList, schema: &DFSchema) -> Result<Option<Expr>> {
    let pairs = list.list.iter();
    let pairs = pairs.map(|time| compared(&list.expr, time, schema));
    let pairs: Vec<Option<Compared>> = pairs.collect::<Result<_>>()?;
    if pairs.iter().all(Option::is_none) {
        return Ok(None);
    }
    let keeps = |pair: &Option<Compared>| pair.as_ref().is_none_or(|pair| pair.keeps_left);
    let keeps_left = pairs.iter().all(keeps);
    let both = pairs.into_iter().zip(&list.list);
    let mut both = both.map(|(pair, time)| match pair {
        Some(pair) => (pair.left, pair.right),
        None => ((*list.expr).clone(), time.clone()),
    });
    if keeps_left {
        let times = both.map(|(_, time)| time).collect();
        return Ok(Some((*list.expr).clone().in_list(times, list.negated)));
    }
    let first = both.next().map(|(left, time)| left.eq(time));
    let any = both.fold(first, |any, (left, time)| {
        let one = left.eq(time);
        Some(match any {
            Some(any) => any.or(one),
            None => one,
        })
    });
    Ok(any.map(|any| if list.negated { !any } else { any }))
}

/// `one` among instants; `None` where it compares as it is.
fn among(one: &InSubquery, schema: &DFSchema) -> Result<Option<InSubquery>> {
    let plan = &one.subquery.subquery;
    let (qualifier, field) = plan.schema().qualified_field(0);
    let found = Expr::Column(Column::from((qualifier, field)));
    let types = (kind(&one.expr, schema)?, kind(&found, plan.schema())?);
    let (Some(left), Some(right)) = types else {
        return Ok(None);
    };
    let Some(zone) = zone_of(&left, &right) else {
        return Ok(None);
    };
    let instants = [exact(&found, &zone, plan.schema())?];
    let plan = LogicalPlanBuilder::from(Arc::clone(plan)).project(instants)?;
    Ok(Some(InSubquery {
        expr: Box::new(exact(&one.expr, &zone, schema)?),
        subquery: one.subquery.with_plan(Arc::new(plan.build()?)),
        negated: one.negated,
    }))
}
