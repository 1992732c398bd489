//! Who scores which shard: many processes may fill one store, and each shard is the work of one of them.
//!
//! A claim keeps others from doing the same work; it does not keep the store sound. Whoever scores a shard writes the
//! same bytes, so a claim that is lost, or never was, costs time and nothing else.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{files::failed, lock::Patience, names};
use crate::error::Result;

/// The file that is locked, beside the parts of the shard.
const CLAIM: &str = "claim";
/// A look at a claim holds its lock for a moment.
const FOR_A_LOOK: Patience = Patience {
    tries: 3,
    pause: Duration::from_millis(5),
};

/// Gives shards to whoever asks first.
pub trait Claims: fmt::Debug + Send + Sync {
    /// Claims the shard of this name; `None` while somebody else has it.
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>>;

    /// True while somebody has claimed it.
    fn is_claimed(&self, name: &str) -> bool;
}

/// A shard that is claimed, until this is dropped.
pub trait Claim: fmt::Debug + Send + Sync {
    /// Says that the work goes on, where a claim ends by itself.
    fn renew(&self);
}

/// Locks on files, which the system takes back when their owner dies, however that happens.
#[derive(Debug)]
pub(super) struct FileClaims {
    /// Has a folder for each shard in work.
    directory: PathBuf,
}

impl FileClaims {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        names::inside(&self.directory, name).join(CLAIM)
    }
}

impl Claims for FileClaims {
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let path = self.path(name);
        loop {
            let file = create(&path).map_err(|error| failed(&path.display(), error))?;
            match FOR_A_LOOK.ask(|| file.try_lock()) {
                Err(TryLockError::WouldBlock) => return Ok(None),
                // Some network file systems cannot; then nothing watches over two processes.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            // The one before may have removed the file between its opening and its locking here.
            if is_at(&file, &path) {
                return Ok(Some(Box::new(FileClaim { file, path })));
            }
        }
    }

    fn is_claimed(&self, name: &str) -> bool {
        File::open(self.path(name))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Opens the file, and makes it and its folder if they are not there.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    loop {
        match options.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
    }
}

/// True if `path` names the file that is open.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Unlocked when its file is closed.
#[derive(Debug)]
struct FileClaim {
    file: File,
    path: PathBuf,
}

impl Claim for FileClaim {
    fn renew(&self) {}
}

impl Drop for FileClaim {
    fn drop(&mut self) {
        if !is_at(&self.file, &self.path) {
            return;
        }
        // A leftover is claimed like a new one; a folder with parts stays.
        let _ = std::fs::remove_file(&self.path);
        if let Some(folder) = self.path.parent() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_claimed_once_and_again_when_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let claims = FileClaims::new(dir.path().join("parts"));
        let first = claims.claim("a").unwrap().unwrap();
        assert!(claims.claim("a").unwrap().is_none());
        assert!(claims.is_claimed("a") && !claims.is_claimed("b"));
        let other = claims.claim("b").unwrap().unwrap();
        drop(first);
        assert!(!claims.is_claimed("a"));
        assert!(claims.claim("a").unwrap().is_some());
        drop(other);
        assert_eq!(
            std::fs::read_dir(dir.path().join("parts")).unwrap().count(),
            0
        );
    }

    #[test]
    fn a_claim_whose_file_was_removed_leaves_the_next_one_alone() {
        let dir = tempfile::tempdir().unwrap();
        let claims = FileClaims::new(dir.path().to_path_buf());
        let first = claims.claim("a").unwrap().unwrap();
        std::fs::remove_dir_all(dir.path().join("a")).unwrap();
        let second = claims.claim("a").unwrap().unwrap();
        drop(first);
        assert!(claims.is_claimed("a"));
        drop(second);
    }
}
