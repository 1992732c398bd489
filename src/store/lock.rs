//! A lock on a directory, for as long as its owner lives.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

use crate::error::{Error, Result};

const LOCK: &str = "lock";
/// How long a lock is asked for before it is said to be another process's: a look at it, or a process that is just
/// being started and has not closed what it inherited, holds one for a moment.
const FOR_ITS_OWNER: Patience = Patience {
    tries: 50,
    pause: Duration::from_millis(10),
};
/// The same for a lock that many processes hold for moments, one after the other.
const FOR_ITS_TURN: Patience = Patience {
    tries: 3000,
    pause: Duration::from_millis(10),
};

/// How often a lock is asked for, and how long is waited between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) tries: u32,
    pub(super) pause: Duration,
}

/// A lock on a directory that the system takes back when its owner dies, however that happens.
#[derive(Debug)]
pub struct DirLock {
    /// Unlocked when it is closed.
    _file: Option<File>,
    is_writers: bool,
}

impl DirLock {
    /// For a writer: nobody else may read or write meanwhile.
    ///
    /// # Errors
    /// When another process holds it, or the directory cannot be written to.
    pub fn exclusive(directory: &Path) -> Result<Self> {
        Self::exclusive_with(directory, FOR_ITS_OWNER)
    }

    /// As [`DirLock::exclusive`], and waits its turn where all hold it for moments only.
    ///
    /// # Errors
    /// As [`DirLock::exclusive`].
    pub(super) fn briefly(directory: &Path) -> Result<Self> {
        Self::exclusive_with(directory, FOR_ITS_TURN)
    }

    fn exclusive_with(directory: &Path, patience: Patience) -> Result<Self> {
        let path = directory.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| {
                Error::output("lock the directory")
                    .with("directory", directory.display())
                    .source(error)
                    .hint("choose a directory you may write to")
            })?;
        let locked = patience.ask(|| file.try_lock());
        Self::held(locked, file, directory).map(|lock| Self {
            is_writers: true,
            ..lock
        })
    }

    /// For a reader: others may read too. A directory that never was locked needs no lock.
    ///
    /// # Errors
    /// When another process writes there.
    pub fn shared(directory: &Path) -> Result<Self> {
        match File::open(directory.join(LOCK)) {
            Ok(file) => {
                let locked = FOR_ITS_OWNER.ask(|| file.try_lock_shared());
                Self::held(locked, file, directory)
            }
            Err(_) => Ok(Self::none()),
        }
    }

    /// For who only looks: nobody is kept from anything.
    pub(super) fn none() -> Self {
        Self {
            _file: None,
            is_writers: false,
        }
    }

    /// True for a lock that [`DirLock::exclusive`] gave.
    pub(super) fn is_writers(&self) -> bool {
        self.is_writers
    }

    /// True if a writer holds the directory.
    ///
    /// The lock that finds this out is let go at once.
    pub(super) fn is_exclusive(directory: &Path) -> bool {
        File::open(directory.join(LOCK))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn held(locked: Result<(), TryLockError>, file: File, directory: &Path) -> Result<Self> {
        match locked {
            Ok(()) => Ok(Self {
                _file: Some(file),
                is_writers: false,
            }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::output("lock the directory: another process uses it")
                    .with("directory", directory.display())
                    .hint("wait until it has ended, or use another directory"))
            }
            // Some network file systems cannot; then nothing watches over two processes.
            Err(TryLockError::Error(_)) => Ok(Self::none()),
        }
    }
}

impl Patience {
    /// Asks for a lock until it is given, or the patience is at its end.
    pub(super) fn ask(
        self,
        lock: impl Fn() -> std::result::Result<(), TryLockError>,
    ) -> std::result::Result<(), TryLockError> {
        for _ in 1..self.tries {
            match lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(self.pause),
                decided => return decided,
            }
        }
        lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writer_or_many_readers() {
        let dir = tempfile::tempdir().unwrap();
        let writer = DirLock::exclusive(dir.path()).unwrap();
        assert!(DirLock::exclusive(dir.path()).is_err());
        assert!(DirLock::shared(dir.path()).is_err());
        drop(writer);
        let readers = (
            DirLock::shared(dir.path()).unwrap(),
            DirLock::shared(dir.path()).unwrap(),
        );
        let error = DirLock::exclusive(dir.path()).unwrap_err().report();
        assert!(error.contains("another process uses it"), "{error}");
        drop(readers);
        DirLock::exclusive(dir.path()).unwrap();
    }
}
