use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Most paths that one brace pattern may stand for.
const MAX_BRACE_PATHS: usize = 1_000_000;

/// The Parquet files that `inputs` name, in a stable order: arguments as given, files sorted within each.
///
/// An argument is a file, a directory (read to any depth, names that start with `.` or `_` skipped), a
/// glob (`*`, `?`, `[..]`) or holds brace ranges and lists (`part-{00000..00127}.parquet`, `{a,b}.parquet`).
///
/// # Errors
/// When an argument names nothing, or is a URL.
pub fn expand(inputs: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        if input.contains("://") {
            return Err(Error::usage("read a URL as a shard")
                .with("input", input)
                .hint("download or mount it first; this version reads local paths"));
        }
        // A file whose own name holds a brace or a star is taken literally.
        if Path::new(input).exists() {
            push_path(Path::new(input), &mut files)?;
            continue;
        }
        for pattern in expand_braces(input)? {
            push_pattern(&pattern, input, &mut files)?;
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn push_pattern(pattern: &str, input: &str, files: &mut Vec<PathBuf>) -> Result<()> {
    if !pattern.contains(['*', '?', '[']) {
        return push_path(Path::new(pattern), files);
    }
    let matches = glob::glob(pattern).map_err(|error| {
        Error::usage("read a glob")
            .with("input", input)
            .source(error)
    })?;
    let before = files.len();
    for path in matches {
        let path = path.map_err(|error| {
            Error::input("list files")
                .with("input", input)
                .source(error)
        })?;
        if !is_hidden(&path) {
            push_path(&path, files)?;
        }
    }
    if files.len() == before {
        return Err(Error::input("find a file that matches").with("pattern", pattern));
    }
    Ok(())
}

fn push_path(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let facts = std::fs::metadata(path).map_err(|error| {
        Error::input("open the input")
            .with("path", path.display())
            .source(error)
    })?;
    if !facts.is_dir() {
        files.push(path.to_path_buf());
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

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
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
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(['.', '_']))
}

/// Every text that the braces of `pattern` stand for: `{3..5}`, `{007..010}`, `{a,b}`, nested by position.
fn expand_braces(pattern: &str) -> Result<Vec<String>> {
    let Some((before, body, after)) = first_brace(pattern) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let choices = brace_choices(body, pattern)?;
    let mut texts = Vec::new();
    for tail in expand_braces(after)? {
        for choice in &choices {
            texts.push(format!("{before}{choice}{tail}"));
        }
    }
    if texts.len() > MAX_BRACE_PATHS {
        return Err(too_many(pattern));
    }
    texts.sort();
    Ok(texts)
}

fn first_brace(pattern: &str) -> Option<(&str, &str, &str)> {
    let open = pattern.find('{')?;
    let close = open + pattern[open..].find('}')?;
    Some((
        &pattern[..open],
        &pattern[open + 1..close],
        &pattern[close + 1..],
    ))
}

fn brace_choices(body: &str, pattern: &str) -> Result<Vec<String>> {
    let Some((first, last)) = body.split_once("..") else {
        return Ok(body.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| {
        text.parse::<u64>().map_err(|error| {
            Error::usage("read a brace range")
                .with("pattern", pattern)
                .with("bound", text)
                .source(error)
        })
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(Error::usage("read a brace range: it counts down").with("pattern", pattern));
    }
    if to - from >= MAX_BRACE_PATHS as u64 {
        return Err(too_many(pattern));
    }
    // {00000..00127} keeps its zeros, {8..12} has none.
    let digits = if first.len() == last.len() {
        first.len()
    } else {
        0
    };
    Ok((from..=to)
        .map(|value| format!("{value:0digits$}"))
        .collect())
}

fn too_many(pattern: &str) -> Error {
    Error::usage(format!(
        "expand a pattern that stands for over {MAX_BRACE_PATHS} paths"
    ))
    .with("pattern", pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brace_ranges_keep_their_zeros() {
        assert_eq!(
            expand_braces("p-{098..101}.parquet").unwrap(),
            [
                "p-098.parquet",
                "p-099.parquet",
                "p-100.parquet",
                "p-101.parquet"
            ]
        );
        assert_eq!(
            expand_braces("{a,b}/{1..2}").unwrap(),
            ["a/1", "a/2", "b/1", "b/2"]
        );
        assert_eq!(expand_braces("plain").unwrap(), ["plain"]);
    }

    #[test]
    fn brace_ranges_that_make_no_sense_are_refused() {
        for pattern in ["{5..1}", "{a..b}", "{0..99999999999}"] {
            assert!(expand_braces(pattern).is_err(), "{pattern}");
        }
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
