//! From candidates to the rows that a budget keeps.
//!
//! | solver | file |
//! |---|---|
//! | the best, overall or of every group | `best` |
//! | the published iteration | `published` |
//! | rows that resemble the trusted ones of their cell | `cover` |
//!
//! `check` refuses what no solver can do, before anything is scored. `duplicates` takes candidates away before. All read the score store alone, in row order.

mod best;
mod candidates;
mod check;
mod cover;
mod duplicates;
mod published;

pub(super) use candidates::{Candidates, row_key, row_of_key};
pub(super) use check::check;

use clip_filter_vectors::Budget;

use super::{RunOptions, Solver, method::Groups};
use crate::{error::Result, select::Selection};

/// How candidates are chosen from.
pub(super) struct Choosing<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) candidates: &'a Candidates<'a>,
    /// Groups of `--balance`, where they are not cells.
    pub(super) groups: Option<&'a Groups>,
    pub(super) budget: Budget,
    pub(super) say: &'a (dyn Fn(&str) + Sync),
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Choosing<'_> {
    /// The rows to keep of the candidates.
    pub(super) fn run(&self) -> Result<Selection> {
        match (self.options.select.solver, &self.options.select.balance) {
            (Solver::Exact, None) => best::overall(self.candidates, self.options.keep),
            (Solver::Exact, Some(balance)) => self.best_of_groups(balance),
            (Solver::Paper, _) => self.published(),
            (Solver::Cover, _) => self.cover(),
        }
    }
}
