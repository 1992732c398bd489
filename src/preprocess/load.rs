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
    /// Largest file that is read.
    pub max_bytes: u64,
}

impl PathPolicy {
    /// Reads the image file that a row of `shard` names.
    ///
    /// # Errors
    /// `PathRefused` where the policy forbids the path, `UnreadablePath` where reading fails.
    pub fn read(&self, shard: u32, path: &str) -> Result<Vec<u8>, RowFault> {
        if path.contains("://") {
            return Err(refused(path, "URLs are never fetched"));
        }
        let directory = usize::try_from(shard)
            .ok()
            .and_then(|shard| self.directories.get(shard)?.as_ref())
            .ok_or_else(|| refused(path, "its shard has no directory"))?;
        let resolved = if self.allow_external {
            directory.join(path)
        } else {
            inside(directory, path)?
        };
        read_file(&resolved, self.max_bytes).map_err(|error| {
            RowFault::new(
                Status::UnreadablePath,
                format!("cannot read '{path}': {error}"),
            )
        })
    }
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
    let unreadable = |error| {
        RowFault::new(
            Status::UnreadablePath,
            format!("cannot read '{path}': {error}"),
        )
    };
    let root = directory.canonicalize().map_err(unreadable)?;
    let resolved = root.join(relative).canonicalize().map_err(unreadable)?;
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

fn read_file(path: &Path, max_bytes: u64) -> std::io::Result<Vec<u8>> {
    // Asked before opening: opening a named pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(std::io::Error::other(format!(
            "larger than {max_bytes} bytes"
        )));
    }
    Ok(bytes)
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
        assert_eq!(policy.read(0, "sub/a.jpg").unwrap(), b"yes");
        assert_eq!(policy.read(0, "./sub/a.jpg").unwrap(), b"yes");
        assert_eq!(policy.read(0, "inner").unwrap(), b"yes");
        let absolute = outside.path().join("secret");
        for path in [
            "sub/../../x",
            "/etc/hostname",
            "link",
            "http://h/a.jpg",
            absolute.to_str().unwrap(),
        ] {
            assert_eq!(
                policy.read(0, path).unwrap_err().status,
                Status::PathRefused,
                "{path}"
            );
        }
        for path in ["missing", "sub", ""] {
            assert_eq!(
                policy.read(0, path).unwrap_err().status,
                Status::UnreadablePath,
                "{path}"
            );
        }
        let open = PathPolicy {
            allow_external: true,
            ..policy
        };
        assert_eq!(open.read(0, absolute.to_str().unwrap()).unwrap(), b"no");
        assert_eq!(
            open.read(0, "http://h/a.jpg").unwrap_err().status,
            Status::PathRefused
        );
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("big"), [0; 101]).unwrap();
        assert_eq!(
            policy(dir.path()).read(0, "big").unwrap_err().status,
            Status::UnreadablePath
        );
    }
}
