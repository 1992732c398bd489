//! `--where`: which parts need no score, and which do.

use std::{
    collections::{BTreeSet, HashSet},
    ops::ControlFlow,
};

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    common::{DFSchema, tree_node::TreeNode},
    logical_expr::{Expr, ExprSchemable, utils::split_conjunction_owned},
    prelude::SessionContext,
    sql::sqlparser::{
        ast::{self, visit_expressions},
        dialect::GenericDialect,
        parser::Parser,
    },
};

use super::{AddedColumn, from_datafusion, missing_column::quotes_hint, session::session};
use crate::{
    config::ByteSize,
    error::{Error, Result},
    source::view_schema,
};

/// A SQL condition on the columns of a shard and on score columns.
#[derive(Debug, Clone)]
pub struct RowCondition {
    /// As it was written.
    pub text: String,
    /// The score columns it may name.
    pub scored: Vec<AddedColumn>,
}

/// The columns that `condition` names, as they are written there; none where it is no SQL, which is refused when it is
/// used. What follows the name of a column of `shards` is a field of it.
pub fn columns_named(condition: &str, shards: &Schema) -> HashSet<String> {
    let mut names = HashSet::new();
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(condition)
        .and_then(|mut parser| parser.parse_expr());
    if let Ok(expr) = parsed {
        let _ = visit_expressions(&expr, |part| {
            match part {
                ast::Expr::Identifier(name) => drop(names.insert(name.value.clone())),
                ast::Expr::CompoundIdentifier(path) => {
                    let is_column = |name: &ast::Ident| shards.index_of(&name.value).is_ok();
                    let named = match path.first().is_some_and(is_column) {
                        true => &path[..1],
                        false => &path[..],
                    };
                    names.extend(named.iter().map(|name| name.value.clone()));
                }
                _ => {}
            }
            ControlFlow::<()>::Continue(())
        });
    }
    names
}

/// A condition in two parts; a row passes if both hold.
pub(super) struct Parts {
    /// Needs columns of the shard only, and can be decided before any image is decoded.
    pub(super) early: Option<Expr>,
    /// The rest.
    pub(super) late: Option<Expr>,
}

impl RowCondition {
    /// The columns that it names, sorted.
    pub(super) fn columns(
        &self,
        context: &SessionContext,
        shards: &Schema,
    ) -> Result<BTreeSet<String>> {
        let Parts { early, late } = self.split(context, shards)?;
        let parts = early.iter().chain(&late);
        let names = parts.flat_map(|part| part.column_refs());
        Ok(names.map(|column| column.name.clone()).collect())
    }

    /// Reads the condition and takes it apart.
    pub(super) fn split(&self, context: &SessionContext, shards: &Schema) -> Result<Parts> {
        let shards = view_schema(shards);
        let failed = |error| {
            let hint = quotes_hint(&error, &self.text);
            let error = from_datafusion(error, "read the --where condition");
            let error = error.with("condition", &self.text);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        };
        let scored = self
            .scored
            .iter()
            .map(|column| Field::new(&column.name, column.added.data_type(), true).into());
        let fields: Vec<_> = shards.fields().iter().cloned().chain(scored).collect();
        let described = DFSchema::try_from(Schema::new(fields)).map_err(failed)?;
        let expr = context
            .state()
            .create_logical_expr(&self.text, &described)
            .map_err(failed)?;
        check_row_by_row(&expr, &self.text)?;
        let data_type = expr.get_type(&described).map_err(failed)?;
        if data_type != DataType::Boolean {
            return Err(
                Error::usage("use the --where condition: it is not true or false")
                    .with("condition", &self.text)
                    .with("its type", data_type)
                    .hint("compare it with something, as in clip_score > 0.25"),
            );
        }
        let (early, late): (Vec<Expr>, Vec<Expr>) =
            split_conjunction_owned(expr).into_iter().partition(|part| {
                let mut columns = part.column_refs().into_iter();
                columns.all(|column| shards.index_of(&column.name).is_ok()) && !part.is_volatile()
            });
        let all = |parts: Vec<Expr>| parts.into_iter().reduce(Expr::and);
        Ok(Parts {
            early: all(early),
            late: all(late),
        })
    }
}

/// Whether any part of `condition` can only be decided once a row is scored.
///
/// # Errors
/// When it is no condition on a row of `shards`.
pub fn condition_needs_scores(condition: &RowCondition, shards: &Schema) -> Result<bool> {
    let context = session(ByteSize(1 << 20), 1)?;
    Ok(condition.split(&context, shards)?.late.is_some())
}

/// The parts of `condition` that need no score, as text; `None` if there are none.
///
/// # Errors
/// When it is no condition on a row of `shards`.
pub fn early_condition(condition: &RowCondition, shards: &Schema) -> Result<Option<String>> {
    let context = session(ByteSize(1 << 20), 1)?;
    let early = condition.split(&context, shards)?.early;
    Ok(early.map(|early| early.to_string()))
}

/// Refuses what does not look at one row alone: a join or a sort would lose the order of rows.
pub(super) fn check_row_by_row(expr: &Expr, text: &str) -> Result<()> {
    let several = |expr: &Expr| {
        matches!(
            expr,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
        )
    };
    match expr.exists(|part| Ok(several(part))) {
        Ok(false) => Ok(()),
        _ => Err(
            Error::usage("use the --where condition: it needs more than one row to decide")
                .with("condition", text)
                .hint(
                    "no subquery, aggregate or window function; --keep and --keep-rows rank rows, and `clip-filter sql` takes any query",
                ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_columns_and_no_words_of_texts() {
        let none = Schema::empty();
        let text = "t.sas > 0.2 AND label <> 'cell' AND \"sds\" < abs(Vas) -- proto_dist";
        let named = columns_named(text, &none);
        let expected = ["t", "sas", "label", "sds", "Vas"].map(str::to_owned);
        assert_eq!(named, HashSet::from(expected));
        assert!(columns_named("sas >", &none).is_empty());
        let meta = Schema::new(vec![Field::new("meta", DataType::Null, true)]);
        let named = columns_named("meta.sas > t.sds", &meta);
        let expected = ["meta", "t", "sds"].map(str::to_owned);
        assert_eq!(named, HashSet::from(expected));
    }
}
