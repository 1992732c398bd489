//! The image bytes of a row, from its column or from a file beside the shard.

use std::{
    io::Read,
    path::{Component, Path, PathBuf},
};

use crate::{schema::Status, secrets};

/// Why a row cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Its outcome.
    pub status: Status,
    /// The reason, for a person; it holds no secret.
    pub reason: String,
}

impl RowFault {
    /// A fault of `status` with a reason.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: secrets::in_text(&reason.into()),
        }
    }
}

/// Which files an image column's `path` may name.
#[derive(Debug, Clone)]
pub struct PathPolicy {
    /// The directory of each shard, by shard position; `None` for a shard that is in none.
    pub directories: Vec<Option<PathBuf>>,
    /// Allows absolute paths, `..` and links out of the shard's directory.
    pub allow_external: bool,
    /// Largest file that is taken for an image: see [`largest_file`].
    pub max_bytes: u64,
}

/// Most bytes of a file that holds an image of `max_pixels`: four 32-bit samples a pixel, and 16 MiB of what is not pixels.
///
/// No memory limit is part of it, so that a row is good or bad whatever the machine has.
pub fn largest_file(max_pixels: u64) -> u64 {
    max_pixels.saturating_mul(16).saturating_add(16 << 20)
}

/// A file that a row names and may name.
#[derive(Debug)]
pub struct ImageFile<'a> {
    /// As the row has it.
    pub name: &'a str,
    path: PathBuf,
    /// Its length when it was found.
    pub bytes: u64,
}

impl PathPolicy {
    /// Finds the image file that a row of `shard` names.
    ///
    /// # Errors
    /// `PathRefused` where the policy forbids the path, `UnreadablePath` where there is no such file or it is too large.
    pub fn find<'a>(&self, shard: u32, name: &'a str) -> Result<ImageFile<'a>, RowFault> {
        if name.contains("://") {
            return Err(refused(name, "URLs are never fetched"));
        }
        let directory = usize::try_from(shard)
            .ok()
            .and_then(|shard| self.directories.get(shard)?.as_ref())
            .ok_or_else(|| refused(name, "its shard has no directory"))?;
        let path = if self.allow_external {
            directory.join(name)
        } else {
            inside(directory, name)?
        };
        // Asked before opening: opening a named pipe would wait for its writer.
        let found = std::fs::metadata(&path).map_err(|error| unreadable(name, error))?;
        if !found.is_file() {
            return Err(unreadable(name, "not a regular file"));
        }
        if found.len() > self.max_bytes {
            let most = format!(
                "larger than {} bytes, which is more than an image of --max-pixels takes",
                self.max_bytes
            );
            return Err(unreadable(name, most));
        }
        Ok(ImageFile {
            name,
            path,
            bytes: found.len(),
        })
    }
}

impl ImageFile<'_> {
    /// What the file holds.
    ///
    /// # Errors
    /// `UnreadablePath` where reading fails, or more is read than the file had.
    pub fn read(&self) -> Result<Vec<u8>, RowFault> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0) + 1);
        let read = std::fs::File::open(&self.path)
            .and_then(|file| file.take(self.bytes + 1).read_to_end(&mut bytes));
        match read {
            Err(error) => Err(unreadable(self.name, error)),
            Ok(read) if read as u64 > self.bytes => {
                Err(unreadable(self.name, "it grew while it was read"))
            }
            Ok(_) => Ok(bytes),
        }
    }
}

fn unreadable(name: &str, why: impl std::fmt::Display) -> RowFault {
    RowFault::new(
        Status::UnreadablePath,
        format!("cannot read '{name}': {why}"),
    )
}

/// `path` below `directory`, with every link followed; refused where that leads out.
fn inside(directory: &Path, path: &str) -> Result<PathBuf, RowFault> {
    let relative = Path::new(path);
    if relative
        .components()
        .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(refused(
            path,
            "absolute paths and '..' need --allow-external-paths",
        ));
    }
    let real = |found: std::io::Result<PathBuf>| found.map_err(|error| unreadable(path, error));
    let root = real(directory.canonicalize())?;
    let resolved = real(root.join(relative).canonicalize())?;
    if !resolved.starts_with(&root) {
        return Err(refused(
            path,
            "a link leads out of the shard's directory; that needs --allow-external-paths",
        ));
    }
    Ok(resolved)
}

fn refused(path: &str, why: &str) -> RowFault {
    RowFault::new(Status::PathRefused, format!("'{path}' is not read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(directory: &Path) -> PathPolicy {
        PathPolicy {
            directories: vec![Some(directory.to_path_buf())],
            allow_external: false,
            max_bytes: 100,
        }
    }

    fn read(policy: &PathPolicy, name: &str) -> Result<Vec<u8>, RowFault> {
        policy.find(0, name)?.read()
    }

    #[test]
    fn only_files_below_the_shard_are_read() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), b"no").unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/a.jpg"), b"yes").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("sub/a.jpg", dir.path().join("inner")).unwrap();
        let policy = policy(dir.path());
        assert_eq!(read(&policy, "sub/a.jpg").unwrap(), b"yes");
        assert_eq!(read(&policy, "./sub/a.jpg").unwrap(), b"yes");
        assert_eq!(read(&policy, "inner").unwrap(), b"yes");
        let absolute = outside.path().join("secret");
        for path in [
            "sub/../../x",
            "/etc/hostname",
            "link",
            "http://h/a.jpg",
            absolute.to_str().unwrap(),
        ] {
            assert_eq!(
                read(&policy, path).unwrap_err().status,
                Status::PathRefused,
                "{path}"
            );
        }
        for path in ["missing", "sub", ""] {
            assert_eq!(
                read(&policy, path).unwrap_err().status,
                Status::UnreadablePath,
                "{path}"
            );
        }
        let open = PathPolicy {
            allow_external: true,
            ..policy
        };
        assert_eq!(read(&open, absolute.to_str().unwrap()).unwrap(), b"no");
        assert_eq!(
            read(&open, "http://h/a.jpg").unwrap_err().status,
            Status::PathRefused
        );
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("big"), [0; 101]).unwrap();
        assert_eq!(
            read(&policy(dir.path()), "big").unwrap_err().status,
            Status::UnreadablePath
        );
    }

    #[test]
    fn a_file_that_grows_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), [0; 10]).unwrap();
        let policy = policy(dir.path());
        let found = policy.find(0, "log").unwrap();
        std::fs::write(dir.path().join("log"), [0; 11]).unwrap();
        assert_eq!(found.read().unwrap_err().status, Status::UnreadablePath);
    }
}
