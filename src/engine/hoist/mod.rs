//! Calls of the CLIP functions become columns of the encode operator.
//!
//! ```text
//! Projection: clip_score(image, text)        Projection: __clip_1_score AS clip_score(image,text)
//!   Filter: clip_score(image, text) > 0.2      Filter: __clip_1_score > 0.2
//!     Filter: width > 200               ──►      ClipEncode: added=[__clip_1_score]
//!       TableScan: pairs                           Filter: width > 200
//!                                                    TableScan: pairs
//! ```
//!
//! A call goes down through plain columns while there is another call below that it can share with, or a
//! table that holds the answer already; otherwise it stays above what removes rows. `call` knows a call,
//! `place` makes the nodes above one plan, `lineage` says what a column is one plan further down, `join` and
//! this file go through a query. This runs after type coercion, since a column has the type of its call, and
//! before every optimizer rule, since those copy expressions.

mod call;
mod join;
mod lineage;
mod place;
mod provided;
mod schema;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{
        Column, Result,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Aggregate, Distinct, DistinctOn, Expr, Filter, Limit, LogicalPlan, Projection, Sort,
        SubqueryAlias, Window,
        utils::{conjunction, split_conjunction_owned},
    },
    optimizer::AnalyzerRule,
};

use super::EncodeRuntime;
pub(super) use call::CallKind;
use call::{Call, Calls};
use schema::{renamed, with_schema};

/// See the module.
#[derive(Debug)]
pub(super) struct HoistClipCalls {
    runtime: Arc<EncodeRuntime>,
}

impl HoistClipCalls {
    /// A rule whose nodes run on `runtime`.
    pub(super) fn new(runtime: Arc<EncodeRuntime>) -> Self {
        Self { runtime }
    }
}

impl AnalyzerRule for HoistClipCalls {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        if !mentions_calls(&plan)? {
            return Ok(plan);
        }
        let mut names = HashSet::new();
        plan.apply_with_subqueries(|plan| {
            names.extend(
                plan.schema()
                    .fields()
                    .iter()
                    .map(|field| field.name().clone()),
            );
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut hoist = Hoist {
            runtime: &self.runtime,
            names,
            last_number: 0,
        };
        hoist.exact(plan)
    }

    fn name(&self) -> &str {
        "hoist_clip_calls"
    }
}

/// A plan with more columns than before, and those that answer the calls, in the calls' order.
type Answered = (LogicalPlan, Vec<Column>);

/// The rewriting of one query.
struct Hoist<'a> {
    runtime: &'a Arc<EncodeRuntime>,
    /// Names that stand anywhere in the query.
    names: HashSet<String>,
    last_number: usize,
}

