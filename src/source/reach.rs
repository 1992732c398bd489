//! Whether inputs would take in a file that a run is about to write.

use std::path::{Path, PathBuf, absolute};

use super::{
    braces::expand_braces,
    place::{is_set_aside, is_shard_name},
};

/// A star does not stand for a slash.
pub(super) const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The input, a folder or a glob of this machine's files, that would read `file` if it were there; none for a file that
/// an input names itself.
pub fn input_that_reads<'a>(inputs: &'a [String], file: &Path) -> Option<&'a str> {
    let file = resolved(file);
    let reads = |input: &&String| {
        if Path::new(input.as_str()).exists() {
            return folder_reads(Path::new(input.as_str()), &file);
        }
        let patterns = expand_braces(input).unwrap_or_default();
        patterns.iter().any(|pattern| glob_reads(pattern, &file))
    };
    let mut local = inputs.iter().filter(|input| !input.contains("://"));
    local.find(reads).map(String::as_str)
}

/// As [`input_that_reads`], for an object: its URL, and the URLs of inputs.
pub fn input_that_reads_url<'a>(inputs: &'a [String], url: &str) -> Option<&'a str> {
    let ends = url.match_indices('/').map(|(end, _)| end);
    let within = |end: usize| url.get(end + 1..).unwrap_or_default().split('/');
    let is_read = |end: usize| !within(end).any(is_set_aside);
    let folders: Vec<&str> = ends
        .filter(|&end| is_read(end))
        .map(|end| &url[..end])
        .collect();
    let reads = |pattern: &String| {
        let pattern = pattern.trim_end_matches('/');
        let glob = glob::Pattern::new(pattern);
        let matches = |text: &str| {
            pattern == text
                || glob
                    .as_ref()
                    .is_ok_and(|it| it.matches_with(text, MATCHING))
        };
        folders.iter().any(|folder| matches(folder)) || pattern != url && matches(url)
    };
    let mut far = inputs.iter().filter(|input| input.contains("://"));
    let found = far.find(|input| expand_braces(input).unwrap_or_default().iter().any(reads));
    found.map(String::as_str)
}

fn folder_reads(folder: &Path, file: &Path) -> bool {
    folder.is_dir() && below_reads(&resolved(folder), file)
}

fn glob_reads(pattern: &str, file: &Path) -> bool {
    let full = absolute(pattern).unwrap_or_default();
    let Some(Ok(pattern)) = full.to_str().map(glob::Pattern::new) else {
        return false;
    };
    file.ancestors()
        .filter(|path| pattern.matches_path_with(path, MATCHING))
        .any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !is_set_aside(&name) && (path == file || below_reads(path, file))
        })
}

/// Whether reading `folder` to any depth takes in `file`.
fn below_reads(folder: &Path, file: &Path) -> bool {
    let Ok(within) = file.strip_prefix(folder) else {
        return false;
    };
    let names: Vec<_> = within
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    names.last().is_some_and(|name| is_shard_name(name))
        && !names.iter().any(|name| is_set_aside(name))
}

/// `path` in full, without links as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let full = absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let found = full.ancestors().find_map(|there| {
        let real = there.canonicalize().ok()?;
        Some(real.join(full.strip_prefix(there).ok()?))
    });
    // Joining nothing would end the path with a slash.
    found.map_or(full, |path| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_inputs_take_in_are_found() {
        let inputs = |text: &str| vec!["local".to_owned(), text.to_owned()];
        for (input, url, is_read) in [
            ("s3://b/in", "s3://b/in/x.parquet", true),
            ("s3://b/in/", "s3://b/in/a/x.parquet", true),
            ("s3://b", "s3://b/in/x.parquet", true),
            ("s3://b/in/*", "s3://b/in/a/x.parquet", true),
            ("s3://b/{in,out}", "s3://b/out/x.parquet", true),
            ("s3://b/in", "s3://b/in/_a/x.parquet", false),
            ("s3://b/in", "s3://b/inner/x.parquet", false),
            ("s3://b/in", "s3://c/in/x.parquet", false),
            ("s3://b/in/x.parquet", "s3://b/in/x.parquet", false),
        ] {
            let inputs = inputs(input);
            let found = input_that_reads_url(&inputs, url);
            assert_eq!(found, is_read.then_some(input), "{input} {url}");
        }
    }

    #[test]
    fn folders_and_globs_would_take_in_what_is_written_into_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("in/sub")).unwrap();
        std::fs::write(at("in/a.parquet"), b"").unwrap();
        let reads = |input: &str, file: &str| {
            let inputs = [at(input).display().to_string()];
            input_that_reads(&inputs, &at(file)).is_some()
        };
        for (input, file) in [
            ("in", "in/out.parquet"),
            ("in/", "in/new/deeper/part-00000.parquet"),
            ("in/sub/..", "in/out.PARQUET"),
            ("in/*.parquet", "in/out.parquet"),
            ("in/*", "in/out"),
            ("in/*", "in/kept/part-00000.parquet"),
            ("in/**/*.parquet", "in/kept/part-00000.parquet"),
            ("{in,other}/*.parquet", "other/out.parquet"),
        ] {
            assert!(reads(input, file), "{input} {file}");
        }
        for (input, file) in [
            ("in", "out.parquet"),
            ("in", "inner/out.parquet"),
            ("in", "in/_kept/part-00000.parquet"),
            ("in", "in/.out.parquet"),
            ("in", "in/report.html"),
            ("in/a.parquet", "in/a.parquet"),
            ("in/a.parquet", "in/out.parquet"),
            ("in/*.parquet", "in/kept/part-00000.parquet"),
            ("in/part-*.parquet", "in/kept.parquet"),
            ("in/*", "in/_out"),
        ] {
            assert!(!reads(input, file), "{input} {file}");
        }
        let url = ["s3://bucket/in".to_owned()];
        assert_eq!(input_that_reads(&url, &at("in/out.parquet")), None);
    }
}
