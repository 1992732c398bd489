//! Which rule decides about a row.

use serde::Serialize;

use super::{
    case::{Case, RowRef},
    facts::Step,
};
use crate::{
    select::{Keep, Solver, Steps},
    selection::Selection,
};

/// What removes rows, in the order in which it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The parts of `--where` that need no score.
    EarlyCondition,
    /// The row could not be scored.
    Bad,
    /// The other parts of `--where`.
    Condition,
    /// `--min-score`.
    MinScore,
    /// It lacks the score that rows are ordered by.
    NoOrder,
    /// `--dedup`.
    Duplicate,
    /// `--keep`, `--keep-rows`, a solver or `--balance`.
    Budget,
}

impl Rule {
    /// Every rule, in its order.
    pub const ALL: [Rule; 7] = [
        Rule::EarlyCondition,
        Rule::Bad,
        Rule::Condition,
        Rule::MinScore,
        Rule::NoOrder,
        Rule::Duplicate,
        Rule::Budget,
    ];

    /// The name that JSON shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::EarlyCondition => "early_condition",
            Rule::Bad => "bad",
            Rule::Condition => "condition",
            Rule::MinScore => "min_score",
            Rule::NoOrder => "no_order",
            Rule::Duplicate => "duplicate",
            Rule::Budget => "budget",
        }
    }

    /// The rule in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Rule::EarlyCondition => "condition on input columns",
            Rule::Bad => "bad row",
            Rule::Condition => "condition",
            Rule::MinScore => "minimum score",
            Rule::NoOrder => "no score to order by",
            Rule::Duplicate => "near-duplicate",
            Rule::Budget => "budget",
        }
    }
}

/// What became of a row: `None` if it is kept.
pub(super) type Fate = Option<Rule>;

/// Tells what became of each row; by the decisions of the selection itself, none is made again here.
pub(super) struct Fates<'a> {
    steps: &'a Steps,
    written: &'a Selection,
    min_score: f32,
}

impl<'a> Fates<'a> {
    pub(super) fn of(case: &Case<'a>) -> Self {
        Self {
            steps: &case.chosen.steps,
            written: &case.chosen.written,
            min_score: case.select.min_score.unwrap_or(f32::NEG_INFINITY),
        }
    }

    /// The fate of a stored row, from its `clip_score` and the score that orders.
    pub(super) fn fate(&self, row: RowRef, clip_score: Option<f32>, order: Option<f32>) -> Fate {
        let shard = row.shard;
        let Ok(row) = usize::try_from(row.row) else {
            return Some(Rule::EarlyCondition);
        };
        let left_out =
            |rows: &Option<Selection>| rows.as_ref().is_some_and(|rows| !rows.contains(shard, row));
        let Some(clip_score) = clip_score else {
            return Some(match left_out(&self.steps.considered) {
                true => Rule::EarlyCondition,
                false => Rule::Bad,
            });
        };
        if self.written.contains(shard, row) {
            return None;
        }
        Some(if left_out(&self.steps.considered) {
            Rule::EarlyCondition
        } else if left_out(&self.steps.passing) {
            Rule::Condition
        } else if clip_score < self.min_score {
            Rule::MinScore
        } else if order.is_none() {
            Rule::NoOrder
        } else if left_out(&self.steps.distinct) {
            Rule::Duplicate
        } else {
            Rule::Budget
        })
    }
}

/// The rules that are in force, and what each removed; bad rows are always one of them.
pub(super) fn cascade(
    case: &Case<'_>,
    rows_in: u64,
    removed: &[u64; Rule::ALL.len()],
) -> Vec<Step> {
    let mut left = rows_in;
    let mut steps = Vec::new();
    for (rule, &removed) in Rule::ALL.into_iter().zip(removed) {
        left = left.saturating_sub(removed);
        // A condition that was decided before scoring is listed once.
        let done = rule == Rule::Condition && steps.iter().any(was_early);
        if removed > 0 || (is_in_force(case, rule) && !done) {
            steps.push(Step {
                rule,
                what: what(case, rule),
                removed,
                left,
            });
        }
    }
    steps
}

fn was_early(step: &Step) -> bool {
    step.rule == Rule::EarlyCondition
}

fn is_in_force(case: &Case<'_>, rule: Rule) -> bool {
    let options = case.select;
    match rule {
        Rule::Bad => true,
        Rule::EarlyCondition | Rule::NoOrder => false,
        Rule::Condition => options.condition.is_some(),
        Rule::MinScore => options.min_score.is_some(),
        Rule::Duplicate => options.dedup.is_some(),
        Rule::Budget => options.keep != Keep::All,
    }
}

/// The rule as it was asked for.
fn what(case: &Case<'_>, rule: Rule) -> String {
    let options = case.select;
    match rule {
        Rule::EarlyCondition => match (options.condition_shown(), &case.store.spec().condition) {
            (Some(condition), _) => {
                format!("--where {condition} (the parts that need no score)")
            }
            (None, Some(condition)) => format!("the store holds only rows with {condition}"),
            (None, None) => "rows that are not in the store".to_owned(),
        },
        Rule::Bad => "rows that cannot be scored".to_owned(),
        Rule::Condition => {
            let condition = options.condition_shown().unwrap_or_default();
            format!("--where {condition}")
        }
        Rule::MinScore => {
            let least = options.min_score.unwrap_or(f32::NEG_INFINITY);
            format!("--min-score {least}")
        }
        Rule::NoOrder => format!("rows without {}", case.order_name()),
        Rule::Duplicate => {
            let distance = options.dedup.unwrap_or_default();
            format!("--dedup {distance}: a better row has a cosine above 1 - {distance}")
        }
        Rule::Budget => budget(case),
    }
}

fn budget(case: &Case<'_>) -> String {
    let options = case.select;
    let mut text = match options.keep {
        Keep::All => "every row is kept".to_owned(),
        keep @ Keep::Rows(_) => format!("--keep-rows: {keep}"),
        keep @ Keep::Fraction { .. } => format!("--keep {keep}"),
    };
    text.push_str(&match options.solver {
        Solver::Exact => format!(", highest {} first", case.order_name()),
        Solver::Paper => ", by the published iteration".to_owned(),
        Solver::Cover => ", rows that cover the trusted ones".to_owned(),
    });
    if let Some(balance) = &options.balance {
        text.push_str(&format!(", balanced by {balance}"));
    }
    text
}
