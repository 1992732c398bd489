//! Where a score store is, as a value.

use std::{
    fmt,
    path::{Path, PathBuf},
};

#[cfg(feature = "remote")]
use std::sync::Arc;

#[cfg(feature = "remote")]
use crate::remote::ObjectStores;
use crate::{
    secrets,
    source::{Places, input_that_reads, input_that_reads_url},
};

/// A directory of this machine, or the URL of a folder in an object store; it is shown without credentials.
///
/// A URL is opened by the object stores of [`StoreAt::in_places`]. What a run selected is kept in its store as an output of the run:
/// the places of outputs need object stores, too.
#[derive(Clone)]
pub struct StoreAt {
    place: StorePath,
    #[cfg(feature = "remote")]
    stores: Option<Arc<ObjectStores>>,
}

#[derive(Clone, PartialEq, Eq)]
enum StorePath {
    Local(PathBuf),
    Url(String),
}

impl StoreAt {
    fn new(place: StorePath) -> Self {
        Self {
            place,
            #[cfg(feature = "remote")]
            stores: None,
        }
    }

    /// The same, its URL opened by the object stores that inputs are read from.
    #[cfg(feature = "remote")]
    #[must_use]
    pub fn in_places(self, places: &Places) -> Self {
        Self {
            stores: places.object_stores().cloned().or(self.stores),
            ..self
        }
    }

    /// The same: nothing opens its URL.
    #[cfg(not(feature = "remote"))]
    #[must_use]
    pub fn in_places(self, _: &Places) -> Self {
        self
    }

    /// The directory, if it is one of this machine.
    pub fn local_path(&self) -> Option<&Path> {
        match &self.place {
            StorePath::Local(path) => Some(path),
            StorePath::Url(_) => None,
        }
    }

    /// The URL, as it was given, if it is one.
    pub fn url(&self) -> Option<&str> {
        match &self.place {
            StorePath::Local(_) => None,
            StorePath::Url(url) => Some(url),
        }
    }

    /// The input that would read files of the store as shards.
    pub fn read_by<'a>(&self, inputs: &'a [String]) -> Option<&'a str> {
        let file = self.within("scores/of-a-shard.parquet");
        match &file.place {
            StorePath::Local(path) => input_that_reads(inputs, path),
            StorePath::Url(url) => input_that_reads_url(inputs, url),
        }
    }

    /// What is called `name` in it.
    pub(super) fn within(&self, name: &str) -> Self {
        let mut within = self.clone();
        within.place = match &self.place {
            StorePath::Local(path) => StorePath::Local(path.join(name)),
            StorePath::Url(url) => StorePath::Url(format!("{}/{name}", url.trim_end_matches('/'))),
        };
        within
    }

    #[cfg(feature = "remote")]
    pub(super) fn stores(&self) -> Option<&Arc<ObjectStores>> {
        self.stores.as_ref()
    }
}

impl PartialEq for StoreAt {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for StoreAt {}

impl fmt::Display for StoreAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            StorePath::Local(path) => path.display().fmt(f),
            StorePath::Url(url) => f.write_str(&secrets::without_credentials(url)),
        }
    }
}

impl fmt::Debug for StoreAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PathBuf> for StoreAt {
    fn from(path: PathBuf) -> Self {
        match path.to_str().filter(|text| is_url(text)) {
            Some(url) => Self::new(StorePath::Url(url.to_owned())),
            None => Self::new(StorePath::Local(path)),
        }
    }
}

impl From<&Path> for StoreAt {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}

impl From<&PathBuf> for StoreAt {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<&str> for StoreAt {
    fn from(text: &str) -> Self {
        PathBuf::from(text).into()
    }
}

impl From<&String> for StoreAt {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for StoreAt {
    fn from(text: String) -> Self {
        PathBuf::from(text).into()
    }
}

impl From<&StoreAt> for StoreAt {
    fn from(at: &StoreAt) -> Self {
        at.clone()
    }
}

/// Whether a scheme and `://` come first.
fn is_url(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_makes_a_url_and_it_is_shown_without_credentials() {
        for local in ["scores", "/data/scores/", "a:b", "dir/a://x"] {
            let at = StoreAt::from(local);
            assert_eq!(at.local_path(), Some(Path::new(local)));
            assert_eq!(at.to_string(), local);
        }
        let at = StoreAt::from(Path::new("s3://key:secret@bucket/scores/"));
        assert_eq!(at.url(), Some("s3://key:secret@bucket/scores/"));
        let shown = format!("{at} {at:?}");
        assert!(
            !shown.contains("secret") && shown.contains("bucket/scores"),
            "{shown}"
        );
        let file = at.within("state/selection.bin");
        assert_eq!(
            file.url(),
            Some("s3://key:secret@bucket/scores/state/selection.bin")
        );
    }
}
