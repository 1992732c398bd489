//! Whether inputs would take in a file that a run is about to write.

use std::path::{Path, PathBuf, absolute};

use super::{
    braces::expand_braces,
    places::{is_set_aside, is_shard_name},
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
