//! Fingerprints of model files, kept so that gigabytes are hashed once and not at every start.

use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::digest::hex;

/// Hex digits of a fingerprint.
const DIGITS: usize = 64;
/// Fingerprints kept; the oldest goes first.
const MOST_KEPT: usize = 64;
/// Files that were written this long ago or later may be written again without it showing in their dates.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Where fingerprints are kept, each in a file named by what the system says of the files that it is of: their devices,
/// inodes, sizes, and when they and what is said of them changed.
pub(super) struct KeptFingerprints {
    directory: PathBuf,
}

/// Files as they are before they are hashed.
#[derive(PartialEq)]
pub(super) struct Unhashed {
    path: PathBuf,
    last_change: SystemTime,
}

impl KeptFingerprints {
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            directory: cache.join("fingerprints"),
        }
    }

    /// The files at `paths`, of those names; `None` where the system does not tell them apart.
    pub(super) fn of<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, PathBuf)>,
    ) -> Option<Unhashed> {
        let (mut hash, mut last_change) = (Sha256::new(), SystemTime::UNIX_EPOCH);
        for (name, path) in files {
            let facts = fs::metadata(path).ok()?;
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(told_apart(&facts)?);
            last_change = last_change.max(facts.modified().ok()?);
        }
        Some(Unhashed {
            path: self.directory.join(hex(&hash.finalize())),
            last_change,
        })
    }

    /// Keeps the fingerprint of files, unless they may be written again without it showing.
    pub(super) fn keep(&self, files: &Unhashed, fingerprint: &str) {
        let settled = files.last_change.elapsed().is_ok_and(|age| age > UNSETTLED);
        if settled {
            // What cannot be kept is hashed again.
            let _ = self.try_keep(files, fingerprint);
        }
    }

    fn try_keep(&self, files: &Unhashed, fingerprint: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let staged = tempfile::NamedTempFile::new_in(&self.directory)?;
        fs::write(staged.path(), fingerprint)?;
        staged.persist(&files.path)?;
        let entries = fs::read_dir(&self.directory)?.flatten();
        let mut dated: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        dated.sort();
        let surplus = dated.len().saturating_sub(MOST_KEPT);
        dated
            .iter()
            .take(surplus)
            .try_for_each(|(_, path)| fs::remove_file(path))
    }
}

impl Unhashed {
    /// The fingerprint of these files, if it is kept.
    pub(super) fn known(&self) -> Option<String> {
        let text = fs::read_to_string(&self.path).ok()?;
        let is_whole = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_whole.then_some(text)
    }
}

#[cfg(unix)]
fn told_apart(facts: &Metadata) -> Option<Vec<u8>> {
    use std::os::unix::fs::MetadataExt;
    let numbers = [facts.dev(), facts.ino(), facts.size()].map(u64::to_le_bytes);
    let dates = [
        facts.mtime(),
        facts.mtime_nsec(),
        facts.ctime(),
        facts.ctime_nsec(),
    ];
    let dates = dates.map(i64::to_le_bytes);
    Some([numbers.as_flattened(), dates.as_flattened()].concat())
}

#[cfg(not(unix))]
fn told_apart(_: &Metadata) -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn date(path: &Path) {
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(an_hour_ago).unwrap();
    }

    #[test]
    fn what_is_kept_is_of_files_that_have_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        let kept = KeptFingerprints::new(&dir.path().join("cache"));
        let of = || kept.of([("model.onnx", path.clone())]).unwrap();
        assert!(kept.of([("gone", dir.path().join("gone"))]).is_none());
        fs::write(&path, b"weights").unwrap();
        let fingerprint = "a".repeat(DIGITS);
        kept.keep(&of(), &fingerprint);
        assert_eq!(of().known(), None, "it may be written again");
        date(&path);
        kept.keep(&of(), &fingerprint);
        assert_eq!(of().known(), Some(fingerprint.clone()));
        assert_eq!(
            kept.of([("other.onnx", path.clone())]).unwrap().known(),
            None
        );
        // Of the same size and date, and yet another content.
        fs::write(&path, b"Weights").unwrap();
        date(&path);
        assert_eq!(of().known(), None);
        kept.keep(&of(), &fingerprint);
        fs::write(&of().path, b"cut short").unwrap();
        assert_eq!(of().known(), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptFingerprints::new(dir.path());
        for number in 0..MOST_KEPT + 3 {
            let path = dir.path().join(number.to_string());
            fs::write(&path, b"x").unwrap();
            date(&path);
            kept.keep(&kept.of([("x", path)]).unwrap(), &"a".repeat(DIGITS));
        }
        assert_eq!(fs::read_dir(&kept.directory).unwrap().count(), MOST_KEPT);
    }
}
