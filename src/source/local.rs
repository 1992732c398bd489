//! Shards on this machine's file system.

use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use bytes::Bytes;

use super::{
    Listed, Listing, LogFile, ShardFile, TableFolder, TableFormat,
    place::Place,
    table_folder::format_of,
    walk::{Walk, is_hidden, not_a_file},
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

    fn below(&self, name: &str) -> Result<Listing> {
        let mut walk = Walk::default();
        walk.add(Path::new(name))?;
        Ok(walk.finish())
    }

    fn matching(&self, pattern: &str) -> Result<Listing> {
        let failed = |error| {
            Error::usage("read a glob")
                .with("input", pattern)
                .source(error)
        };
        let mut walk = Walk::default();
        if pattern.contains("**") {
            let glob = glob::Pattern::new(pattern).map_err(failed)?;
            walk.add_matching(&glob)?;
            return found(walk.finish(), pattern);
        }
        let matches = glob::glob(pattern).map_err(failed)?;
        for path in matches {
            let path = path.map_err(|error| {
                Error::input("list files")
                    .with("input", pattern)
                    .source(error)
            })?;
            if !is_hidden(&path) {
                walk.add(&path)?;
            }
        }
        found(walk.finish(), pattern)
    }

    fn table_at(&self, name: &str) -> Result<Option<TableFolder>> {
        let format = format_of(Path::new(name)).filter(|it| *it == TableFormat::Delta);
        Ok(format.map(|format| TableFolder {
            format,
            name: name.to_owned(),
        }))
    }

    fn log(&self, name: &str) -> Result<Vec<LogFile>> {
        let mut files = Vec::new();
        let mut folders = vec![(PathBuf::from(name), String::new())];
        let failed = |error| {
            Error::input("list the folder")
                .with("path", name)
                .source(error)
        };
        while let Some((folder, within)) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                // Nothing that a log is made of has another name.
                let Ok(own) = entry.file_name().into_string() else {
                    continue;
                };
                let path = format!("{within}{own}");
                // A file may go while others are looked at.
                let Ok(facts) = std::fs::metadata(entry.path()) else {
                    continue;
                };
                if facts.is_dir() {
                    folders.push((entry.path(), format!("{path}/")));
                } else if facts.is_file() {
                    let mut file = Self::listed(entry.path());
                    file.size_bytes = Some(facts.len());
                    files.push(LogFile {
                        path,
                        file,
                        written_millis: written_millis(&facts),
                    });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn one_of(&self, file: &Listed) -> Option<String> {
        let path = file.path.as_deref()?;
        let facts = std::fs::metadata(path).ok()?;
        // A file of several names is known by its number; where all have one name, some file systems make numbers up.
        hard_linked(&facts).or_else(|| Some(path.canonicalize().ok()?.display().to_string()))
    }

    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>> {
        let failed = |doing: &str, error: io::Error| {
            Error::input(doing).with("shard", &file.name).source(error)
        };
        let path = file.path.as_deref().unwrap_or(Path::new(&file.name));
        let facts = std::fs::metadata(path);
        if facts.is_ok_and(|facts| !facts.is_file() && !facts.is_dir()) {
            return Err(not_a_file(path));
        }
        let opened = File::open(path).map_err(|error| failed("open the shard", error))?;
        let facts = opened.metadata();
        let facts = facts.map_err(|error| failed("read the size of the shard", error))?;
        Ok(Arc::new(LocalFile {
            size_bytes: facts.len(),
            file: opened,
        }))
    }
}

fn found(listing: Listing, pattern: &str) -> Result<Listing> {
    match listing.files.is_empty() {
        true => Err(Error::input("find a file that matches").with("pattern", pattern)),
        false => Ok(listing),
    }
}

/// 0 of a time that is not known, or before 1970.
fn written_millis(facts: &std::fs::Metadata) -> i64 {
    let written = facts.modified().ok();
    let since = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(unix)]
fn hard_linked(facts: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    (facts.nlink() > 1).then(|| format!("{}:{}", facts.dev(), facts.ino()))
}

#[cfg(not(unix))]
fn hard_linked(_: &std::fs::Metadata) -> Option<String> {
    None
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

    fn read_into(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.file, out, start)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Found, Places};

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

    #[cfg(unix)]
    #[test]
    fn a_file_of_several_names_is_read_once_and_told() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("in/sub")).unwrap();
        std::fs::write(at("in/a.parquet"), b"").unwrap();
        std::fs::write(at("in/sub/b.parquet"), b"").unwrap();
        // To the folder itself, to one above, to a folder beside, and two names of a file.
        symlink(at("in"), at("in/again")).unwrap();
        symlink(at(""), at("in/sub/above")).unwrap();
        symlink(at("in/sub"), at("in/twin")).unwrap();
        symlink(at("in/a.parquet"), at("in/c.parquet")).unwrap();
        std::fs::hard_link(at("in/a.parquet"), at("in/d.parquet")).unwrap();
        let found = |inputs: &[PathBuf]| -> Found {
            let inputs: Vec<_> = inputs
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Places::default().find(&inputs).unwrap()
        };
        let names = |found: &Found| -> Vec<String> {
            let named = found.files.iter().map(|file| file.file_name().to_owned());
            named.collect()
        };
        for input in [at("in"), at("in/*"), at("in/**/*.parquet")] {
            let found = found(std::slice::from_ref(&input));
            assert_eq!(names(&found), ["a.parquet", "b.parquet"], "{input:?}");
            assert!(found.notes[0].contains("c.parquet"), "{:?}", found.notes);
        }
        let twice = found(&[
            at("in/d.parquet"),
            at("in/a.parquet"),
            at("in/sub/../d.parquet"),
        ]);
        assert_eq!(names(&twice), ["d.parquet"]);
        let copy = at("in/e.parquet");
        std::fs::copy(at("in/a.parquet"), copy).unwrap();
        assert_eq!(
            names(&found(&[at("in")])).len(),
            3,
            "a copy is another file"
        );
    }

    #[test]
    fn files_that_are_parquet_under_another_name_are_told_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let whole = b"PAR1........PAR1";
        for name in ["a.parquet", "b.pq", "c.PARQUET", "d.parquet.zstd"] {
            std::fs::write(at(name), whole).unwrap();
        }
        std::fs::write(at("e.bak"), whole).unwrap();
        std::fs::write(at("f"), b"PARE........PARE").unwrap();
        std::fs::write(at("half.tmp"), b"PAR1............").unwrap();
        std::fs::write(at("picture.jpg"), whole).unwrap();
        let input = [dir.path().display().to_string()];
        let found = Places::default().find(&input).unwrap();
        assert_eq!(found.files.len(), 4);
        assert_eq!(found.notes.len(), 1);
        let note = &found.notes[0];
        assert!(note.starts_with("left out 2 files"), "{note}");
        assert!(note.contains("e.bak") && !note.contains("half") && !note.contains("jpg"));
        for name in ["a.parquet", "b.pq", "c.PARQUET", "d.parquet.zstd"] {
            std::fs::remove_file(at(name)).unwrap();
        }
        let error = Places::default().find(&input).unwrap_err().report();
        assert!(error.contains("Parquet under another name"), "{error}");
    }

    #[test]
    fn files_of_a_table_are_refused_unless_the_caller_insists() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir_all(at("lake/table/_delta_log")).unwrap();
        std::fs::create_dir_all(at("lake/table/day=1")).unwrap();
        std::fs::write(at("lake/table/day=1/a.parquet"), b"").unwrap();
        for input in [
            "lake",
            "lake/table",
            "lake/table/day=1",
            "lake/table/day=1/*.parquet",
            "lake/table/day={1,2}/a.parquet",
            "lake/table/day=1/a.parquet",
        ] {
            let inputs = [at(input).replace("{1,2}", "{1,1}")];
            let refused = Places::default().find(&inputs).unwrap_err().report();
            assert!(refused.contains("a Delta table"), "{input}: {refused}");
            assert!(refused.contains("--no-table"), "{refused}");
            let insisted = Places::default().with_loose_tables().find(&inputs).unwrap();
            assert_eq!(insisted.files.len(), 1, "{input}");
            assert!(insisted.notes[0].contains("a Delta table"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_named_pipe_is_refused_before_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("p.parquet");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for input in [pipe.as_path(), dir.path()] {
            let error = expand(&[input.display().to_string()]).unwrap_err().report();
            assert!(error.contains("read from its end"), "{error}");
        }
        assert!(crate::source::Location::local(&pipe).open().is_err());
    }
}
