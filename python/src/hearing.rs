//! What Python hears of a command while it waits for it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use clip_filter::cli::call::Caller;
use pyo3::prelude::*;

/// How long is waited before the interpreter is asked whether it was told to stop.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a thread gives once it is done, if it is by then; the interpreter's lock is given back meanwhile.
pub(crate) fn wait<T: Send>(py: Python<'_>, done: &mut Receiver<T>) -> Result<T, RecvTimeoutError> {
    py.detach(|| {
        let done = done;
        done.recv_timeout(LOOK_EVERY)
    })
}

/// The Python side of a [`Caller`]: a function that gets lines and counts, on the thread that waits.
pub(crate) struct Hearing {
    caller: Caller,
    lines: Arc<Mutex<Vec<String>>>,
    hear: Option<Py<PyAny>>,
}

impl Hearing {
    pub(crate) fn new(hear: Option<Py<PyAny>>) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&lines);
        let caller = Caller::default().with_say(move |line| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(line.to_owned());
        });
        Self {
            caller,
            lines,
            hear,
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Tells Python what there is, and asks whether it wants to stop.
    pub(crate) fn look(&self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        let said = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *lines)
        };
        let Some(hear) = &self.hear else {
            return Ok(());
        };
        let counters = &self.caller.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = (
            of(&counters.rows_total),
            of(&counters.rows_done),
            of(&counters.rows_skipped),
            of(&counters.rows_bad),
            of(&counters.rows_written),
            counters.step(),
        );
        hear.call1(py, (said, counts)).map(drop)
    }
}
