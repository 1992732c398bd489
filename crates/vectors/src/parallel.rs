//! Jobs handed out to threads one after the other.

use std::sync::{Mutex, PoisonError};

/// Runs `work` on every job, each with the scratch of the thread that does it.
///
/// Jobs must not depend on each other: which thread does which, and in what order, is open.
pub(crate) fn share<J: Send, S>(
    threads: usize,
    jobs: impl ExactSizeIterator<Item = J> + Send,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(J, &mut S) + Sync,
) {
    let threads = threads.min(jobs.len());
    let jobs = Mutex::new(jobs);
    let run = || {
        let mut scratch = scratch();
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = job else { break };
            work(job, &mut scratch);
        }
    };
    if threads < 2 {
        return run();
    }
    std::thread::scope(|scope| {
        // The thread that asks works too.
        (1..threads).for_each(|_| {
            scope.spawn(run);
        });
        run();
    });
}
