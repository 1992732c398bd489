//! Cells shared out to threads, each one thread's work.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    mpsc::sync_channel,
};

use clip_filter_vectors::{Budget, RowSource};

use super::cell_file::{CellFile, CellRows};
use crate::error::Result;

/// A cell whose comparisons are more than this part of one thread's share would keep the others waiting.
const MOST_OF_A_SHARE: usize = 4;

/// Cells that all threads should work on together, and the others, largest first.
pub(super) fn worth_all_threads(
    file: &CellFile,
    budget: Budget,
) -> (Vec<CellRows<'_>>, Vec<CellRows<'_>>) {
    let threads = budget.threads.max(1);
    let mut cells: Vec<CellRows<'_>> = file.cells().map(|(_, rows)| rows).collect();
    let comparisons = |cell: &CellRows<'_>| cell.len().saturating_mul(cell.len());
    let all = cells.iter().map(comparisons).fold(0, usize::saturating_add);
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.len()));
    let together = |cell: &CellRows<'_>| {
        let fits = cell.len() * cell.dim() * 4 <= budget.bytes / threads / 2;
        threads == 1 || !fits || comparisons(cell) > all / threads / MOST_OF_A_SHARE
    };
    let small = cells.split_off(cells.partition_point(together));
    (cells, small)
}

/// Cells of which each is one thread's work.
pub(super) struct SharedCells<'a> {
    pub(super) cells: Vec<CellRows<'a>>,
    /// Of all threads together.
    pub(super) budget: Budget,
}

impl SharedCells<'_> {
    /// Gives what `work` makes of every cell, as they get ready, on the calling thread; an error ends it.
    pub(super) fn for_each<T: Send>(
        self,
        work: &(dyn Fn(CellRows<'_>, Budget) -> Result<T> + Sync),
        take: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let threads = self.budget.threads.max(1);
        let share = Budget {
            bytes: self.budget.bytes / threads,
            threads: 1,
        };
        let (cells, next) = (&self.cells, &AtomicUsize::new(0));
        std::thread::scope(|scope| {
            // One ready cell per thread may wait; scores are small beside the rows.
            let (send, ready) = sync_channel(threads);
            for _ in 0..threads.min(cells.len()) {
                let send = send.clone();
                scope.spawn(move || {
                    while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // Nobody takes it where an error has ended the work.
                        if send.send(work(*cell, share)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(send);
            // Goes before the threads are waited for: they end when nobody takes anything.
            ready.into_iter().try_for_each(|made| take(made?))
        })
    }
}