impl Hoist<'_> {
    /// The plan without calls, with the columns it had.
    fn exact(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::clone(plan.schema());
        let (plan, _) = self.rewrite(plan, &[])?;
        with_schema(plan, &schema)
    }

    /// The plan without calls, with columns that answer `needed`, whose arguments are columns of the plan.
    fn rewrite(&mut self, plan: LogicalPlan, needed: &[Call]) -> Result<Answered> {
        if needed.is_empty() && !mentions_calls(&plan)? {
            return Ok((plan, Vec::new()));
        }
        let plan = plan
            .map_subqueries(|subquery| match subquery {
                LogicalPlan::Subquery(mut subquery) => {
                    let inner = Arc::unwrap_or_clone(subquery.subquery);
                    subquery.subquery = Arc::new(self.exact(inner)?);
                    Ok(Transformed::yes(LogicalPlan::Subquery(subquery)))
                }
                other => Ok(Transformed::yes(self.exact(other)?)),
            })?
            .data;
        match plan {
            LogicalPlan::Projection(plan) => self.projection(plan, needed),
            LogicalPlan::Filter(plan) => self.filter(plan, needed),
            LogicalPlan::Sort(plan) => self.sort(plan, needed),
            LogicalPlan::SubqueryAlias(plan) => self.alias(plan, needed),
            LogicalPlan::Join(plan) => self.join(plan, needed),
            LogicalPlan::Aggregate(plan) => self.aggregate(plan, needed),
            LogicalPlan::Window(plan) => self.window(plan, needed),
            LogicalPlan::Distinct(Distinct::On(plan)) => self.distinct_on(plan, needed),
            LogicalPlan::Limit(plan) if Calls::in_all(limit_exprs(&plan))?.is_empty() => {
                self.limit(plan, needed)
            }
            other => self.other(other, needed),
        }
    }

    fn projection(&mut self, plan: Projection, needed: &[Call]) -> Result<Answered> {
        let below: Vec<Option<Call>> = needed
            .iter()
            .map(|call| lineage::through_projection(&plan, call))
            .collect::<Result<_>>()?;
        let mut calls = Calls::in_all(&plan.expr)?;
        calls.extend(below.iter().flatten());
        let (input, columns) = self.rewrite(Arc::unwrap_or_clone(plan.input), &calls)?;
        let answers = calls.answers(columns);
        let mut exprs = answers.replace_named(plan.expr)?;
        for call in below.iter().flatten() {
            let column = Expr::Column(answers.column(call)?);
            if !exprs.contains(&column) {
                exprs.push(column);
            }
        }
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
        self.place_rest(plan, needed, |position| {
            below[position].as_ref().map(|call| answers.column(call))
        })
    }

    /// What needs no model goes below the nodes; what refers to an outer query stays where it can be joined.
    fn filter(&mut self, plan: Filter, needed: &[Call]) -> Result<Answered> {
        let input = Arc::unwrap_or_clone(plan.input);
        let own = Calls::in_all([&plan.predicate])?;
        let (costly, cheap): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(plan.predicate)
            .into_iter()
            .partition(|part| call::mentions(part) || call::has_outer_reference(part));
        let Some(costly) = conjunction(costly) else {
            return self.keeping_rows_out(input, needed, |input| match conjunction(cheap) {
                None => Ok(input),
                Some(cheap) => filtered(cheap, input),
            });
        };
        let input = match conjunction(cheap) {
            None => input,
            Some(cheap) => filtered(cheap, input)?,
        };
        let mut calls = own;
        calls.extend(needed);
        let (input, columns) = self.rewrite(input, &calls)?;
        let answers = calls.answers(columns);
        let plan = filtered(answers.replace(costly)?, input)?;
        Ok((plan, answers.columns(needed)?))
    }

    fn limit(&mut self, plan: Limit, needed: &[Call]) -> Result<Answered> {
        let Limit { skip, fetch, input } = plan;
        self.keeping_rows_out(Arc::unwrap_or_clone(input), needed, |input| {
            let input = Arc::new(input);
            Ok(LogicalPlan::Limit(Limit { skip, fetch, input }))
        })
    }

    /// Answers `needed` above `remove_rows`, but for calls that cost nothing or are answered below anyway.
    fn keeping_rows_out(
        &mut self,
        input: LogicalPlan,
        needed: &[Call],
        remove_rows: impl FnOnce(LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<Answered> {
        let shared = mentions_calls(&input)?;
        let mut below = Calls::default();
        for call in needed {
            if shared || provided::is_provided(&input, call)? {
                below.extend([call]);
            }
        }
        let (input, columns) = self.rewrite(input, &below)?;
        let answers = below.answers(columns);
        self.place_rest(remove_rows(input)?, needed, |position| {
            answers.find(&needed[position]).map(Ok)
        })
    }

    fn sort(&mut self, plan: Sort, needed: &[Call]) -> Result<Answered> {
        let mut calls = Calls::in_all(plan.expr.iter().map(|sort| &sort.expr))?;
        calls.extend(needed);
        let (input, columns) = self.rewrite(Arc::unwrap_or_clone(plan.input), &calls)?;
        let answers = calls.answers(columns);
        let plan = LogicalPlan::Sort(Sort {
            expr: answers.replace_sort(plan.expr)?,
            input: Arc::new(input),
            fetch: plan.fetch,
        });
        Ok((plan, answers.columns(needed)?))
    }

    fn alias(&mut self, plan: SubqueryAlias, needed: &[Call]) -> Result<Answered> {
        let mut calls = Calls::default();
        let below = needed
            .iter()
            .map(|call| lineage::through_alias(&plan, call))
            .collect::<Result<Vec<Call>>>()?;
        calls.extend(&below);
        let (input, columns) = self.rewrite(Arc::unwrap_or_clone(plan.input), &calls)?;
        let answers = calls.answers(columns);
        let positions = below
            .iter()
            .map(|call| input.schema().index_of_column(&answers.column(call)?))
            .collect::<Result<Vec<usize>>>()?;
        let plan = SubqueryAlias::try_new(Arc::new(input), plan.alias)?;
        let column = |position| Column::from(plan.schema.qualified_field(position));
        let columns = positions.into_iter().map(column).collect();
        Ok((LogicalPlan::SubqueryAlias(plan), columns))
    }

    fn aggregate(&mut self, plan: Aggregate, needed: &[Call]) -> Result<Answered> {
        let calls = Calls::in_all(plan.group_expr.iter().chain(&plan.aggr_expr))?;
        let (input, columns) = self.rewrite(Arc::unwrap_or_clone(plan.input), &calls)?;
        let answers = calls.answers(columns);
        let replaced = Aggregate::try_new(
            Arc::new(input),
            answers.replace_all(plan.group_expr)?,
            answers.replace_all(plan.aggr_expr)?,
        )?;
        let positions: Vec<usize> = (0..plan.schema.fields().len()).collect();
        let plan = renamed(
            LogicalPlan::Aggregate(replaced),
            &positions,
            &plan.schema,
            &[],
        )?;
        self.place(plan, needed)
    }

    fn window(&mut self, plan: Window, needed: &[Call]) -> Result<Answered> {
        let inputs = Arc::clone(plan.input.schema());
        let mut calls = Calls::in_all(&plan.window_expr)?;
        calls.extend(needed.iter().filter(|call| call.is_over(&inputs)));
        let (input, columns) = self.rewrite(Arc::unwrap_or_clone(plan.input), &calls)?;
        let answers = calls.answers(columns);
        let widened = Arc::clone(input.schema());
        let replaced = Window::try_new(answers.replace_all(plan.window_expr)?, Arc::new(input))?;
        let kept = inputs.columns();
        let mut positions = kept
            .iter()
            .map(|column| widened.index_of_column(column))
            .collect::<Result<Vec<usize>>>()?;
        positions.extend(widened.fields().len()..replaced.schema.fields().len());
        let plan = renamed(
            LogicalPlan::Window(replaced),
            &positions,
            &plan.schema,
            answers.all(),
        )?;
        self.place_rest(plan, needed, |position| {
            answers.find(&needed[position]).map(Ok)
        })
    }

    fn distinct_on(&mut self, plan: DistinctOn, needed: &[Call]) -> Result<Answered> {
        let sorts = plan.sort_expr.iter().flatten().map(|sort| &sort.expr);
        let calls = Calls::in_all(plan.on_expr.iter().chain(&plan.select_expr).chain(sorts))?;
        let (input, columns) = self.rewrite(Arc::unwrap_or_clone(plan.input), &calls)?;
        let answers = calls.answers(columns);
        let sorts = plan.sort_expr.map(|sorts| answers.replace_sort(sorts));
        let plan = DistinctOn::try_new(
            answers.replace_all(plan.on_expr)?,
            answers.replace_named(plan.select_expr)?,
            sorts.transpose()?,
            Arc::new(input),
        )?;
        self.place(LogicalPlan::Distinct(Distinct::On(plan)), needed)
    }

    /// A plan that passes nothing through: its inputs keep their columns.
    fn other(&mut self, plan: LogicalPlan, needed: &[Call]) -> Result<Answered> {
        if let Some(call) = Calls::in_all(&plan.expressions())?.first() {
            let place = plan.display().to_string();
            return plan_err!(
                "{} cannot be computed in {place}: name it in a subquery and use its column",
                call.kind.name()
            );
        }
        let plan = plan.map_children(|input| Ok(Transformed::yes(self.exact(input)?)))?;
        self.place(plan.data, needed)
    }

    /// Columns for all of `needed`: those that `found` knows, the others from nodes above `plan`.
    fn place_rest(
        &mut self,
        plan: LogicalPlan,
        needed: &[Call],
        found: impl Fn(usize) -> Option<Result<Column>>,
    ) -> Result<Answered> {
        let known = (0..needed.len())
            .map(|position| found(position).transpose())
            .collect::<Result<Vec<_>>>()?;
        let mut rest = Calls::default();
        rest.extend(
            needed
                .iter()
                .zip(&known)
                .filter_map(|(call, known)| known.is_none().then_some(call)),
        );
        let (plan, columns) = self.place(plan, &rest)?;
        let rest = rest.answers(columns);
        let columns = needed.iter().zip(known).map(|(call, known)| match known {
            Some(column) => Ok(column),
            None => rest.column(call),
        });
        Ok((plan, columns.collect::<Result<_>>()?))
    }

    /// A column name that nobody uses.
    fn fresh(&mut self, suffix: &str) -> String {
        loop {
            self.last_number += 1;
            let name = format!("__clip_{}_{suffix}", self.last_number);
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }
}

fn mentions_calls(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            found |= call::mentions(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

fn limit_exprs(plan: &Limit) -> impl Iterator<Item = &Expr> {
    plan.skip.iter().chain(&plan.fetch).map(AsRef::as_ref)
}

fn filtered(predicate: Expr, input: LogicalPlan) -> Result<LogicalPlan> {
    Filter::try_new(predicate, Arc::new(input)).map(LogicalPlan::Filter)
}
