//! What every thread did when, as a file for trace viewers.
//!
//! The format is the JSON array of Chrome's trace events, one event a line, which `ui.perfetto.dev` and
//! `chrome://tracing` open. Work and waits are complete events (`X`), lengths of queues are counters (`C`), and names of
//! lanes are metadata (`M`). A lane is what one thread does for one stage: threads of a pool bear the name of
//! their stage already, others are named after it. Times are whole microseconds since the trace was started.
//!
//! An event is written as soon as it has ended, so that memory does not depend on how long a run is. A viewer
//! also opens an array that breaks off: what a killed process leaves under the temporary name is of use.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::ThreadId,
    time::Instant,
};

use serde::Serialize;

/// The process in every event: there is only one.
const PROCESS: u32 = 1;

/// Events of one process, written as they end; any thread may add some.
pub struct Trace {
    origin: Instant,
    sheet: Mutex<Sheet>,
}

/// Where an event is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Lane {
    /// The thread; `None` for what belongs to no thread.
    pub thread: Option<ThreadId>,
    /// What the lane is called, unless the thread's own name begins with it.
    pub name: &'static str,
    /// Lanes with smaller numbers are drawn above.
    pub order: u32,
}

/// What is known of an event beside its time.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Facts {
    /// What was worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<&'static str>,
    /// Rows worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Bytes worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
}

#[derive(Serialize)]
struct Event<'a, A> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    ph: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    pid: u32,
    tid: u64,
    args: A,
}

#[derive(Serialize)]
struct NameOf<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct OrderOf {
    sort_index: u32,
}

#[derive(Serialize)]
struct Length {
    waiting: usize,
}

struct Sheet {
    /// `None` once the trace has ended or failed.
    out: Option<Box<dyn Write + Send>>,
    failure: Option<io::Error>,
    /// Number of each lane; there are as many as threads have stages.
    lanes: HashMap<(Option<ThreadId>, &'static str), u64>,
    /// The event under way.
    line: Vec<u8>,
    is_empty: bool,
}

/// What went on, and from when to when.
#[derive(Debug, Clone, Copy)]
pub struct Drawn<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it belongs to.
    pub category: &'a str,
    /// When it began.
    pub start: Instant,
    /// When it ended.
    pub end: Instant,
}

