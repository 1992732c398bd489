//! Where an output goes, as a value made from what the user typed: a path of this machine, or a URL of some scheme.

use std::{
    fmt,
    path::{Path, PathBuf, absolute},
};

use serde::{Deserialize, Serialize, Serializer};

use super::local::{parent, part_name};
use crate::{
    secrets,
    source::{Location, names_parquet},
    store::StoreAt,
};

/// Endings of files that are no Parquet: who names one does not expect a directory, or Parquet under that name.
const OTHER_ENDINGS: [&str; 38] = [
    "arrow",
    "arrows",
    "avro",
    "bz2",
    "csv",
    "db",
    "duckdb",
    "feather",
    "gz",
    "h5",
    "hdf5",
    "html",
    "ipc",
    "json",
    "jsonl",
    "lance",
    "md",
    "ndjson",
    "npy",
    "npz",
    "orc",
    "pickle",
    "pkl",
    "pt",
    "safetensors",
    "sqlite",
    "tar",
    "tfrecord",
    "tgz",
    "tsv",
    "txt",
    "xls",
    "xlsx",
    "xml",
    "yaml",
    "zip",
    "zst",
    "zstd",
];

/// A path of this machine or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputPath {
    /// A path of this machine.
    Local(PathBuf),
    /// `scheme://` and what follows; it is written and shown without credentials.
    Url(#[serde(serialize_with = "without_credentials")] String),
}

impl OutputPath {
    /// The path, if it is one of this machine.
    pub fn local_path(&self) -> Option<&Path> {
        match self {
            OutputPath::Local(path) => Some(path),
            OutputPath::Url(_) => None,
        }
    }

    /// The directory that it lies in, if that is one of this machine.
    pub fn parent(&self) -> Option<&Path> {
        self.local_path().map(parent)
    }

    /// The last part of its name, without credentials.
    pub fn last_name(&self) -> String {
        match self {
            OutputPath::Local(path) => {
                let name = path.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
            OutputPath::Url(_) => {
                let url = self.to_string();
                let name = url.trim_end_matches('/').rsplit('/').next();
                name.unwrap_or_default().to_owned()
            }
        }
    }

    /// What stands before `://`; `None` for a path.
    pub fn scheme(&self) -> Option<&str> {
        match self {
            OutputPath::Local(_) => None,
            OutputPath::Url(url) => scheme(url),
        }
    }

    /// True if this is `other`, or lies within it.
    pub fn is_within(&self, other: &OutputPath) -> bool {
        let place = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_path_buf());
        match (self, other) {
            (OutputPath::Local(path), OutputPath::Local(other)) => {
                place(path).starts_with(place(other))
            }
            (OutputPath::Url(url), OutputPath::Url(other)) => {
                let rest = url.strip_prefix(other.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => false,
        }
    }

    /// True if its name ends as that of a shard does: `.parquet`, `.pq`.
    fn is_named_parquet(&self) -> bool {
        let name = self.as_path().file_name().unwrap_or_default();
        names_parquet(&name.to_string_lossy())
    }

    /// The ending of another kind of file, where the name has one and no directory is meant.
    pub fn other_ending(&self) -> Option<String> {
        let path = self.as_path();
        let is_directory = self.local_path().is_some_and(Path::is_dir);
        if is_directory || path.as_os_str().to_string_lossy().ends_with('/') {
            return None;
        }
        let ending = path.extension()?.to_string_lossy().to_lowercase();
        OTHER_ENDINGS.contains(&ending.as_str()).then_some(ending)
    }

    fn as_path(&self) -> &Path {
        match self {
            OutputPath::Local(path) => path,
            OutputPath::Url(url) => Path::new(url),
        }
    }
}

fn without_credentials<S: Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&secrets::without_credentials(url))
}

/// What stands before `://`, if it is the name of a scheme.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let known = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(known);
    named.then_some(scheme)
}

impl From<&StoreAt> for OutputPath {
    fn from(at: &StoreAt) -> Self {
        match (at.local_path(), at.url()) {
            (Some(path), _) => path.into(),
            (None, url) => url.unwrap_or_default().into(),
        }
    }
}

impl From<&str> for OutputPath {
    fn from(text: &str) -> Self {
        match scheme(text) {
            Some(_) => OutputPath::Url(text.to_owned()),
            None => OutputPath::Local(text.into()),
        }
    }
}

impl From<String> for OutputPath {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Path> for OutputPath {
    fn from(path: &Path) -> Self {
        // A name that is no text is no URL.
        path.to_str()
            .map_or_else(|| OutputPath::Local(path.to_path_buf()), OutputPath::from)
    }
}

impl From<&Location> for OutputPath {
    /// Where an input lies.
    fn from(location: &Location) -> Self {
        match location.path() {
            Some(path) => path.into(),
            None => OutputPath::Url(location.listed().name.clone()),
        }
    }
}

impl From<PathBuf> for OutputPath {
    fn from(path: PathBuf) -> Self {
        path.as_path().into()
    }
}

impl fmt::Display for OutputPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputPath::Local(path) => path.display().fmt(f),
            OutputPath::Url(url) => f.write_str(&secrets::without_credentials(url)),
        }
    }
}

