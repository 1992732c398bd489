//! What decides which rows stay, as somebody asked for it.

use super::{Balance, Keep, SoftCap};
use crate::{
    schema::{CLIP_SCORE, ScoreColumn},
    secrets,
};

/// What the rows of a budget are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// `s_cliploss` for captions whose embeddings are kept, else `clip_score`; with a solver of the published objective
    /// that.
    #[default]
    Default,
    /// `clip_score`.
    ClipScore,
    /// A pair against others: `s_cliploss`.
    Cliploss,
    /// The objective of arXiv 2410.11215, alignment and diversity: `selection_score`.
    AlignDiverse,
}

/// How rows are chosen for a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Solver {
    /// The rows of highest order: the exact solution of the published objective.
    #[default]
    Exact,
    /// The published iteration, for comparison: within 0.05 % of the budget where it converges; a number per row in
    /// memory.
    Paper,
    /// Trusted rows that together resemble their cell (herding).
    Cover,
}

/// Which rows stay: conditions first, then near-duplicates, then a budget.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SelectOptions {
    /// Candidates fulfil this SQL condition.
    pub condition: Option<String>,
    /// Candidates have at least this `clip_score`.
    pub min_score: Option<f32>,
    /// Of rows of a cell whose images have a cosine above 1 - this, the best stays.
    pub dedup: Option<f32>,
    /// How many of the candidates stay.
    pub keep: Keep,
    /// What rows are ordered by.
    pub order: Order,
    /// How a budget is filled.
    pub solver: Solver,
    /// Budgets of groups of rows.
    pub balance: Option<Balance>,
    /// Rows are repeated by their order until there are as many as the budget says, rather than cut.
    pub weights: Option<SoftCap>,
}

impl Default for SelectOptions {
    /// Every good row stays.
    fn default() -> Self {
        Self {
            condition: None,
            min_score: None,
            dedup: None,
            keep: Keep::All,
            order: Order::default(),
            solver: Solver::default(),
            balance: None,
            weights: None,
        }
    }
}

impl SelectOptions {
    /// Keeps so many of the good rows, the best by [`Order::Default`].
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Takes rows that fulfil this SQL condition for candidates.
    #[must_use]
    pub fn with_condition(mut self, condition: impl Into<String>) -> Self {
        self.condition = Some(condition.into());
        self
    }

    /// Takes rows of at least this `clip_score` for candidates.
    #[must_use]
    pub fn with_min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// Of rows of a cell whose images have a cosine above 1 - `distance`, keeps the best.
    #[must_use]
    pub fn with_dedup(mut self, distance: f32) -> Self {
        self.dedup = Some(distance);
        self
    }

    /// Orders rows by this.
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Fills a budget this way.
    #[must_use]
    pub fn with_solver(mut self, solver: Solver) -> Self {
        self.solver = solver;
        self
    }

    /// Gives groups of rows budgets of their own.
    #[must_use]
    pub fn with_balance(mut self, balance: Balance) -> Self {
        self.balance = Some(balance);
        self
    }

    /// Repeats rows by their order until there are as many as the budget says, which may be more than there are.
    #[must_use]
    pub fn with_weights(mut self, weights: SoftCap) -> Self {
        self.weights = Some(weights);
        self
    }

    /// The column that rows are ordered by; `None` where that is `clip_score`, or nothing has to be ordered.
    pub fn ordered_by(&self) -> Option<ScoreColumn> {
        match (self.order, self.solver) {
            (Order::ClipScore, _) => None,
            (Order::AlignDiverse | Order::Default, Solver::Cover) => Some(ScoreColumn::SAS_MARGIN),
            (Order::AlignDiverse, _) | (Order::Default, Solver::Paper) => {
                Some(ScoreColumn::SELECTION_SCORE)
            }
            (Order::Cliploss | Order::Default, _) => {
                self.orders().then_some(ScoreColumn::S_CLIPLOSS)
            }
        }
    }

    /// The name of that column, or of `clip_score`; `None` if nothing has to be ordered.
    pub fn order_name(&self) -> Option<&'static str> {
        let column = self.ordered_by().map_or(CLIP_SCORE, ScoreColumn::name);
        self.orders().then_some(column)
    }

    /// True if some rows may stay because they are better than others.
    fn orders(&self) -> bool {
        self.keep.may_cut()
            || self.dedup.is_some()
            || self.balance.is_some()
            || self.weights.is_some()
    }

    /// The same with [`Order::Default`] replaced by what it means, where pairs have captions that can be compared or not.
    #[must_use]
    pub(crate) fn settled(mut self, compares_captions: bool) -> Self {
        if self.order == Order::Default && self.solver == Solver::Exact {
            self.order = match compares_captions {
                true => Order::Cliploss,
                false => Order::ClipScore,
            };
        }
        self
    }

    /// The condition as an output or a report may tell it.
    pub fn condition_shown(&self) -> Option<String> {
        self.condition.as_deref().map(secrets::in_text)
    }

    /// What selects the rows, in one line; score columns have `prefix` before their names.
    pub fn describe(&self, prefix: &str) -> String {
        let mut steps = Vec::new();
        if let Some(condition) = self.condition_shown() {
            steps.push(format!("where {condition}"));
        }
        if let Some(score) = self.min_score {
            steps.push(format!("{prefix}{CLIP_SCORE} >= {score}"));
        }
        if let Some(distance) = self.dedup {
            steps.push(format!("without near-duplicates (cosine > 1 - {distance})"));
        }
        if self.keep != Keep::All {
            steps.push(self.describe_budget(prefix));
        }
        if steps.is_empty() {
            "all good rows".to_owned()
        } else {
            steps.join(", then ")
        }
    }

    fn describe_budget(&self, prefix: &str) -> String {
        let mut step = format!("keep {}", self.keep);
        match (self.solver, self.order) {
            (Solver::Cover, _) => step.push_str(" that cover the trusted rows"),
            (Solver::Paper, _) => step.push_str(" by the published iteration"),
            (Solver::Exact, Order::AlignDiverse) => step.push_str(" by alignment and diversity"),
            (Solver::Exact, _) if !self.orders() => {}
            (Solver::Exact, _) => {
                let column = self.ordered_by().map_or(CLIP_SCORE, ScoreColumn::name);
                step.push_str(&format!(" by {prefix}{column}"));
            }
        }
        if let Some(weights) = &self.weights {
            step.push_str(&format!(", repeated by {weights}"));
        }
        if let Some(balance) = &self.balance {
            step.push_str(&format!(", balanced by {balance}"));
        }
        step
    }
}
