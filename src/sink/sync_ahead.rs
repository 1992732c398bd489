//! A file that goes to the disk while more is written to it.

use std::{
    fs::File,
    io::{Error, Result},
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

/// A thread that syncs a file whenever it is asked to.
pub(super) struct SyncAhead {
    asks: SyncSender<()>,
    thread: JoinHandle<Result<()>>,
}

impl SyncAhead {
    /// Begins to sync what there is of `file`.
    pub(super) fn begin(file: File) -> Result<Self> {
        let (asks, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("sync".to_owned());
        let thread = thread.spawn(move || asked.iter().try_for_each(|()| file.sync_data()))?;
        let ahead = Self { asks, thread };
        ahead.ask();
        Ok(ahead)
    }

    /// Asks for what there is now; unless that is still to begin.
    pub(super) fn ask(&self) {
        // A thread that has ended says why at the end.
        let _ = self.asks.try_send(());
    }

    /// Waits for what it was asked for.
    ///
    /// # Errors
    /// What the disk said; it says so only once.
    pub(super) fn end(self) -> Result<()> {
        drop(self.asks);
        let ended = self.thread.join();
        ended.map_err(|_| Error::other("a thread that panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_the_disk_says_comes_out_at_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 1000]).unwrap();
        let ahead = SyncAhead::begin(file).unwrap();
        (0..100).for_each(|_| ahead.ask());
        ahead.end().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_synced_is_an_error_at_the_end() {
        let (reads, _writes) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(reads));
        let ahead = SyncAhead::begin(pipe).unwrap();
        assert!(ahead.end().is_err());
    }
}
