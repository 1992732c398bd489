//! One remote file: its end is asked for once, beforehand where somebody says that it is opened soon.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use bytes::Bytes;

use super::{
    ShardFile,
    remote::{REQUESTS, part_of},
    windows::Windows,
};
use crate::remote::Object;

/// Read at once from the end of a file: the footer of most, and the index of its pages.
const TAIL_BYTES: u64 = 64 << 10;
/// A file up to this size is read at once as a whole: another request would take longer than its other bytes.
const SMALL_BYTES: u64 = 256 << 10;
/// Ends of files that are kept until the run is over, so that its next pass does not ask again.
const KEPT_BYTES: usize = 8 << 20;
/// Files that are asked for and not opened yet, of up to [`SMALL_BYTES`]: those of two passes side by side.
const MOST_ASKED: usize = 2 * REQUESTS;

/// One content of an object.
#[derive(Debug)]
pub(super) struct RemoteContent {
    pub(super) object: Object,
    size_bytes: u64,
    version: Option<String>,
}

impl RemoteContent {
    pub(super) fn new(object: Object, size_bytes: u64, version: Option<String>) -> Self {
        Self {
            object,
            size_bytes,
            version,
        }
    }

    pub(super) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.object
            .read(range, self.size_bytes, self.version.as_deref())
    }

    /// As [`RemoteContent::read`], without waiting.
    pub(super) fn ask(&self, range: Range<u64>) -> io::Result<Asked> {
        self.object
            .ask(range, self.size_bytes, self.version.as_deref())
    }

    /// Where what is read of it first begins.
    fn tail_start(&self) -> u64 {
        match self.size_bytes <= SMALL_BYTES {
            true => 0,
            false => self.size_bytes - TAIL_BYTES,
        }
    }

    /// What no other content has; `None` where a store does not say.
    fn key(&self) -> Option<Key> {
        Some((self.object.url().to_owned(), self.version.clone()?))
    }
}

type Asked = mpsc::Receiver<io::Result<Bytes>>;
/// URL and version.
type Key = (String, String);

/// Ends of files, of which some are under way and some are kept.
#[derive(Default)]
pub(super) struct Tails(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Asked for and not opened yet, at most [`MOST_ASKED`].
    asked: VecDeque<(Key, Asked)>,
    kept: HashMap<Key, Bytes>,
    kept_bytes: usize,
}

impl Tails {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the end of a file, if it is not known.
    pub(super) fn ask(&self, content: &RemoteContent) {
        let Some(key) = content.key().filter(|_| content.size_bytes > 0) else {
            return;
        };
        let mut known = self.known();
        let is_known =
            known.kept.contains_key(&key) || known.asked.iter().any(|(asked, _)| *asked == key);
        if is_known {
            return;
        }
        // What cannot be asked for is told who opens it.
        if let Ok(asked) = content.ask(content.tail_start()..content.size_bytes) {
            if known.asked.len() == MOST_ASKED {
                known.asked.pop_front();
            }
            known.asked.push_back((key, asked));
        }
    }

    /// What is known of the end of a file.
    fn take(&self, content: &RemoteContent) -> Tail {
        let Some(key) = content.key() else {
            return Tail::Unknown;
        };
        let mut known = self.known();
        if let Some(bytes) = known.kept.get(&key) {
            return Tail::Read(bytes.clone());
        }
        let at = known.asked.iter().position(|(asked, _)| *asked == key);
        let asked = at.and_then(|at| known.asked.remove(at));
        asked.map_or(Tail::Unknown, |(_, asked)| Tail::Asked(asked))
    }

    fn keep(&self, content: &RemoteContent, bytes: &Bytes) {
        let mut known = self.known();
        let all = known.kept_bytes + bytes.len();
        if let Some(key) = content.key().filter(|_| all <= KEPT_BYTES)
            && known.kept.insert(key, bytes.clone()).is_none()
        {
            known.kept_bytes = all;
        }
    }
}

/// The end of a file.
enum Tail {
    Unknown,
    Asked(Asked),
    Read(Bytes),
}

/// An object that is read in ranges; its end is asked for once.
pub(super) struct RemoteFile {
    content: Arc<RemoteContent>,
    tail: Mutex<Tail>,
    tails: Arc<Tails>,
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

impl RemoteFile {
    pub(super) fn new(content: RemoteContent, tails: Arc<Tails>) -> Self {
        Self {
            tail: Mutex::new(tails.take(&content)),
            content: Arc::new(content),
            tails,
        }
    }

    /// The bytes from `start` to the end.
    fn read_tail(&self, start: u64) -> io::Result<Bytes> {
        let bytes = self.content.read(start..self.content.size_bytes)?;
        self.tails.keep(&self.content, &bytes);
        Ok(bytes)
    }

    /// The end of the file as far as it is known; what is under way is waited for.
    fn tail(&self) -> io::Result<Option<Bytes>> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match std::mem::replace(&mut *tail, Tail::Unknown) {
            Tail::Unknown => return Ok(None),
            Tail::Read(bytes) => bytes,
            Tail::Asked(asked) => {
                let gone = || io::Error::other("a request came to no end");
                let bytes = asked.recv().map_err(|_| gone())??;
                self.tails.keep(&self.content, &bytes);
                bytes
            }
        };
        *tail = Tail::Read(bytes.clone());
        Ok(Some(bytes))
    }
}

