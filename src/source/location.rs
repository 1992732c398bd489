//! Where shards lie: a location is a value that can be shown, compared and opened, whatever place it is in.

use std::{
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ShardBytes, local::LocalFiles, place::Place};
use crate::{error::Result, secrets};

/// A file as its place lists it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listed {
    /// A path as it was given, or a URL: with it the place finds the file.
    pub name: String,
    /// Its path, if it lies on this machine's file system.
    pub path: Option<PathBuf>,
    /// Its size, where the listing says so.
    pub size_bytes: Option<u64>,
    /// What another content of the file would not have (an etag), where the listing says so.
    pub version: Option<String>,
}

impl Listed {
    /// A file of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: None,
            size_bytes: None,
            version: None,
        }
    }
}

/// Where a file is. Nothing is known of the file itself until it is opened.
///
/// A URL is shown, compared and written down without its credentials, and signed anew it is the same file.
#[derive(Clone)]
pub struct Location {
    listed: Listed,
    name: String,
    place: Arc<dyn Place>,
}

impl Location {
    /// A file that `place` lists.
    pub fn new(listed: Listed, place: Arc<dyn Place>) -> Self {
        let name = match &listed.path {
            Some(_) => listed.name.clone(),
            None => secrets::without_credentials(&listed.name),
        };
        Self {
            listed,
            name,
            place,
        }
    }

    /// A file of this machine's file system.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self::new(LocalFiles::listed(path.into()), Arc::new(LocalFiles))
    }

    /// What it is called in messages and outputs, without credentials.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells files apart.
    fn identity(&self) -> (&str, Option<&Path>, Option<u64>, Option<&str>) {
        let Listed { path, version, .. } = &self.listed;
        let size_bytes = self.listed.size_bytes;
        (&self.name, path.as_deref(), size_bytes, version.as_deref())
    }

    /// The last part of the name.
    pub fn file_name(&self) -> &str {
        let name = self.name();
        name.rsplit('/').next().unwrap_or(name)
    }

    /// What it is found by again, from any working directory.
    pub fn address(&self) -> String {
        let absolute = self.path().and_then(|path| std::path::absolute(path).ok());
        absolute.map_or_else(|| self.name.clone(), |path| path.display().to_string())
    }

    /// Its path, if it lies on this machine's file system.
    pub fn path(&self) -> Option<&Path> {
        self.listed.path.as_deref()
    }

    /// The directory that relative image paths start from; `None` where there is none.
    pub fn directory(&self) -> Option<&Path> {
        Some(match self.path()?.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })
    }

    /// What its listing says of it.
    pub fn listed(&self) -> &Listed {
        &self.listed
    }

    /// The same file, of which a listing says this.
    #[must_use]
    pub fn listed_as(self, listed: Listed) -> Self {
        Self { listed, ..self }
    }

    /// Where it lies.
    #[cfg(feature = "delta")]
    pub(crate) fn place(&self) -> Arc<dyn Place> {
        Arc::clone(&self.place)
    }

    /// Whether the file is there.
    pub fn exists(&self) -> bool {
        self.place.exists(&self.listed)
    }

    /// How many files of its place are best opened at a time, where that is a matter of waiting.
    pub(super) fn requests(&self) -> Option<NonZeroUsize> {
        self.place.requests()
    }

    /// Says which files are opened next, in that order: those that are far are asked for, so that each does not wait for
    /// the one before. Of a file that is asked for and not opened only its end is read.
    pub(super) fn ask_ahead<'a>(next: impl Iterator<Item = &'a Self>) {
        let mut next = next.peekable();
        let requests = next.peek().and_then(|first| first.requests());
        for file in next.take(requests.map_or(0, NonZeroUsize::get)) {
            file.place.ask_ahead(&file.listed);
        }
    }

    /// What all names of the file have in common, where it may have several.
    pub(super) fn one_of(&self) -> Option<String> {
        self.place.one_of(&self.listed)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// When it cannot be opened; a place that opens late says so with the first range that is read.
    pub fn open(&self) -> Result<ShardBytes> {
        self.place.open(&self.listed).map(ShardBytes::new)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&self.name()).finish()
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Location {}

impl Hash for Location {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_is_found_again_by_its_absolute_path() {
        let here = std::path::absolute(".").unwrap();
        let file = Location::local("a/b.parquet");
        let absolute = here.join("a/b.parquet").display().to_string();
        assert_eq!(file.address(), absolute);
        assert_eq!(
            (file.name(), file.file_name()),
            ("a/b.parquet", "b.parquet")
        );
        assert_eq!(file.directory(), Some(Path::new("a")));
        let beside = Location::local("b.parquet");
        assert_eq!(beside.directory(), Some(Path::new(".")));
        assert!(!file.exists());
    }

    #[test]
    fn what_lies_on_no_file_system_has_no_directory() {
        let listed = Listed::named("mem://a/b.parquet");
        let file = Location::new(listed, Arc::new(LocalFiles));
        assert_eq!(file.directory(), None);
        assert_eq!(file.address(), "mem://a/b.parquet");
        assert_eq!(file.file_name(), "b.parquet");
    }

    #[test]
    fn a_url_that_is_signed_anew_is_the_same_file() {
        let signed = |by: &str| {
            let url = format!("https://u:p@h/a.parquet?X-Amz-Date={by}&X-Amz-Signature={by}");
            Location::new(Listed::named(url), Arc::new(LocalFiles))
        };
        let (file, again) = (signed("1"), signed("2"));
        assert_eq!(file, again);
        assert_eq!(format!("{file}"), "https://h/a.parquet");
        assert_eq!(file.address(), "https://h/a.parquet");
        assert!(file.listed().name.ends_with("Signature=1"));
        assert!(!format!("{file:?}").contains("u:p"));
    }
}
