//! Addresses: what the log calls a file, and where that is.

use std::{fmt, fs::File, io::Write, path::Path, sync::Arc};

use bytes::Bytes;
use delta_kernel::{KernelError, KernelResult};
use url::Url;

use crate::{
    error::{Error, Result},
    secrets,
    source::{Location, LogFile, Place, Places, TablePaths, TableRequest},
};

/// What is refused of a log that leads elsewhere, and what is done about it.
pub(super) const OUT_OF_FOLDER: &str = "follow the log of a table out of its folder";
pub(super) const ALLOW: &str = "--allow-external-paths, if you trust whoever wrote the log";

/// The folder of a table, under the name that was typed and as the URL that the log's library goes by.
#[derive(Debug, Clone)]
pub(super) struct TableRoot {
    pub(super) name: String,
    pub(super) url: Url,
    place: Arc<dyn Place>,
    places: Places,
    paths: TablePaths,
}

impl TableRoot {
    pub(super) fn of(request: &TableRequest<'_>) -> Result<Self> {
        let name = match request.folder.name.trim_end_matches('/') {
            "" => "/",
            name => name,
        };
        Ok(Self {
            name: name.to_owned(),
            url: url_of(name)?,
            place: Arc::clone(request.place),
            places: request.places.clone(),
            paths: request.paths,
        })
    }

    /// Where it is, whatever directory one is in.
    pub(super) fn address(&self) -> String {
        secrets::without_credentials(self.url.as_str())
    }

    /// A folder that a table is in, or is to be in.
    pub(super) fn written(place: &TablePlace) -> Result<Self> {
        Ok(Self {
            name: place.name.clone(),
            url: url_of(&place.name)?,
            place: place.places.at(&place.name)?.place(),
            places: place.places.clone(),
            paths: TablePaths::Within,
        })
    }

    /// Puts a file of the log where none is, whole and safe; false if one is there.
    pub(super) fn put_new(&self, url: &Url, bytes: Bytes) -> KernelResult<bool> {
        let file = self.at_url(url)?;
        if let Some(path) = file.path() {
            return put_new(path, &bytes).map_err(KernelError::IOError);
        }
        #[cfg(feature = "remote")]
        if let Some(stores) = self.places.object_stores() {
            let within = url.as_str().strip_prefix(self.url.as_str());
            let path = within.and_then(unescaped).unwrap_or_default();
            let object = stores.object(&self.joined(&path));
            let put = object.and_then(|object| object.put(bytes, crate::remote::Put::IfNew));
            return put.map_err(KernelError::generic_err);
        }
        Err(KernelError::unsupported("write the log of a table there"))
    }

    /// The file at a URL that the log's library has made of a path.
    ///
    /// # Errors
    /// When it lies beyond the table's folder, which nobody has allowed.
    pub(super) fn at_url(&self, url: &Url) -> KernelResult<Location> {
        let within = url.as_str().strip_prefix(self.url.as_str());
        let path = within.map(|path| unescaped(path).filter(|path| is_within(path)));
        match path {
            Some(Some(path)) => Ok(self.within(&path)),
            Some(None) => Err(KernelError::generic(format!("the path {url} is none"))),
            None => self.beyond(url.as_str()).map_err(KernelError::generic_err),
        }
    }

    /// The data file that the log calls `path`: relative to the table's folder, with escapes, or an address of its own.
    ///
    /// # Errors
    /// As [`TableRoot::at_url`].
    pub(super) fn data_file(&self, path: &str) -> Result<Location> {
        if is_address(path) {
            return match Url::parse(path) {
                // Some writers name files of the folder in full.
                Ok(url) if url.as_str().starts_with(self.url.as_str()) => {
                    self.at_url(&url).map_err(|error| {
                        self.refused(path)
                            .source(error.without_backtrace().to_string())
                    })
                }
                _ => self.beyond(path),
            };
        }
        let plain = unescaped(path).ok_or_else(|| self.refused(path))?;
        match is_within(&plain) {
            true => Ok(self.within(&plain)),
            false => self.beyond(path),
        }
    }

    fn within(&self, path: &str) -> Location {
        let listed = self.place.at(&self.joined(path));
        Location::new(listed, Arc::clone(&self.place))
    }

    fn joined(&self, path: &str) -> String {
        format!("{}/{path}", self.name.trim_end_matches('/'))
    }

    fn refused(&self, path: &str) -> Error {
        Error::input(OUT_OF_FOLDER)
            .with("table", &self.name)
            .with("path", path)
            .hint(ALLOW)
    }

    fn beyond(&self, path: &str) -> Result<Location> {
        if self.paths == TablePaths::Within {
            return Err(self.refused(path));
        }
        let name = match Url::parse(path) {
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().ok();
                path.map(|path| path.display().to_string())
            }
            Ok(_) => Some(path.to_owned()),
            Err(_) if path.starts_with('/') => Some(path.to_owned()),
            Err(_) => unescaped(path).map(|path| self.joined(&path)),
        };
        self.places.at(&name.ok_or_else(|| self.refused(path))?)
    }

    /// All files of the log, below `_delta_log/`.
    pub(super) fn log(&self) -> Result<Vec<LogFile>> {
        self.place.log(&self.joined("_delta_log"))
    }

    /// All files of the folder, where asking for each would be slower than for all.
    pub(super) fn listed(&self) -> Result<Option<Vec<LogFile>>> {
        let is_far = self.place.requests().is_some();
        is_far.then(|| self.place.log(&self.name)).transpose()
    }

    /// The URL of a file by its path below the folder, without escapes.
    pub(super) fn url_of(&self, path: &str) -> KernelResult<Url> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path.split('/'));
            }
            Err(()) => return Err(KernelError::generic("the URL of the table has no path")),
        }
        Ok(url)
    }
}