impl ShardFile for RemoteFile {
    fn size_bytes(&self) -> u64 {
        self.content.size_bytes
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let size_bytes = self.content.size_bytes;
        if let Some(tail) = self.tail()?
            && let Some(bytes) = part_of(&tail, size_bytes - tail.len() as u64, &range)
        {
            return Ok(bytes);
        }
        let start = self.content.tail_start();
        if range.end < size_bytes && start > 0 {
            return self.content.read(range);
        }
        let start = range.start.min(start);
        let bytes = self.read_tail(start)?;
        let part = part_of(&bytes, start, &range).ok_or(io::ErrorKind::UnexpectedEof)?;
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = Tail::Read(bytes);
        Ok(part)
    }

    /// Not of a file that is read at once.
    fn is_planned(&self) -> bool {
        self.content.tail_start() > 0
    }

    /// Not of what lies in the end, which is at hand.
    fn planned(&self, ranges: &[Range<u64>], window_bytes: u64) -> Option<Arc<dyn ShardFile>> {
        let tail_bytes = self
            .tail()
            .ok()
            .flatten()
            .map_or(0, |tail| tail.len() as u64);
        let tail_start = self.content.size_bytes - tail_bytes;
        let is_at_hand = ranges.iter().all(|range| range.start >= tail_start);
        (self.is_planned() && !is_at_hand).then(|| {
            let content = Arc::clone(&self.content);
            let windows = Windows::new(content, self.content.size_bytes, ranges, window_bytes);
            Arc::new(windows) as Arc<dyn ShardFile>
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{ObjectStores, Put};

    fn content(stores: &Arc<ObjectStores>, name: &str) -> RemoteContent {
        let object = stores.object(&format!("s3://memory/{name}")).unwrap();
        let facts = object.facts().unwrap().unwrap();
        RemoteContent::new(object, facts.size_bytes, facts.version)
    }

    fn put(stores: &Arc<ObjectStores>, name: &str, bytes: Vec<u8>) {
        let object = stores.object(&format!("s3://memory/{name}")).unwrap();
        assert!(object.put(bytes, Put::Always).unwrap());
    }

    #[test]
    fn what_was_asked_for_ahead_is_not_asked_for_again() {
        let stores = ObjectStores::in_memory();
        let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        put(&stores, "large", bytes.clone());
        put(&stores, "small", bytes[..1000].to_vec());
        for (name, range) in [("large", 250_000..300_000u64), ("small", 100..200)] {
            let tails = Arc::<Tails>::default();
            tails.ask(&content(&stores, name));
            let file = RemoteFile::new(content(&stores, name), Arc::clone(&tails));
            assert!(file.tail().unwrap().is_some(), "{name}");
            let again = content(&stores, name);
            // Nothing can be asked for any more.
            stores
                .object(&format!("s3://memory/{name}"))
                .unwrap()
                .remove()
                .unwrap();
            let wanted = &bytes[100..200];
            let wanted = if name == "small" {
                wanted
            } else {
                &bytes[250_000..]
            };
            assert_eq!(file.read_at(range.clone()).unwrap(), wanted);
            let again = RemoteFile::new(again, tails);
            assert_eq!(again.read_at(range).unwrap(), wanted);
        }
    }

    #[test]
    fn what_lies_in_the_end_is_not_planned() {
        let stores = ObjectStores::in_memory();
        put(&stores, "large", vec![1; 300_000]);
        let file = RemoteFile::new(content(&stores, "large"), Arc::default());
        let tail_start = 300_000 - TAIL_BYTES;
        let is_planned = |start: u64| {
            file.planned(&[start..start + 10, start + 20..start + 30], 100)
                .is_some()
        };
        assert!(is_planned(tail_start), "it is not at hand yet");
        file.read_at(299_990..300_000).unwrap();
        assert!(!is_planned(tail_start) && is_planned(tail_start - 1));
    }

    #[test]
    fn another_content_under_a_name_is_not_what_was_kept() {
        let stores = ObjectStores::in_memory();
        let tails = Arc::<Tails>::default();
        put(&stores, "a", vec![1; 100]);
        let before = content(&stores, "a");
        let file = RemoteFile::new(before, Arc::clone(&tails));
        assert_eq!(file.read_at(0..3).unwrap(), &[1; 3][..]);
        put(&stores, "a", vec![2; 100]);
        let file = RemoteFile::new(content(&stores, "a"), tails);
        assert_eq!(file.read_at(0..3).unwrap(), &[2; 3][..]);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let stores = ObjectStores::in_memory();
        let tails = Tails::default();
        put(&stores, "a", vec![1; 100]);
        let object = stores.object("s3://memory/a").unwrap();
        let half = Bytes::from(vec![0; KEPT_BYTES / 2]);
        for version in ["1", "2", "3", "2"] {
            let of = RemoteContent::new(object.clone(), 100, Some(version.to_owned()));
            tails.keep(&of, &half);
            tails.ask(&of);
        }
        let known = tails.known();
        assert_eq!((known.kept.len(), known.kept_bytes), (2, KEPT_BYTES));
        assert_eq!(known.asked.len(), 1, "what is kept is not asked for");
    }
}
