//! Shards on this machine's file system.

use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Listed, ShardFile,
    places::{Place, is_set_aside, is_shard_name},
};
use crate::error::{Error, Result};

/// This machine's file system.
#[derive(Debug)]
pub(super) struct LocalFiles;

impl LocalFiles {
    pub(super) fn listed(path: PathBuf) -> Listed {
        Listed {
            name: path.display().to_string(),
            path: Some(path),
            size_bytes: None,
            version: None,
        }
    }
}

impl Place for LocalFiles {
    fn at(&self, name: &str) -> Listed {
        Self::listed(PathBuf::from(name))
    }

    fn exists(&self, file: &Listed) -> bool {
        file.path.as_ref().is_some_and(|path| path.exists())
    }

    fn below(&self, name: &str) -> Result<Vec<Listed>> {
        let mut files = Vec::new();
        push_path(Path::new(name), &mut files)?;
        Ok(files)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<Listed>> {
        let matches = glob::glob(pattern).map_err(|error| {
            Error::usage("read a glob")
                .with("input", pattern)
                .source(error)
        })?;
        let mut files = Vec::new();
        for path in matches {
            let path = path.map_err(|error| {
                Error::input("list files")
                    .with("input", pattern)
                    .source(error)
            })?;
            if !is_hidden(&path) {
                push_path(&path, &mut files)?;
            }
        }
        match files.is_empty() {
            true => Err(Error::input("find a file that matches").with("pattern", pattern)),
            false => Ok(files),
        }
    }

    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>> {
        let failed = |doing: &str, error: io::Error| {
            Error::input(doing).with("shard", &file.name).source(error)
        };
        let path = file.path.as_deref().unwrap_or(Path::new(&file.name));
        let opened = File::open(path).map_err(|error| failed("open the shard", error))?;
        let facts = opened.metadata();
        let facts = facts.map_err(|error| failed("read the size of the shard", error))?;
        Ok(Arc::new(LocalFile {
            size_bytes: facts.len(),
            file: opened,
        }))
    }
}

/// An open file, read by position: several readers share one handle.
#[derive(Debug)]
struct LocalFile {
    file: File,
    size_bytes: u64,
}

impl ShardFile for LocalFile {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let len =
            usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        read_exact_at(&self.file, &mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut start: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                start += read as u64;
            }
        }
    }
    Ok(())
}

fn push_path(path: &Path, files: &mut Vec<Listed>) -> Result<()> {
    let facts = std::fs::metadata(path).map_err(|error| {
        Error::input("open the input")
            .with("path", path.display())
            .source(error)
    })?;
    if !facts.is_dir() {
        files.push(LocalFiles::listed(path.to_path_buf()));
        return Ok(());
    }
    let before = files.len();
    walk(path, files)?;
    if files.len() == before {
        return Err(Error::input("find a *.parquet file in the directory")
            .with("path", path.display())
            .hint("files whose names start with '.' or '_' are skipped"));
    }
    Ok(())
}

fn walk(directory: &Path, files: &mut Vec<Listed>) -> Result<()> {
    let failed = |error| {
        Error::input("list the directory")
            .with("path", directory.display())
            .source(error)
    };
    let mut entries = std::fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(failed)?;
    entries.sort();
    for path in entries {
        if is_hidden(&path) {
            continue;
        }
        if path.is_dir() {
            walk(&path, files)?;
        } else if has_shard_name(&path) {
            files.push(LocalFiles::listed(path));
        }
    }
    Ok(())
}

/// By the name as it is shown: one that is no text can end as a shard's does, too.
fn has_shard_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    is_shard_name(&name.to_string_lossy())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(is_set_aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Places;

    fn expand(inputs: &[String]) -> Result<Vec<PathBuf>> {
        let found = Places::default().expand(inputs)?;
        let paths = found.iter().filter_map(|file| file.path());
        Ok(paths.map(Path::to_path_buf).collect())
    }

    #[test]
    fn directories_skip_hidden_names_and_sort() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.parquet",
            "a.parquet",
            "_x.parquet",
            ".y.parquet",
            "note.txt",
        ] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        std::fs::create_dir(dir.path().join("c")).unwrap();
        std::fs::write(dir.path().join("c/d.parquet"), b"").unwrap();
        let files = expand(&[dir.path().to_str().unwrap().to_owned()]).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|f| f.strip_prefix(dir.path()).unwrap())
            .collect();
        assert_eq!(
            names,
            [
                Path::new("a.parquet"),
                Path::new("b.parquet"),
                Path::new("c/d.parquet")
            ]
        );
    }

    #[test]
    fn nothing_found_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| vec![dir.path().join(name).to_str().unwrap().to_owned()];
        assert!(expand(&path("")).is_err());
        assert!(expand(&path("*.parquet")).is_err());
        assert!(expand(&path("missing.parquet")).is_err());
        assert!(expand(&["s3://bucket/a.parquet".to_owned()]).is_err());
    }
}