/// A place for a result, and whether it takes one file there or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// One file.
    File(OutputPath),
    /// A directory of `part-*.parquet`.
    Directory(OutputPath),
}

impl Destination {
    /// A name that ends in `.parquet` or `.pq` is a file; anything else, and an existing directory, is a directory.
    pub fn of(path: OutputPath) -> Self {
        let is_directory = path.local_path().is_some_and(Path::is_dir);
        if path.is_named_parquet() && !is_directory {
            Destination::File(path)
        } else {
            Destination::Directory(path)
        }
    }

    /// One file at `path`.
    pub fn file(path: impl Into<OutputPath>) -> Self {
        Destination::File(path.into())
    }

    /// The place as given.
    pub fn path(&self) -> &OutputPath {
        match self {
            Destination::File(path) | Destination::Directory(path) => path,
        }
    }

    /// The file that is written first, where it lies on this machine; parts have this `ending`.
    pub fn first_file(&self, ending: &str) -> Option<PathBuf> {
        match self {
            Destination::File(path) => path.local_path().map(Path::to_path_buf),
            Destination::Directory(path) => Some(path.local_path()?.join(part_name(0, ending))),
        }
    }

    /// True if the result may be cut into several files.
    pub fn takes_parts(&self) -> bool {
        matches!(self, Destination::Directory(_))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_makes_a_url_and_nothing_else_does() {
        let cases = [
            ("out.parquet", None),
            ("/tmp/kept", None),
            ("a:b", None),
            ("://x", None),
            ("a b://x", None),
            ("dir/a://x", None),
            ("s3://bucket/kept", Some("s3")),
            ("mem://out.parquet", Some("mem")),
            ("a+b.c-d://x", Some("a+b.c-d")),
        ];
        for (text, scheme) in cases {
            let path = OutputPath::from(text);
            assert_eq!(path.scheme(), scheme, "{text}");
            assert_eq!(path.local_path().is_some(), scheme.is_none(), "{text}");
            assert_eq!(path.to_string(), text);
            assert_eq!(OutputPath::from(Path::new(text)), path);
        }
    }

    #[test]
    fn the_name_says_whether_it_is_one_file() {
        let is_file = |text: &str| !Destination::of(text.into()).takes_parts();
        assert!(is_file("no/such/a.parquet") && is_file("mem://b/a.parquet"));
        assert!(!is_file("no/such/kept") && !is_file("mem://b/kept"));
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join("a.parquet");
        std::fs::create_dir(&named).unwrap();
        assert!(Destination::of(named.into()).takes_parts());
    }

    #[test]
    fn endings_of_other_files_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let ending = |text: &str| OutputPath::from(text).other_ending();
        assert_eq!(ending("out.csv").as_deref(), Some("csv"));
        assert_eq!(ending("s3://b/kept.TAR").as_deref(), Some("tar"));
        for name in ["kept", "kept.csv/", "kept-0.3", "v1.2", "a.parquet", "a.PQ"] {
            assert_eq!(ending(name), None, "{name}");
        }
        let named = dir.path().join("kept.csv");
        std::fs::create_dir(&named).unwrap();
        assert_eq!(OutputPath::from(named).other_ending(), None);
        let is_file = |text: &str| !Destination::of(text.into()).takes_parts();
        assert!(is_file("a.pq") && is_file("a.PARQUET"));
        assert!(is_file("a.zstd.parquet") && !is_file("a.parquet/b"));
    }

    #[test]
    fn what_lies_within_is_known() {
        let within = |a: &str, b: &str| OutputPath::from(a).is_within(&b.into());
        assert!(within("out/bad.parquet", "out") && within("./out", "out"));
        assert!(!within("outer", "out") && !within("out", "out/bad.parquet"));
        assert!(within("mem://out/bad", "mem://out/") && within("mem://out", "mem://out"));
        assert!(!within("mem://outer", "mem://out") && !within("mem://out", "out"));
    }

    #[test]
    fn a_url_is_written_and_shown_without_credentials() {
        let url = "https://u:p@h/kept.parquet?X-Amz-Signature=s&x=1";
        let path = OutputPath::from(url);
        let clean = "https://h/kept.parquet?x=1";
        assert_eq!(path.to_string(), clean);
        let json = serde_json::to_string(&path).unwrap();
        assert_eq!(json, format!("{{\"url\":\"{clean}\"}}"));
    }
}
