//! Calls of functions that the encode operator answers.

use std::ops::Deref;

use datafusion::{
    common::{
        Column, DFSchema, Result, ScalarValue, internal_err, plan_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, SortExpr, expr_rewriter::NamePreserver},
};

use crate::engine::udf;
use crate::schema::ScoreColumn;

/// Which function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::engine) enum CallKind {
    /// `clip_score(image, text)`.
    Score,
    /// `clip_image_embedding(image)`.
    ImageEmbedding,
    /// `clip_text_embedding(text)`.
    TextEmbedding,
    /// `clip_status(image, text)`.
    Status,
    /// `clip_reason(image, text)`.
    Reason,
}

impl CallKind {
    /// The function's name.
    pub(in crate::engine) fn name(self) -> &'static str {
        match self {
            CallKind::Score => "clip_score",
            CallKind::ImageEmbedding => "clip_image_embedding",
            CallKind::TextEmbedding => "clip_text_embedding",
            CallKind::Status => "clip_status",
            CallKind::Reason => "clip_reason",
        }
    }

    /// What it asks the operator for.
    pub(in crate::engine) fn added(self) -> ScoreColumn {
        match self {
            CallKind::Score => ScoreColumn::CLIP_SCORE,
            CallKind::ImageEmbedding => ScoreColumn::IMAGE_EMBEDDING,
            CallKind::TextEmbedding => ScoreColumn::TEXT_EMBEDDING,
            CallKind::Status => ScoreColumn::STATUS,
            CallKind::Reason => ScoreColumn::REASON,
        }
    }
}

/// A call that the encode operator answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) kind: CallKind,
    pub(super) image: Option<Expr>,
    pub(super) text: Option<Expr>,
}

/// What stands where a call might.
enum Found {
    Call(Box<Call>),
    /// A call whose answer is known without a model.
    Null(CallKind),
}

impl Call {
    pub(super) fn image(image: Expr) -> Self {
        Self {
            kind: CallKind::ImageEmbedding,
            image: Some(image),
            text: None,
        }
    }

    pub(super) fn text(text: Expr) -> Self {
        Self {
            kind: CallKind::TextEmbedding,
            image: None,
            text: Some(text),
        }
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &Expr> {
        self.image.iter().chain(&self.text)
    }

    /// The same call with other arguments.
    pub(super) fn map(&self, change: impl Fn(&Expr) -> Result<Expr>) -> Result<Self> {
        Ok(Self {
            kind: self.kind,
            image: self.image.as_ref().map(&change).transpose()?,
            text: self.text.as_ref().map(&change).transpose()?,
        })
    }

    /// Both columns of a score.
    pub(super) fn pair(&self) -> Option<(&Column, &Column)> {
        Some((
            self.image.as_ref()?.try_as_col()?,
            self.text.as_ref()?.try_as_col()?,
        ))
    }

    /// Whether every argument is a column, or the constant text of a score.
    pub(super) fn is_plain(&self) -> bool {
        let image = self.image.iter().all(|image| image.try_as_col().is_some());
        let text = |text: &Expr| text.try_as_col().is_some() || udf::is_constant(text);
        image && self.text.iter().all(text)
    }

    /// Whether it reads something, and only columns of `schema`.
    pub(super) fn is_over(&self, schema: &DFSchema) -> bool {
        let mut columns = self
            .arguments()
            .flat_map(|argument| argument.column_refs())
            .peekable();
        columns.peek().is_some() && columns.all(|column| schema.has_column(column))
    }
}

fn find(expr: &Expr) -> Result<Option<Found>> {
    let Expr::ScalarFunction(function) = expr else {
        return Ok(None);
    };
    let Some(kind) = udf::asked_by(&function.func) else {
        return Ok(None);
    };
    let mut arguments = function
        .args
        .iter()
        .map(|argument| argument.clone().unalias());
    let (image, text) = match kind {
        CallKind::Score => (arguments.next(), arguments.next()),
        CallKind::Status | CallKind::Reason => (
            arguments.next().map(|image| typed(image, &IMAGE_NULL)),
            arguments.next().map(|text| typed(text, &TEXT_NULL)),
        ),
        CallKind::ImageEmbedding => (arguments.next(), None),
        CallKind::TextEmbedding => (None, arguments.next()),
    };
    let call = Call { kind, image, text };
    let says_why = matches!(kind, CallKind::Status | CallKind::Reason);
    if !says_why && call.arguments().any(is_null) {
        return Ok(Some(Found::Null(kind)));
    }
    if kind == CallKind::TextEmbedding && call.text.iter().all(udf::is_constant) {
        // The function itself answers, once.
        return Ok(None);
    }
    for argument in call.arguments() {
        check_argument(kind.name(), argument)?;
    }
    Ok(Some(Found::Call(Box::new(call))))
}

/// An image that is null.
const IMAGE_NULL: ScalarValue = ScalarValue::BinaryView(None);
/// A caption that is null.
const TEXT_NULL: ScalarValue = ScalarValue::Utf8View(None);

/// `expr`, or `null` for a literal `NULL`, which has no type that a column could have.
fn typed(expr: Expr, null: &ScalarValue) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Null, metadata) => Expr::Literal(null.clone(), metadata),
        other => other,
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn check_argument(function: &str, argument: &Expr) -> Result<()> {
    if has_outer_reference(argument) {
        return plan_err!(
            "{function} is called on a column of the outer query: call it there, in a subquery of its FROM \
             clause, and refer to that column"
        );
    }
    if mentions(argument) {
        return plan_err!(
            "{function} is called on what another CLIP function gives: name the inner call in a subquery of \
             the FROM clause and use its column"
        );
    }
    let in_lambda = argument.exists(|part| Ok(matches!(part, Expr::LambdaVariable(_))))?;
    if in_lambda || argument.is_volatile() {
        return plan_err!(
            "{function} is called on a value that no row holds: it takes columns, constants and what is \
             computed from them"
        );
    }
    Ok(())
}