/// Where a table is written: a folder of this machine, or of an object store.
#[derive(Debug, Clone)]
pub struct TablePlace {
    name: String,
    places: Places,
}

impl TablePlace {
    /// A folder of this machine.
    ///
    /// # Errors
    /// When its name is no text.
    pub fn local(folder: &Path) -> Result<Self> {
        let name = folder.to_str().ok_or_else(|| {
            Error::usage("write a table to a folder whose name is no text")
                .with("table", folder.display())
        })?;
        Ok(Self {
            name: name.trim_end_matches('/').to_owned(),
            places: Places::default(),
        })
    }

    /// A folder of an object store, by its URL.
    #[cfg(feature = "remote")]
    pub fn remote(url: &str, stores: &Arc<crate::remote::ObjectStores>) -> Self {
        Self {
            name: url.trim_end_matches('/').to_owned(),
            places: Places::default().with_object_stores(stores),
        }
    }

    /// The file at this path below the folder.
    ///
    /// # Errors
    /// When the place is not known.
    pub fn file(&self, within: &str) -> Result<Location> {
        self.places.at(&format!("{}/{within}", self.name))
    }
}

impl fmt::Display for TablePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&secrets::without_credentials(&self.name))
    }
}

/// Puts a file where none is, whole and safe; false if one is there.
fn put_new(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    written.write_all(bytes)?;
    written.as_file().sync_all()?;
    match written.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error.error),
    }
    // Not every file system can.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(true)
}

/// The folder `name` as a URL, `/` behind it.
fn url_of(name: &str) -> Result<Url> {
    let refused = || Error::usage("read the address of a table").with("table", name);
    let Some((scheme, rest)) = name.split_once("://") else {
        let full = std::path::absolute(name).map_err(|error| refused().source(error))?;
        return Url::from_directory_path(full).map_err(|()| refused());
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let mut url =
        Url::parse(&format!("{scheme}://{bucket}/")).map_err(|error| refused().source(error))?;
    let mut segments = url.path_segments_mut().map_err(|()| refused())?;
    let parts = key.split('/').filter(|part| !part.is_empty());
    segments.pop_if_empty().extend(parts).push("");
    drop(segments);
    Ok(url)
}

/// Whether a path of a log is an address of its own: it begins with a scheme, or with a slash.
fn is_address(path: &str) -> bool {
    let scheme = path.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    path.starts_with('/') || scheme.is_some_and(is_scheme)
}

/// Whether a path without escapes stays below the folder that it starts from.
fn is_within(path: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    !path.contains(['\\', '\0']) && path.split('/').all(is_name)
}

/// `%20` of a path is a space; `None` if it is no text.
fn unescaped(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| byte == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        // A sign is no digit of a code.
        let code = code.filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &behind[2..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{TableFolder, TableFormat};

    fn root(places: &Places, name: &str, paths: TablePaths) -> TableRoot {
        let folder = TableFolder {
            format: TableFormat::Delta,
            name: name.to_owned(),
        };
        let local = places.at(name).unwrap();
        TableRoot::of(&TableRequest {
            folder: &folder,
            place: &local.place(),
            places,
            as_of: Default::default(),
            paths,
            known: &[],
        })
        .unwrap()
    }

    #[test]
    fn escapes_are_undone_once() {
        for (path, plain) in [
            ("a b", Some("a b")),
            ("cc%252012/x", Some("cc%2012/x")),
            ("a%20b%2Fc", Some("a b/c")),
            ("100%", Some("100%")),
            ("%+1%zz", Some("%+1%zz")),
            ("%ff", None),
        ] {
            assert_eq!(unescaped(path).as_deref(), plain, "{path}");
        }
    }

    #[test]
    fn paths_beyond_the_folder_are_refused_unless_allowed() {
        let places = Places::default();
        let within = root(&places, "/lake/t 1/", TablePaths::Within);
        let anywhere = root(&places, "/lake/t 1", TablePaths::Anywhere);
        assert_eq!(within.url.as_str(), "file:///lake/t%201/");
        for path in [
            "x.parquet",
            "c=a%2520b/x.parquet",
            "file:///lake/t%201/x.parquet",
        ] {
            assert!(within.data_file(path).is_ok(), "{path}");
        }
        let spaced = within.data_file("c=a%2520b/x.parquet").unwrap();
        assert_eq!(spaced.name(), "/lake/t 1/c=a%20b/x.parquet");
        for (path, name) in [
            ("../x.parquet", "/lake/t 1/../x.parquet"),
            ("a/%2e%2e/%2e%2e/x", "/lake/t 1/a/../../x"),
            ("/etc/x.parquet", "/etc/x.parquet"),
            ("file:///etc/x.parquet", "/etc/x.parquet"),
        ] {
            let refused = within.data_file(path).unwrap_err().report();
            assert!(
                refused.contains("--allow-external-paths"),
                "{path}: {refused}"
            );
            assert_eq!(anywhere.data_file(path).unwrap().name(), name);
        }
        assert!(within.data_file("s3://b/x.parquet").is_err());
        assert!(within.data_file("http://h/x.parquet").is_err());
        assert!(
            within
                .at_url(&Url::parse("file:///lake/y").unwrap())
                .is_err()
        );
        let escaped = Url::parse("file:///lake/t%201/a%2F..%2F..%2Fy").unwrap();
        assert!(within.at_url(&escaped).is_err());
    }

    #[test]
    fn keys_of_buckets_are_not_escaped_twice() {
        let url = |name: &str| url_of(name).unwrap().to_string();
        assert_eq!(url("s3://b/a b/c%20d"), "s3://b/a%20b/c%2520d/");
        assert_eq!(url("s3://b"), "s3://b/");
    }
}
