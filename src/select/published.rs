//! The published iteration, for comparison.

use super::{PaperSolver, Selector};
use crate::{error::Result, selection::Selection};

impl Selector<'_> {
    /// What the published iteration selects; two numbers per candidate in memory.
    pub(super) fn published(&self) -> Result<Selection> {
        let mut scores = Vec::new();
        self.candidates.for_each(&mut |candidate| {
            scores.push(candidate.score);
            Ok(())
        })?;
        let budget = self.options.keep.budget(scores.len() as u64);
        let found = PaperSolver::default().solve(&scores, budget)?;
        let selected = found.selected.count_set_bits();
        (self.say)(&format!(
            "published iteration: {} rows of {budget} asked for, {} steps, {}",
            selected,
            found.steps,
            if found.converged {
                "converged"
            } else {
                "not converged"
            }
        ));
        let mut kept = self.candidates.no_rows();
        let mut number = 0;
        self.candidates.for_each(&mut |candidate| {
            if found.selected.value(number) {
                kept.select(candidate.shard, candidate.row);
            }
            number += 1;
            Ok(())
        })?;
        Ok(kept.finish())
    }
}