impl Trace {
    /// A trace that begins now; `out` should gather bytes before it writes.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        let mut sheet = Sheet {
            out: Some(out),
            failure: None,
            lanes: HashMap::new(),
            line: Vec::new(),
            is_empty: true,
        };
        sheet.name(
            "process_name",
            0,
            NameOf {
                name: "clip-filter",
            },
        );
        Self {
            origin: Instant::now(),
            sheet: Mutex::new(sheet),
        }
    }

    /// Draws what went on in a lane.
    pub fn span(&self, lane: Lane, drawn: Drawn<'_>, facts: Facts) {
        // Both ends are cut to microseconds, so that neighbours never seem to overlap.
        let (start, end) = (self.micros(drawn.start), self.micros(drawn.end));
        let mut sheet = self.lock();
        let tid = sheet.lane(lane);
        sheet.add(&Event {
            name: drawn.name,
            cat: Some(drawn.category),
            ph: "X",
            ts: Some(start),
            dur: Some(end - start),
            pid: PROCESS,
            tid,
            args: facts,
        });
    }

    /// Draws how many wait in a queue now.
    pub fn queue(&self, name: &'static str, waiting: usize) {
        let now = self.micros(Instant::now());
        self.lock().add(&Event {
            name,
            cat: None,
            ph: "C",
            ts: Some(now),
            dur: None,
            pid: PROCESS,
            tid: 0,
            args: Length { waiting },
        });
    }

    /// Ends the array and writes what was gathered; events that come later are dropped.
    ///
    /// # Errors
    /// The first error of all writes.
    pub fn finish(&self) -> io::Result<()> {
        let mut sheet = self.lock();
        if let Some(mut out) = sheet.out.take() {
            out.write_all(b"\n]\n").and_then(|()| out.flush())?;
        }
        sheet.failure.take().map_or(Ok(()), Err)
    }

    fn micros(&self, time: Instant) -> u64 {
        let time = time.saturating_duration_since(self.origin);
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Sheet> {
        // A panicking thread leaves at worst half a line behind, never a broken invariant.
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Sheet {
    /// The number of `lane`, which is named when it is first used.
    fn lane(&mut self, lane: Lane) -> u64 {
        let key = (lane.thread, lane.name);
        if let Some(&number) = self.lanes.get(&key) {
            return number;
        }
        let number = self.lanes.len() as u64 + 1;
        self.lanes.insert(key, number);
        let current = std::thread::current();
        let own = current.name().filter(|own| {
            own.starts_with(lane.name) && lane.thread.is_some_and(|thread| thread == current.id())
        });
        let name = own.unwrap_or(lane.name);
        self.name("thread_name", number, NameOf { name });
        let sort_index = lane.order;
        self.name("thread_sort_index", number, OrderOf { sort_index });
        number
    }

    fn name(&mut self, what: &str, tid: u64, args: impl Serialize) {
        self.add(&Event {
            name: what,
            cat: None,
            ph: "M",
            ts: None,
            dur: None,
            pid: PROCESS,
            tid,
            args,
        });
    }

    fn add<A: Serialize>(&mut self, event: &Event<'_, A>) {
        let Some(out) = &mut self.out else { return };
        self.line.clear();
        self.line
            .extend_from_slice(if self.is_empty { b"[\n" } else { b",\n" });
        self.is_empty = false;
        let written = serde_json::to_writer(&mut self.line, event)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(&self.line));
        if let Err(error) = written {
            // A full disk must not be asked again for every event.
            self.failure = Some(error);
            self.out = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::Value;

    use super::*;

    /// What was written, for a test that looks at it.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn events(&self) -> Vec<Value> {
            serde_json::from_slice(&self.0.lock().unwrap()).unwrap()
        }
    }

    fn lane(name: &'static str) -> Lane {
        Lane {
            thread: Some(std::thread::current().id()),
            name,
            order: 3,
        }
    }

    #[test]
    fn events_of_many_threads_are_one_array_with_a_lane_each() {
        let out = Shared::default();
        let trace = Trace::new(Box::new(out.clone()));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let body = || {
                    for row in 0..50 {
                        let start = Instant::now();
                        let facts = Facts {
                            rows: Some(row),
                            ..Facts::default()
                        };
                        let end = start + Duration::from_micros(5);
                        let drawn = Drawn {
                            name: "a \"name\"\n",
                            category: "work",
                            start,
                            end,
                        };
                        trace.span(lane("work"), drawn, facts);
                        trace.queue("queue", row);
                    }
                };
                let named = std::thread::Builder::new().name(format!("work-{thread}"));
                named.spawn_scoped(scope, body).unwrap();
            }
        });
        trace.finish().unwrap();
        trace.queue("queue", 1);
        let events = out.events();
        let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
        assert_eq!((of("X"), of("C"), of("M")), (200, 200, 1 + 4 * 2));
        let names = events.iter().filter(|event| event["name"] == "thread_name");
        let mut names: Vec<&str> = names
            .map(|event| event["args"]["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["work-0", "work-1", "work-2", "work-3"]);
        let span = events.iter().find(|event| event["ph"] == "X").unwrap();
        assert_eq!(span["name"], "a \"name\"\n");
        assert!(span["dur"].is_u64() && span["args"]["rows"].is_u64());
        assert!(span["args"].get("bytes").is_none());
    }

    #[test]
    fn a_thread_of_another_name_gets_the_name_of_its_stage() {
        let out = Shared::default();
        let trace = Trace::new(Box::new(out.clone()));
        let now = Instant::now();
        for name in ["read", "write", "read"] {
            let drawn = Drawn {
                name,
                category: "work",
                start: now,
                end: now,
            };
            trace.span(lane(name), drawn, Facts::default());
        }
        trace.finish().unwrap();
        let events = out.events();
        let named = |name: &str| {
            let is = |event: &&Value| event["args"]["name"] == name;
            events.iter().filter(is).count()
        };
        assert_eq!((named("read"), named("write")), (1, 1));
        let lanes: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!(lanes[0]["tid"], lanes[2]["tid"]);
        assert_ne!(lanes[0]["tid"], lanes[1]["tid"]);
    }

    #[test]
    fn a_full_disk_is_told_at_the_end_and_stops_nothing() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let trace = Trace::new(Box::new(Full));
        trace.queue("queue", 1);
        let error = trace.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
