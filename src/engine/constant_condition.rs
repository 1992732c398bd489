//! `--where` before any shard is opened: what columns of one value say of whole shards.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch},
    compute::{and, concat},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::DFSchema,
    prelude::SessionContext,
    sql::sqlparser::{
        ast::{BinaryOperator, Expr},
        dialect::GenericDialect,
        parser::Parser,
    },
};

use super::{condition::check_row_by_row, predicate::Condition, session::session};
use crate::{config::ByteSize, source::TableShard};

/// Says of each of `shards` whether a row of it may fulfil `condition`; `None` where all may.
///
/// Only parts of a conjunction decide that name nothing but columns which are of one value in every shard. What
/// cannot be read is left to whoever reads the whole condition, as are times.
pub fn shards_that_may_pass(condition: &str, shards: &[TableShard]) -> Option<BooleanArray> {
    let values = values_of(shards)?;
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(condition);
    let parsed = parsed.and_then(|mut parser| parser.parse_expr()).ok()?;
    let context = session(ByteSize(1 << 20), 1).ok()?;
    let mut parts = Vec::new();
    split(&parsed, &mut parts);
    let passes = parts
        .into_iter()
        .filter_map(|part| decided(&part.to_string(), &values, &context))
        .reduce(|ours, theirs| and(&ours, &theirs).unwrap_or(ours))?;
    (passes.true_count() < shards.len()).then_some(passes)
}

/// A row for each shard.
fn values_of(shards: &[TableShard]) -> Option<RecordBatch> {
    let first = shards.first()?;
    let is_compared = |data_type: &DataType| !matches!(data_type, DataType::Timestamp(..));
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (place, constant) in first.constants.iter().enumerate() {
        let field = constant.field();
        let values = shards.iter().map(|shard| {
            let same = shard.constants.get(place);
            let same = same.filter(|other| other.field() == field)?;
            Some(same.value().as_ref())
        });
        let values = concat(&values.collect::<Option<Vec<_>>>()?).ok()?;
        if is_compared(field.data_type()) {
            columns.push((
                Field::new(field.name(), values.data_type().clone(), true),
                values,
            ));
        }
    }
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()
}

/// The parts of a conjunction.
fn split<'a>(expr: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Nested(inner) => split(inner, parts),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(left, parts);
            split(right, parts);
        }
        other => parts.push(other),
    }
}

/// Whether `part` holds in each row; `None` where it names other columns, none, or is no condition on one row.
fn decided(part: &str, values: &RecordBatch, context: &SessionContext) -> Option<BooleanArray> {
    let schema: SchemaRef = values.schema();
    let described = DFSchema::try_from(Arc::clone(&schema)).ok()?;
    let state = context.state();
    let expr = state.create_logical_expr(part, &described).ok()?;
    check_row_by_row(&expr, part).ok()?;
    if expr.is_volatile() || expr.column_refs().is_empty() {
        return None;
    }
    let condition = Condition::of(&state, &schema, &expr).ok()?;
    let columns = values.project(&condition.columns).ok()?;
    let holds = condition.evaluate(&columns).ok()?;
    Some(
        holds
            .iter()
            .map(|holds| Some(holds == Some(true)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Places;

    /// Which of shards in these folders may have rows that pass.
    fn passing(folders: &[&str], condition: &str) -> Option<Vec<bool>> {
        let places = Places::default();
        let files = folders.iter();
        let files = files.map(|folder| places.at(&format!("{folder}/a.parquet")).unwrap());
        let shards = places.table_of(files.collect()).unwrap();
        let passes = shards_that_may_pass(condition, &shards)?;
        Some(passes.iter().map(|passes| passes == Some(true)).collect())
    }

    #[test]
    fn parts_on_folders_alone_decide_on_shards() {
        let folders = [
            "l=3/d=2024-01-02",
            "l=4/d=2024-02-01",
            "l=__HIVE_DEFAULT_PARTITION__/d=2024-03-01",
        ];
        let cases: [(&str, Option<[bool; 3]>); 14] = [
            ("l = 3", Some([true, false, false])),
            ("l = '3'", Some([true, false, false])),
            ("l = 3 AND clip_score > 0.2", Some([true, false, false])),
            (
                "(l >= 3 AND n < 2) AND (d > '2024-01-15')",
                Some([false, true, false]),
            ),
            ("\"l\" IN (4, 5)", Some([false, true, false])),
            ("l IS NULL", Some([false, false, true])),
            ("NOT (l = 3)", Some([false, true, false])),
            ("l = 3 OR d = DATE '2024-03-01'", Some([true, false, true])),
            ("l = 9", Some([false, false, false])),
            ("l = 3 OR n = 1", None),
            ("l + n = 3", None),
            ("n = 1 AND 1 = 2", None),
            ("l = 3 AND", None),
            ("l > random() * 0", None),
        ];
        for (condition, expected) in cases {
            let expected = expected.map(|expected| expected.to_vec());
            assert_eq!(passing(&folders, condition), expected, "{condition}");
        }
        assert_eq!(
            passing(
                &["t=2024-01-02 03:04:05", "t=2025-01-02 03:04:05"],
                "t < '2025-01-01'"
            ),
            None
        );
        assert_eq!(passing(&["a", "b"], "l = 3"), None);
    }
}
