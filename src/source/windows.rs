//! Reading a remote file front to back by a plan: large requests, the next of them ahead, and nothing that is not asked for.
//!
//! Requests that are on their way are for so many bytes together, each for at most a quarter of that: a line is full while one
//! window is worked on, and of a line whose connections are slow there are several. Where wanted pages lie apart, requests are
//! small, and many are on their way.

use std::{
    collections::VecDeque,
    fmt, io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use bytes::{Bytes, BytesMut};

use super::{ShardFile, remote::part_of, remote_file::RemoteContent};

/// Bytes that nobody asked for are read along up to here: less than what another request would take.
const MOST_GAP_BYTES: u64 = 16 << 10;
/// Windows that are kept: a page may lie in two.
const KEPT: usize = 2;
/// Requests on their way.
const MOST_AHEAD: usize = 64;
/// Of what is asked for together, requests into which it is cut; what is smaller than a request is worth is not.
const REQUESTS_OF_WINDOW: u64 = 4;
const LEAST_REQUEST_BYTES: u64 = 512 << 10;

/// Part of a file, in windows: requests that are known beforehand.
pub(super) struct Windows {
    content: Arc<RemoteContent>,
    size_bytes: u64,
    /// Ascending, apart from each other.
    windows: Vec<Range<u64>>,
    /// Most bytes that are asked for before they are needed.
    ahead_bytes: u64,
    state: Mutex<State>,
}

struct State {
    /// The latest, by their places among the windows.
    kept: VecDeque<(usize, Bytes)>,
    /// Ascending, without gaps.
    ahead: VecDeque<Ahead>,
}

/// A window that was asked for.
struct Ahead {
    window: usize,
    bytes: mpsc::Receiver<io::Result<Bytes>>,
}

impl fmt::Debug for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Windows").field(&self.content).finish()
    }
}

impl Windows {
    /// Those that hold `ranges`, ascending, of which `window_bytes` are asked for before they are needed. The first are asked for
    /// at once: columns that are read side by side are waited for together.
    pub(super) fn new(
        content: Arc<RemoteContent>,
        size_bytes: u64,
        ranges: &[Range<u64>],
        window_bytes: u64,
    ) -> Self {
        let windows = Self {
            content,
            size_bytes,
            windows: windows(
                ranges,
                size_bytes,
                (window_bytes / REQUESTS_OF_WINDOW)
                    .max(LEAST_REQUEST_BYTES.min(window_bytes))
                    .max(1),
            ),
            ahead_bytes: window_bytes,
            state: Mutex::new(State {
                kept: VecDeque::new(),
                ahead: VecDeque::new(),
            }),
        };
        // What cannot be asked for is told where it is needed.
        let _ = windows.ask_ahead(&mut windows.locked(), 0);
        windows
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for `window` and those behind it, unless they are on their way.
    fn ask_ahead(&self, state: &mut State, window: usize) -> io::Result<()> {
        while state
            .ahead
            .front()
            .is_some_and(|first| first.window < window)
        {
            state.ahead.pop_front();
        }
        if state
            .ahead
            .front()
            .is_some_and(|first| first.window > window)
        {
            state.ahead.clear();
        }
        let bytes = |window: usize| {
            let range = self.windows.get(window)?;
            Some(range.end - range.start)
        };
        let behind = state.ahead.iter().skip(1);
        let mut ahead: u64 = behind.filter_map(|ahead| bytes(ahead.window)).sum();
        loop {
            let next = window + state.ahead.len();
            let Some(more) = bytes(next) else { break };
            if next > window {
                ahead += more;
                if ahead > self.ahead_bytes || state.ahead.len() >= MOST_AHEAD {
                    break;
                }
            }
            state.ahead.push_back(Ahead {
                window: next,
                bytes: self.content.ask(self.windows[next].clone())?,
            });
        }
        Ok(())
    }

    /// The window that holds a position.
    fn at(&self, position: u64) -> Option<usize> {
        let behind = self
            .windows
            .partition_point(|window| window.start <= position);
        let window = behind.checked_sub(1)?;
        (position < self.windows[window].end).then_some(window)
    }

    fn window(&self, window: usize) -> io::Result<Bytes> {
        let mut state = self.locked();
        if let Some((_, bytes)) = state.kept.iter().find(|(kept, _)| *kept == window) {
            return Ok(bytes.clone());
        }
        self.ask_ahead(&mut state, window)?;
        let gone = || io::Error::other("a request came to no end");
        let asked = state.ahead.pop_front().ok_or_else(gone)?;
        let bytes = asked.bytes.recv().map_err(|_| gone())??;
        if state.kept.len() == KEPT {
            state.kept.pop_front();
        }
        state.kept.push_back((window, bytes.clone()));
        self.ask_ahead(&mut state, window + 1)?;
        Ok(bytes)
    }
}

impl ShardFile for Windows {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut gathered = BytesMut::new();
        let mut at = range.start;
        while let Some(window) = self.at(at) {
            let bounds = self.windows[window].clone();
            let end = range.end.min(bounds.end);
            let bytes = self.window(window)?;
            let part =
                part_of(&bytes, bounds.start, &(at..end)).ok_or(io::ErrorKind::UnexpectedEof)?;
            if at == range.start && end == range.end {
                return Ok(part);
            }
            gathered.extend_from_slice(&part);
            at = end;
            if at == range.end {
                return Ok(gathered.freeze());
            }
        }
        // Nobody said that this would be read.
        gathered.extend_from_slice(&self.content.read(at..range.end)?);
        Ok(gathered.freeze())
    }

    fn read_some(&self, range: Range<u64>) -> io::Result<Bytes> {
        match self.at(range.start) {
            Some(window) => self.read_at(range.start..range.end.min(self.windows[window].end)),
            None => self.read_at(range),
        }
    }
}

/// Ranges that are near each other together, and what is large cut.
fn windows(ranges: &[Range<u64>], size_bytes: u64, window_bytes: u64) -> Vec<Range<u64>> {
    let mut together: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        let range = range.start.min(size_bytes)..range.end.min(size_bytes);
        match together.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(MOST_GAP_BYTES) => {
                last.end = last.end.max(range.end);
            }
            _ if range.is_empty() => {}
            _ => together.push(range),
        }
    }
    let cut = together.into_iter().flat_map(|range| {
        let windows = (range.end - range.start).div_ceil(window_bytes);
        (0..windows).map(move |window| {
            let start = range.start + window * window_bytes;
            start..range.end.min(start + window_bytes)
        })
    });
    cut.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_what_is_asked_for_and_little_else() {
        let (gap, far) = (MOST_GAP_BYTES, 1 << 40);
        let near = windows(&[0..10, 10..30, 30 + gap..50 + gap], far, 1 << 20);
        assert_eq!((near.len(), &near[0]), (1, &(0..50 + gap)));
        let apart = [0..10, 11 + gap..20 + gap];
        assert_eq!(windows(&apart, far, 1 << 20), apart);
        let asked = [5..15, 15..25];
        assert_eq!(windows(&asked, far, 8), [5..13, 13..21, 21..25]);
        assert_eq!(
            windows(&asked, 20, 8),
            [5..13, 13..20],
            "not beyond the end"
        );
        assert!(windows(&[], 20, 8).is_empty());
    }
}
