//! The rows of highest score, exactly as many as the budget says; equal scores go by row order.

use super::{
    Balance, Candidates, Cuts, GroupedHistogram, Keep, Refined, Selector, candidates::Candidate,
    even,
};
use crate::{
    error::{Error, Result},
    schema::ScoreColumn,
    score::{NO_CELL, ScoreHistogram},
    selection::Selection,
};

/// Gives every score of every group.
type EachScore<'a> = &'a mut dyn FnMut(&mut dyn FnMut(u32, f32)) -> Result<()>;

pub(super) fn overall(candidates: &Candidates<'_>, keep: Keep) -> Result<Selection> {
    let mut histogram = ScoreHistogram::default();
    candidates.for_each(&mut |candidate| {
        histogram.push(candidate.score);
        Ok(())
    })?;
    let budget = keep.budget(histogram.count());
    let mut cut = None;
    if budget < histogram.count() {
        let mut fine = histogram.refine(budget);
        candidates.for_each(&mut |candidate| {
            fine.push(candidate.score);
            Ok(())
        })?;
        cut = Some(fine.cut());
    }
    let mut kept = candidates.no_rows();
    candidates.for_each(&mut |candidate| {
        if cut.as_mut().is_none_or(|cut| cut.admit(candidate.score)) {
            kept.select(candidate.shard, candidate.row);
        }
        Ok(())
    })?;
    Ok(kept.finish())
}

impl Selector<'_> {
    /// The best of every group of `--balance`; rows without a group are not kept.
    pub(super) fn best_of_groups(&self, balance: &Balance) -> Result<Selection> {
        let mut counts: Vec<u64> = Vec::new();
        self.for_each_in_group(balance, &mut |group, _| {
            let group = group as usize;
            if counts.len() <= group {
                counts.resize(group + 1, 0);
            }
            counts[group] += 1;
            Ok(())
        })?;
        let budget = self.options.keep.budget(self.candidates.count()?);
        let quotas = even(&counts, budget, &balance.bounds)?;
        let mut cuts = self.cuts(&quotas, &mut |push| {
            self.for_each_in_group(balance, &mut |group, candidate| {
                push(group, candidate.score);
                Ok(())
            })
        })?;
        let mut kept = self.candidates.no_rows();
        self.for_each_in_group(balance, &mut |group, candidate| {
            if cuts.admit(group, candidate.score) {
                kept.select(candidate.shard, candidate.row);
            }
            Ok(())
        })?;
        Ok(kept.finish())
    }

    /// Where the quota of every group ends; `pass` gives every score of every group, as often as it is called.
    pub(super) fn cuts(&self, quotas: &[u64], pass: EachScore<'_>) -> Result<Cuts> {
        let mut histogram = GroupedHistogram::new(quotas.len());
        pass(&mut |group, score| histogram.push(group, score))?;
        let mut boundary = histogram.refine(quotas);
        loop {
            (self.cancelled)()?;
            pass(&mut |group, score| boundary.push(group, score))?;
            match boundary.refine() {
                Refined::Again(finer) => boundary = finer,
                Refined::Exact(cuts) => return Ok(cuts),
            }
        }
    }

    fn for_each_in_group(
        &self,
        balance: &Balance,
        take: &mut dyn FnMut(u32, Candidate) -> Result<()>,
    ) -> Result<()> {
        let by_cell = balance.column == ScoreColumn::CELL.name();
        let groups = match (by_cell, self.groups) {
            (true, _) => None,
            (false, Some(groups)) => Some(groups),
            (false, None) => return Err(Error::internal("find the groups of a column")),
        };
        // Candidates come in order, so their groups are read in stretches.
        const STRETCH: u64 = 8192;
        let (mut first, mut stretch) = (0, Vec::new());
        self.candidates.for_each(&mut |candidate| {
            let group = match groups {
                None => candidate.cell,
                Some(groups) => {
                    let at = candidate.position;
                    if at < first || at >= first + stretch.len() as u64 {
                        first = at;
                        let end = groups.rows.min(at + STRETCH);
                        stretch = groups.of_rows.read_cells(at..end)?;
                    }
                    usize::try_from(at - first)
                        .ok()
                        .and_then(|offset| stretch.get(offset).copied())
                        .unwrap_or(NO_CELL)
                }
            };
            match group {
                NO_CELL => Ok(()),
                group => take(group, candidate),
            }
        })
    }
}
