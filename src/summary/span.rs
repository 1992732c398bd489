//! Time that a thread spends at work or waiting, added up and drawn.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{Counters, Pass, Stage, Wait};
use crate::trace::{Drawn, Facts, Lane};

/// Shorter waits are counted but not drawn: they are the price of a hand-over, and would fill the file.
const SHORTEST_DRAWN_WAIT: Duration = Duration::from_micros(50);

thread_local! {
    /// Nanoseconds of the spans that have ended within the one that is open on this thread.
    static INNER_NANOS: Cell<u64> = const { Cell::new(0) };
}

/// What the time of a span is.
#[derive(Debug, Clone, Copy)]
enum Activity {
    Work,
    Wait(Wait),
}

/// Counts time of one thread until it is dropped, and draws it where there is a trace.
///
/// Spans may lie within each other; the inner one's time is not counted for the outer one.
#[must_use = "it counts until it is dropped"]
#[derive(Debug)]
pub struct Span<'a> {
    counters: &'a Counters,
    stage: Stage,
    activity: Activity,
    start: Instant,
    outer_nanos: u64,
    also: Option<&'a AtomicU64>,
    facts: Facts,
    /// A span ends on the thread it was begun on.
    _thread: PhantomData<*const ()>,
}

impl<'a> Span<'a> {
    fn start(counters: &'a Counters, stage: Stage, activity: Activity) -> Self {
        Self {
            counters,
            stage,
            activity,
            outer_nanos: INNER_NANOS.replace(0),
            start: Instant::now(),
            also: None,
            facts: Facts::default(),
            _thread: PhantomData,
        }
    }

    /// Adds the nanoseconds to `nanos` as well.
    pub fn also(mut self, nanos: &'a AtomicU64) -> Self {
        self.also = Some(nanos);
        self
    }

    /// Says what is worked on, for the trace.
    pub fn of(mut self, what: &'static str) -> Self {
        self.facts.what = Some(what);
        self
    }

    /// Says how many rows are worked on, for the trace.
    pub fn rows(&mut self, rows: usize) {
        self.facts.rows = Some(rows);
    }

    /// Says how many bytes are worked on; `bytes` is called only where there is a trace.
    pub fn bytes(&mut self, bytes: impl FnOnce() -> usize) {
        self.facts.bytes = self.counters.trace().map(|_| bytes());
    }

    fn draw(&self, end: Instant) {
        let Some(trace) = self.counters.trace() else {
            return;
        };
        let stage = self.stage.as_str();
        let (name, category) = match self.activity {
            Activity::Wait(_) if end - self.start < SHORTEST_DRAWN_WAIT => return,
            Activity::Wait(wait) => (wait.title(), "wait"),
            Activity::Work => (stage, "work"),
        };
        let drawn = Drawn {
            name,
            category,
            start: self.start,
            end,
        };
        let lane = Lane {
            thread: Some(std::thread::current().id()),
            name: stage,
            order: self.stage as u32 + 1,
        };
        trace.span(lane, drawn, self.facts);
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let end = Instant::now();
        let all = nanos(end - self.start);
        let own = all.saturating_sub(INNER_NANOS.get());
        INNER_NANOS.set(self.outer_nanos.saturating_add(all));
        let own_time = Duration::from_nanos(own);
        match self.activity {
            Activity::Work => self.counters.add_busy(self.stage, own_time),
            Activity::Wait(wait) => self.counters.add_wait(self.stage, wait, own_time),
        }
        if let Some(also) = self.also {
            also.fetch_add(own, Ordering::Relaxed);
        }
        self.draw(end);
    }
}

/// Counts the time of a pass until it is dropped, and draws it where there is a trace.
#[must_use = "it counts until it is dropped"]
#[derive(Debug)]
pub struct PassSpan<'a> {
    counters: &'a Counters,
    pass: Pass,
    start: Instant,
}

impl Drop for PassSpan<'_> {
    fn drop(&mut self) {
        let end = Instant::now();
        self.counters.add_pass(self.pass, end - self.start);
        if let Some(trace) = self.counters.trace() {
            let lane = Lane {
                thread: None,
                name: "passes",
                order: 0,
            };
            let drawn = Drawn {
                name: self.pass.as_str(),
                category: "pass",
                start: self.start,
                end,
            };
            trace.span(lane, drawn, Facts::default());
        }
    }
}

impl Counters {
    /// Counts the time until the guard is dropped as work of `stage`.
    pub fn span(&self, stage: Stage) -> Span<'_> {
        Span::start(self, stage, Activity::Work)
    }

    /// Counts the time until the guard is dropped as waiting of `stage`.
    pub fn wait(&self, stage: Stage, wait: Wait) -> Span<'_> {
        Span::start(self, stage, Activity::Wait(wait))
    }

    /// Calls `receive`, which waits for something to do.
    pub fn starved<T>(&self, stage: Stage, receive: impl FnOnce() -> T) -> T {
        let _waiting = self.wait(stage, Wait::Input);
        receive()
    }

    /// Calls `send`, which waits for room for what was done.
    pub fn blocked<T>(&self, stage: Stage, send: impl FnOnce() -> T) -> T {
        let _waiting = self.wait(stage, Wait::Room);
        send()
    }

    /// Counts the time until the guard is dropped as time of `pass`.
    pub fn pass(&self, pass: Pass) -> PassSpan<'_> {
        PassSpan {
            counters: self,
            pass,
            start: Instant::now(),
        }
    }

    /// Draws the length of a queue, where there is a trace; `waiting` is called only then.
    pub fn queue(&self, name: &'static str, waiting: impl FnOnce() -> usize) {
        if let Some(trace) = self.trace() {
            trace.queue(name, waiting());
        }
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_within_work_is_not_work() {
        let counters = Counters::default();
        let also = AtomicU64::new(0);
        let start = Instant::now();
        {
            let _work = counters.span(Stage::Decode).also(&also);
            let before = Instant::now();
            {
                let _wait = counters.wait(Stage::Decode, Wait::Room);
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(before.elapsed() >= counters.waited(Stage::Decode, Wait::Room));
        }
        let all = start.elapsed();
        let waited = counters.waited(Stage::Decode, Wait::Room);
        assert!(waited >= Duration::from_millis(5));
        assert!(counters.busy(Stage::Decode) + waited <= all);
        assert_eq!(
            counters.busy(Stage::Decode),
            Duration::from_nanos(also.into_inner())
        );
        assert_eq!(counters.waited(Stage::Decode, Wait::Input), Duration::ZERO);
        // What was within the last span is not taken from the next.
        drop(counters.span(Stage::Encode));
        {
            let _work = counters.span(Stage::Write);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(counters.busy(Stage::Write) >= Duration::from_millis(1));
    }

    #[test]
    fn what_is_called_gives_its_value_and_its_time_to_the_right_wait() {
        let counters = Counters::default();
        let sleep = |value: u8| {
            std::thread::sleep(Duration::from_millis(1));
            value
        };
        assert_eq!(counters.starved(Stage::Encode, || sleep(3)), 3);
        assert_eq!(counters.blocked(Stage::Read, || sleep(4)), 4);
        assert!(counters.waited(Stage::Encode, Wait::Input) >= Duration::from_millis(1));
        assert!(counters.waited(Stage::Read, Wait::Room) >= Duration::from_millis(1));
        assert_eq!(counters.busy(Stage::Encode), Duration::ZERO);
    }
}
