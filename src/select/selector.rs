//! From candidates to the rows that a budget keeps.

use clip_filter_vectors::Budget;

use super::{Candidates, SelectOptions, Solver, best};
use crate::{error::Result, score::Groups, selection::Selection};

/// How candidates are chosen from.
pub(super) struct Selector<'a> {
    pub(super) options: &'a SelectOptions,
    /// The column of class labels: its values are the cells.
    pub(super) label_column: Option<&'a str>,
    pub(super) candidates: &'a Candidates<'a>,
    /// Groups of `--balance`, where they are not cells.
    pub(super) groups: Option<&'a Groups>,
    pub(super) budget: Budget,
    pub(super) say: &'a (dyn Fn(&str) + Sync),
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Selector<'_> {
    /// The rows to keep of the candidates.
    pub(super) fn run(&self) -> Result<Selection> {
        match (self.options.solver, &self.options.balance) {
            (Solver::Exact, None) => best::overall(self.candidates, self.options.keep),
            (Solver::Exact, Some(balance)) => self.best_of_groups(balance),
            (Solver::Paper, _) => self.published(),
            (Solver::Cover, _) => self.cover(),
        }
    }
}