/// Whether a call stands in `expr`, outside of its subqueries.
pub(super) fn mentions(expr: &Expr) -> bool {
    expr.exists(|part| {
        let Expr::ScalarFunction(function) = part else {
            return Ok(false);
        };
        let constant = function.args.iter().all(udf::is_constant);
        Ok(match udf::asked_by(&function.func) {
            None => false,
            Some(CallKind::TextEmbedding) => !constant,
            Some(_) => true,
        })
    })
    .unwrap_or(true)
}

pub(super) fn has_outer_reference(expr: &Expr) -> bool {
    expr.exists(|part| {
        Ok(match part {
            Expr::OuterReferenceColumn(..) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            Expr::Exists(exists) => !exists.subquery.outer_ref_columns.is_empty(),
            Expr::InSubquery(within) => !within.subquery.outer_ref_columns.is_empty(),
            Expr::SetComparison(compared) => !compared.subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// Different calls in the order they were found.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

impl Calls {
    pub(super) fn in_all<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Result<Self> {
        let mut calls = Self::default();
        for expr in exprs {
            expr.apply(|part| {
                Ok(match find(part)? {
                    Some(Found::Call(call)) => {
                        calls.extend([call.as_ref()]);
                        TreeNodeRecursion::Jump
                    }
                    Some(Found::Null(_)) => TreeNodeRecursion::Jump,
                    None => TreeNodeRecursion::Continue,
                })
            })?;
        }
        Ok(calls)
    }

    pub(super) fn extend<'a>(&mut self, calls: impl IntoIterator<Item = &'a Call>) {
        for call in calls {
            if !self.0.contains(call) {
                self.0.push(call.clone());
            }
        }
    }

    /// Adds calls that may be there already, each with a column of its own.
    pub(super) fn append(&mut self, mut calls: Self) {
        self.0.append(&mut calls.0);
    }

    /// The calls with a column for each.
    pub(super) fn answers(self, columns: Vec<Column>) -> Answers {
        Answers {
            calls: self.0,
            columns,
        }
    }
}

impl Deref for Calls {
    type Target = [Call];

    fn deref(&self) -> &[Call] {
        &self.0
    }
}

/// Calls and the columns that answer them.
pub(super) struct Answers {
    calls: Vec<Call>,
    columns: Vec<Column>,
}

impl Answers {
    pub(super) fn all(&self) -> &[Column] {
        &self.columns
    }

    pub(super) fn find(&self, call: &Call) -> Option<Column> {
        let position = self.calls.iter().position(|known| known == call)?;
        self.columns.get(position).cloned()
    }

    pub(super) fn column(&self, call: &Call) -> Result<Column> {
        match self.find(call) {
            Some(column) => Ok(column),
            None => internal_err!("{} was not hoisted", call.kind.name()),
        }
    }

    pub(super) fn columns(&self, calls: &[Call]) -> Result<Vec<Column>> {
        calls.iter().map(|call| self.column(call)).collect()
    }

    /// `expr` with columns instead of calls.
    pub(super) fn replace(&self, expr: Expr) -> Result<Expr> {
        let replaced = expr.transform_down(|part| {
            Ok(match find(&part)? {
                None => Transformed::no(part),
                Some(Found::Null(kind)) => {
                    let null = ScalarValue::try_from(&kind.added().data_type())?;
                    let null = Expr::Literal(null, None);
                    Transformed::new(null, true, TreeNodeRecursion::Jump)
                }
                Some(Found::Call(call)) => {
                    let column = Expr::Column(self.column(&call)?);
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
            })
        })?;
        Ok(replaced.data)
    }

    pub(super) fn replace_all(&self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        exprs.into_iter().map(|expr| self.replace(expr)).collect()
    }

    /// As [`Answers::replace_all`]; every expression keeps the name that it gives its column.
    pub(super) fn replace_named(&self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let replace = |expr: Expr| {
            let name = names.save(&expr);
            Ok(name.restore(self.replace(expr)?))
        };
        exprs.into_iter().map(replace).collect()
    }

    pub(super) fn replace_sort(&self, sorts: Vec<SortExpr>) -> Result<Vec<SortExpr>> {
        let replace = |sort: SortExpr| {
            let expr = self.replace(sort.expr.clone())?;
            Ok(sort.with_expr(expr))
        };
        sorts.into_iter().map(replace).collect()
    }
}
