//! Brings one file of a model into the hub's cache, watched and verified.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use hf_hub::api::{
    Progress,
    sync::{ApiError, ApiRepo},
};

use super::{
    super::fetch::sha256,
    remote::{Hub, Sibling},
};
use crate::{config::ByteSize, error::Result};

/// How long to wait for a hub that does not answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the list of files.
    pub(super) reply: Duration,
    /// For the next bytes of a file.
    pub(super) stall: Duration,
    /// Between two lines of progress.
    pub(super) report: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            reply: seconds(30),
            stall: seconds(60),
            report: seconds(10),
        }
    }
}

/// The client waits 5 s for a lock, so this is half an hour: a large file over a slow line.
const LOCK_ATTEMPTS: u32 = 360;

enum Outcome {
    Done,
    Locked,
}

impl Hub<'_> {
    /// Whether the snapshot has the file already, perhaps by a link to what another commit has fetched.
    pub(super) fn has(&self, commit: &str, sibling: &Sibling) -> bool {
        let path = self.cache.snapshot(commit).join(&sibling.rfilename);
        let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
        if let Some(found) = size(&path) {
            return sibling.size.is_none_or(|expected| expected == found);
        }
        let Some(blob) = sibling.etag().map(|etag| self.cache.blob(etag)) else {
            return false;
        };
        let part = blob.with_extension("part");
        // The client cannot resume a part that is already complete: such a one is fetched anew.
        if size(&part).is_some_and(|found| sibling.size.is_none_or(|expected| found >= expected)) {
            // If it cannot be removed the download fails and says so.
            let _ = fs::remove_file(&part);
        }
        sibling.size.is_some()
            && size(&blob) == sibling.size
            && link(&blob, &path, &sibling.rfilename).is_ok()
    }

    /// Downloads one file, or waits while another process does.
    pub(super) fn obtain(
        &self,
        commit: &str,
        sibling: &Sibling,
        repo: &dyn Fn() -> ApiRepo,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        for attempt in 0..LOCK_ATTEMPTS {
            match self.download(repo(), sibling, say)? {
                Outcome::Done => return self.verify(commit, sibling),
                Outcome::Locked if attempt == 0 => {
                    say(&format!(
                        "  another process is fetching {}: waiting",
                        sibling.rfilename
                    ));
                }
                Outcome::Locked => {}
            }
            if self.has(commit, sibling) {
                return self.verify(commit, sibling);
            }
        }
        Err(self
            .error("fetch a file of the model: another process keeps it locked")
            .with("file", &sibling.rfilename)
            .hint("wait until the other one is done, then try again"))
    }

    /// Downloads one file and watches it: the client itself waits for ever.
    fn download(
        &self,
        repo: ApiRepo,
        sibling: &Sibling,
        say: &mut dyn FnMut(&str),
    ) -> Result<Outcome> {
        let name = &sibling.rfilename;
        let done = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = sync_channel(1); // One answer is ever sent.
        let (file, beat) = (name.clone(), Beat(Arc::clone(&done)));
        // Not joined when it stalls: a blocked read cannot be interrupted. It ends with the process, which
        // has nothing left to do but to report the error.
        thread::Builder::new()
            .name("hub-download".to_owned())
            .spawn(move || sender.send(repo.download_with_progress(&file, beat)))
            .map_err(|error| self.error("start a download").source(error))?;
        let tick = self.patience.stall.min(self.patience.report);
        let (mut seen, mut still) = (0, Duration::ZERO);
        loop {
            match receiver.recv_timeout(tick) {
                Ok(Ok(_)) => return Ok(Outcome::Done),
                Ok(Err(ApiError::LockAcquisition(_))) => return Ok(Outcome::Locked),
                Ok(Err(error)) => return Err(self.broken(name, error)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.error("fetch a file of the model").with("file", name));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = done.load(Ordering::Relaxed);
            still = if now == seen {
                still + tick
            } else {
                Duration::ZERO
            };
            seen = now;
            if still >= self.patience.stall {
                let error = self.unreachable(format!("no byte for {} s", still.as_secs()));
                return Err(error.with("file", name).with("received", ByteSize(now)));
            }
            say(&format!(
                "  {name}: {} of {}",
                ByteSize(now),
                ByteSize(sibling.size.unwrap_or(now))
            ));
        }
    }

    /// Refuses a file that is not what the hub said it is, and forgets it.
    fn verify(&self, commit: &str, sibling: &Sibling) -> Result<()> {
        let path = self.cache.snapshot(commit).join(&sibling.rfilename);
        let fail = |error: io::Error| {
            self.error("read a file of the model")
                .with("path", path.display())
                .source(error)
        };
        let size = fs::metadata(&path).map_err(fail)?.len();
        let (expected, found) = match (&sibling.lfs, sibling.size) {
            (_, Some(expected)) if expected != size => {
                (format!("{expected} bytes"), format!("{size} bytes"))
            }
            (Some(large), _) => (large.sha256.clone(), sha256(&path).map_err(fail)?),
            _ => return Ok(()),
        };
        if expected == found {
            return Ok(());
        }
        // The content first: the link says where it is. A leftover shows again as the same error.
        let _ = fs::canonicalize(&path).and_then(fs::remove_file);
        let _ = fs::remove_file(&path);
        Err(self
            .error("verify a file of the model: it is not what the hub announced")
            .with("file", &sibling.rfilename)
            .with("expected", expected)
            .with("found", found)
            .hint("the download was cut short or altered on its way: try again"))
    }
}

/// Counts the bytes of a download.
struct Beat(Arc<AtomicU64>);

impl Progress for Beat {
    fn init(&mut self, _size: usize, _filename: &str) {}

    fn update(&mut self, size: usize) {
        self.0.fetch_add(size as u64, Ordering::Relaxed);
    }

    fn finish(&mut self) {}
}

/// Links a file of a snapshot to its content, relatively, so that the cache can be moved.
#[cfg(unix)]
fn link(blob: &Path, path: &Path, name: &str) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)?;
    // snapshots/<commit>/<name>: two up, and one more for each directory in the name.
    let mut target: PathBuf = std::iter::repeat_n("..", 2 + name.matches('/').count()).collect();
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    std::os::unix::fs::symlink(target, path)
}

/// Elsewhere links need a privilege: the file is fetched again.
#[cfg(not(unix))]
fn link(_blob: &Path, _path: &Path, _name: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
