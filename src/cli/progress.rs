//! How far a run is: a bar on a terminal, else a line every few seconds.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::summary::Counters;

/// Time between two lines where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Time between two looks at the counters on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Shows how far a run is, from a thread of its own.
pub(super) struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// A bar on a terminal, plain lines otherwise, nothing if `quiet`.
    pub(super) fn start(counters: &Arc<Counters>, quiet: bool) -> Self {
        if quiet {
            return Self {
                stop: None,
                thread: None,
            };
        }
        let (stop, stopped) = channel::<()>();
        let counters = Arc::clone(counters);
        let thread = std::thread::spawn(move || {
            let terminal = std::io::stderr().is_terminal();
            let (mut shown, every) = if terminal {
                (Box::new(bar()) as Box<dyn FnMut(&Counters)>, DRAW_EVERY)
            } else {
                (Box::new(lines()) as _, LINE_EVERY)
            };
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                shown(&counters);
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Takes the bar away.
    pub(super) fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A display that failed is no reason to fail the run.
            let _ = thread.join();
        }
    }
}

fn bar() -> impl FnMut(&Counters) {
    let template = "{bar:30} {pos}/{len} pairs  ETA {eta}  {msg}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let guard = Cleared(ProgressBar::new(0).with_style(style));
    let start = Instant::now();
    move |counters: &Counters| {
        let bar = &guard.0;
        bar.set_length(counters.rows_total.load(Ordering::Relaxed));
        bar.set_position(decided(counters));
        let written = counters.rows_written.load(Ordering::Relaxed);
        let bad = counters.rows_bad.load(Ordering::Relaxed);
        let step = counters.step();
        bar.set_message(if written > 0 {
            format!("{bad} bad, writing: {written}")
        } else if !step.is_empty() {
            step
        } else {
            format!("{:.1} pairs/s, {bad} bad", rate(counters, start))
        });
    }
}

/// Rows that were scored or that a condition left out before.
fn decided(counters: &Counters) -> u64 {
    counters.rows_done.load(Ordering::Relaxed) + counters.rows_skipped.load(Ordering::Relaxed)
}

/// Pairs per second since `start`.
fn rate(counters: &Counters, start: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    let done = counters.rows_done.load(Ordering::Relaxed) as f64;
    done / start.elapsed().as_secs_f64().max(f64::EPSILON)
}

/// The summary must not stand behind a bar.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn lines() -> impl FnMut(&Counters) {
    let start = Instant::now();
    move |counters: &Counters| {
        let done = decided(counters);
        let total = counters.rows_total.load(Ordering::Relaxed);
        let bad = counters.rows_bad.load(Ordering::Relaxed);
        let written = counters.rows_written.load(Ordering::Relaxed);
        let rate = rate(counters, start);
        let step = counters.step();
        if written > 0 {
            say(&format!("writing: {written} rows"));
        } else if !step.is_empty() {
            say(&step);
        } else if total > 0 {
            say(&format!(
                "{done} of {total} pairs, {rate:.1} scored/s, {bad} bad"
            ));
        }
    }
}
