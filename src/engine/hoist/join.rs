//! Calls above a join: which of its inputs answers them.

use std::sync::Arc;

use datafusion::{
    common::{Column, JoinType, Result, plan_err},
    logical_expr::{
        Expr, Join, LogicalPlan,
        utils::{conjunction, split_conjunction_owned},
    },
};

use super::{
    Answered, Hoist,
    call::{Answers, Call, CallKind, Calls},
    filtered,
    place::Answer,
};

/// An input of a join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JoinInput {
    Left,
    Right,
}

/// Where a call over a join's columns is answered.
enum Route {
    /// Below, by one input.
    Below(JoinInput),
    /// An embedding from each input; the score above.
    Parts(Box<[(JoinInput, Call); 2]>),
    /// Above the join.
    Above,
}

impl Hoist<'_> {
    pub(super) fn join(&mut self, mut join: Join, needed: &[Call]) -> Result<Answered> {
        let over_both = take_conditions_over_both(&mut join)?;
        if let Some(condition) = over_both {
            let LogicalPlan::Filter(filter) = filtered(condition, LogicalPlan::Join(join))? else {
                return plan_err!("a condition on a join is no filter");
            };
            return self.filter(filter, needed);
        }
        let routes: Vec<Route> = needed.iter().map(|call| route(&join, call)).collect();
        let (left, right) = sent_below(&join, needed, &routes)?;
        let (left_plan, mut columns) = self.rewrite(Arc::unwrap_or_clone(join.left), &left)?;
        let (right_plan, more) = self.rewrite(Arc::unwrap_or_clone(join.right), &right)?;
        columns.extend(more);
        let mut calls = left;
        calls.append(right);
        let answers = calls.answers(columns);
        let on = join.on.into_iter();
        let on = on.map(|(left, right)| Ok((answers.replace(left)?, answers.replace(right)?)));
        let filter = join.filter.map(|filter| answers.replace(filter));
        let plan = LogicalPlan::Join(Join::try_new(
            Arc::new(left_plan),
            Arc::new(right_plan),
            on.collect::<Result<_>>()?,
            filter.transpose()?,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        self.answer_above(plan, needed, &routes, &answers)
    }

    fn answer_above(
        &mut self,
        plan: LogicalPlan,
        needed: &[Call],
        routes: &[Route],
        answers: &Answers,
    ) -> Result<Answered> {
        let mut known = Vec::new();
        for (route, call) in routes.iter().zip(needed) {
            match route {
                Route::Below(_) => known.push(Answer::Column(answers.column(call)?)),
                Route::Parts(parts) => {
                    let [(_, image), (_, text)] = parts.as_ref();
                    let text = Expr::Column(answers.column(text)?);
                    known.push(Answer::Cosine(answers.column(image)?, text));
                }
                Route::Above => {}
            }
        }
        let (plan, columns) = self.with_cosines(plan, known)?;
        let mut columns = columns.into_iter();
        let found: Vec<Option<Column>> = routes
            .iter()
            .map(|route| match route {
                Route::Above => None,
                _ => columns.next(),
            })
            .collect();
        self.place_rest(plan, needed, |position| found[position].clone().map(Ok))
    }
}

/// What the inputs have to answer, for the join's own conditions and for the plan above.
fn sent_below(join: &Join, needed: &[Call], routes: &[Route]) -> Result<(Calls, Calls)> {
    let on = join.on.iter().flat_map(|(left, right)| [left, right]);
    let own = Calls::in_all(on.chain(&join.filter))?;
    let (mut left, mut right) = (Calls::default(), Calls::default());
    let mut send = |side: JoinInput, call: &Call| match side {
        JoinInput::Left => left.extend([call]),
        JoinInput::Right => right.extend([call]),
    };
    for call in own.iter() {
        match side_of(join, call) {
            Some(side) => send(side, call),
            None => return Err(over_both_error(call)),
        }
    }
    for (route, call) in routes.iter().zip(needed) {
        match route {
            Route::Below(side) => send(*side, call),
            Route::Parts(parts) => parts.iter().for_each(|(side, call)| send(*side, call)),
            Route::Above => {}
        }
    }
    Ok((left, right))
}

/// Removes from an inner join what calls a function on columns of both inputs, to be asked above it.
fn take_conditions_over_both(join: &mut Join) -> Result<Option<Expr>> {
    let Some(filter) = join.filter.take() else {
        return Ok(None);
    };
    let mut both = Vec::new();
    let mut rest = Vec::new();
    for part in split_conjunction_owned(filter) {
        let calls = Calls::in_all([&part])?;
        match calls.iter().find(|call| side_of(join, call).is_none()) {
            None => rest.push(part),
            Some(_) if join.join_type == JoinType::Inner => both.push(part),
            Some(call) => return Err(over_both_error(call)),
        }
    }
    join.filter = conjunction(rest);
    Ok(conjunction(both))
}

fn over_both_error(call: &Call) -> datafusion::error::DataFusionError {
    let name = call.kind.name();
    datafusion::common::plan_datafusion_err!(
        "{name} cannot compare both inputs of this join in its condition: join first, in a subquery, and call \
         {name} on its columns"
    )
}

fn side_of(join: &Join, call: &Call) -> Option<JoinInput> {
    if call.is_over(join.left.schema()) {
        Some(JoinInput::Left)
    } else if call.is_over(join.right.schema()) {
        Some(JoinInput::Right)
    } else {
        None
    }
}

fn route(join: &Join, call: &Call) -> Route {
    // A row that the join makes up has null columns, so null answers; what is computed from nulls may not be.
    let made_up = |side: JoinInput| match join.join_type {
        JoinType::Left => side == JoinInput::Right,
        JoinType::Right => side == JoinInput::Left,
        JoinType::Full => true,
        _ => false,
    };
    if let Some(side) = side_of(join, call) {
        return match call.is_plain() || !made_up(side) {
            true => Route::Below(side),
            false => Route::Above,
        };
    }
    let (CallKind::Score, Some(image), Some(text), true) =
        (call.kind, &call.image, &call.text, call.is_plain())
    else {
        return Route::Above;
    };
    let (image, text) = (Call::image(image.clone()), Call::text(text.clone()));
    match (side_of(join, &image), side_of(join, &text)) {
        (Some(image_side), Some(text_side)) => {
            Route::Parts(Box::new([(image_side, image), (text_side, text)]))
        }
        _ => Route::Above,
    }
}
