//! Rows of a shard that a table has given up: deletion vectors, position deletes.

use std::{ops::Range, sync::Arc};

/// Rows that are never scored, counted or written, by their positions in the file.
///
/// They are kept as runs: memory follows how scattered they are, not how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut(Arc<[Range<u64>]>);

impl Default for LeftOut {
    /// No row.
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl LeftOut {
    /// These rows, in any order.
    pub fn of(mut rows: Vec<u64>) -> Self {
        rows.sort_unstable();
        rows.dedup();
        let runs = rows.chunk_by(|a, b| a + 1 == *b);
        Self(runs.map(|run| run[0]..run[0] + run.len() as u64).collect())
    }

    /// These rows, which ascend; memory follows their runs.
    pub fn of_ascending(rows: impl Iterator<Item = u64>) -> Self {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for row in rows {
            match runs.last_mut() {
                Some(run) if row < run.end => {}
                Some(run) if row == run.end => run.end += 1,
                _ => runs.push(row..row.saturating_add(1)),
            }
        }
        Self(runs.into())
    }

    /// These runs of rows, which ascend and do not touch.
    pub(crate) fn of_runs(runs: Vec<Range<u64>>) -> Self {
        Self(runs.into())
    }

    /// The runs of rows that are left out.
    pub fn runs(&self) -> &[Range<u64>] {
        &self.0
    }

    /// These and others.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        if self.is_empty() {
            return more.clone();
        }
        let mut runs: Vec<Range<u64>> = self.0.iter().chain(more.0.iter()).cloned().collect();
        runs.sort_by_key(|run| run.start);
        let mut all: Vec<Range<u64>> = Vec::new();
        for run in runs {
            match all.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => all.push(run),
            }
        }
        Self(all.into())
    }

    /// True if no row is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first row behind all that are left out.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |run| run.end)
    }

    /// How many of `rows` are left out.
    pub fn count_in(&self, rows: Range<u64>) -> u64 {
        let all = rows.end.saturating_sub(rows.start);
        let there = self.there(rows);
        all - there.map(|run| run.end - run.start).sum::<u64>()
    }

    /// The runs of `rows` that are not left out.
    pub fn there(&self, rows: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let next = self.0.partition_point(|run| run.end <= rows.start);
        let gaps = self.0[next..].iter();
        let gaps = gaps.take_while(move |run| run.start < rows.end).cloned();
        let mut start = rows.start;
        let ends = gaps.chain(std::iter::once(rows.end..rows.end));
        ends.map(move |gap| {
            let run = start..gap.start.max(start);
            start = gap.end;
            run
        })
        .filter(|run| run.start < run.end)
    }

    /// What stays of `wanted`, which counts from the row `first`.
    pub(super) fn taken_from(&self, first: u64, wanted: &[Range<usize>]) -> Vec<Range<usize>> {
        let place = |row: u64| usize::try_from(row - first).unwrap_or(usize::MAX);
        let runs = wanted.iter().flat_map(|run| {
            let there = self.there(first + run.start as u64..first + run.end as u64);
            there.map(|run| place(run.start)..place(run.end))
        });
        runs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(left_out: &LeftOut, rows: Range<u64>) -> Vec<u64> {
        left_out.there(rows).flatten().collect()
    }

    #[test]
    fn runs_are_taken_out_wherever_they_lie() {
        let left_out = LeftOut::of(vec![7, 3, 4, 4, 9]);
        assert_eq!(there(&left_out, 0..12), [0, 1, 2, 5, 6, 8, 10, 11]);
        assert_eq!(there(&left_out, 3..5), [0; 0]);
        assert_eq!(there(&left_out, 4..8), [5, 6]);
        assert_eq!(there(&left_out, 10..11), [10]);
        assert_eq!(there(&left_out, 5..5), [0; 0]);
        assert_eq!(left_out.count_in(0..12), 4);
        assert_eq!(left_out.count_in(4..8), 2);
        assert_eq!(left_out.end(), 10);
        assert_eq!(there(&LeftOut::default(), 1..3), [1, 2]);
    }

    #[test]
    fn ascending_rows_are_the_same_rows() {
        let rows = [0, 1, 1, 2, 7, 9, 10];
        let left_out = LeftOut::of_ascending(rows.into_iter());
        assert_eq!(left_out, LeftOut::of(rows.to_vec()));
        assert_eq!(left_out.runs(), [0..3, 7..8, 9..11]);
    }

    #[test]
    fn two_are_one() {
        let (one, other) = (LeftOut::of(vec![1, 2, 7, 9]), LeftOut::of(vec![2, 3, 4, 8]));
        assert_eq!(one.with(&other), LeftOut::of(vec![1, 2, 3, 4, 7, 8, 9]));
        assert_eq!(LeftOut::default().with(&one), one);
        assert_eq!(one.with(&LeftOut::default()), one);
    }

    #[test]
    fn wanted_rows_count_from_their_row_group() {
        let left_out = LeftOut::of(vec![102, 103, 110]);
        let taken = left_out.taken_from(100, &[0..5, 8..12]);
        assert_eq!(taken, [0..2, 4..5, 8..10, 11..12]);
    }
}
