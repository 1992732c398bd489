//! One object: its facts and its bytes.

use std::{
    io,
    ops::Range,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStoreExt, path::Path,
};

use super::{
    address::StoreKind,
    bucket::Bucket,
    failure::{as_io, changed, failed, names_no_bucket},
    hub::Refusal,
};
use crate::error::{Error, ErrorKind, Result};

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its URL.
    pub url: String,
    /// Its size.
    pub size_bytes: u64,
    /// What another content would not have (the etag), where the store says so.
    pub version: Option<String>,
    /// When it was put there, in milliseconds since 1970.
    pub written_millis: i64,
}

/// A URL of a store, whether or not anything is there.
#[derive(Clone)]
pub struct Object {
    bucket: Arc<Bucket>,
    url: String,
    key: Path,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::secrets::without_credentials(&self.url))
    }
}

impl Object {
    pub(super) fn new(bucket: Arc<Bucket>, url: &str, key: Path) -> Self {
        Self {
            bucket,
            url: url.trim_end_matches('/').to_owned(),
            key,
        }
    }

    /// The URL, as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The object `name` below this one; `/` stands between folders.
    ///
    /// # Errors
    /// When no key is of that name.
    pub fn child(&self, name: &str) -> Result<Self> {
        let key = match self.key.as_ref() {
            "" => name.to_owned(),
            key => format!("{key}/{name}"),
        };
        let key = Path::parse(key).map_err(|error| {
            Error::internal("name an object")
                .with("name", name)
                .source(error)
        })?;
        Ok(Self {
            bucket: Arc::clone(&self.bucket),
            url: format!("{}/{name}", self.url),
            key,
        })
    }

    /// Why nothing can be put there; `None` where it can.
    pub fn read_only(&self) -> Option<&'static str> {
        match self.bucket.kind {
            StoreKind::Web => Some("nothing is put on a web server"),
            StoreKind::Hub => {
                Some("files come to the Hugging Face hub by commits, which are not made here")
            }
            StoreKind::S3 | StoreKind::Gcs | StoreKind::Azure => None,
        }
    }

    /// Where to write instead of a place that is [only read](Self::read_only).
    pub fn instead(&self) -> &'static str {
        match self.bucket.kind {
            StoreKind::Hub => {
                "write to a local directory, and `hf upload USER/NAME DIRECTORY --repo-type dataset`"
            }
            _ => "write to a local path, s3://, gs:// or az://",
        }
    }

    /// The folder that it lies in; `None` of a bucket.
    pub fn folder(&self) -> Option<Self> {
        let key = self.key.as_ref();
        let (folder, name) = match key.rsplit_once('/') {
            Some((folder, name)) => (folder, name),
            None => ("", key),
        };
        let folder = Path::parse(folder).ok().filter(|_| !key.is_empty())?;
        Some(Self {
            bucket: Arc::clone(&self.bucket),
            url: self.url[..self.url.len() - name.len() - 1].to_owned(),
            key: folder,
        })
    }

    /// Whether this is one file of a web server: it cannot be listed.
    pub fn is_web(&self) -> bool {
        self.bucket.kind == StoreKind::Web
    }

    /// Refuses what nothing can be written to.
    ///
    /// # Errors
    /// When this is on a web server or the hub, or a bucket and no key in it.
    pub fn check_writable(&self) -> Result<()> {
        let refused = |why: &str| {
            Error::usage(format!("write the output: {why}"))
                .with("output", crate::secrets::without_credentials(&self.url))
        };
        match self.read_only() {
            Some(why) => Err(refused(why).hint(self.instead())),
            None if self.key.as_ref().is_empty() => {
                Err(refused("it names a bucket and nothing in it")
                    .hint("write scheme://bucket/name"))
            }
            None => Ok(()),
        }
    }

    /// Its facts; `None` if nothing is there.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn facts(&self) -> Result<Option<Facts>> {
        if self.key.as_ref().is_empty() {
            return Ok(None);
        }
        let (store, key) = self.with_key();
        match self.wait(async move { store.head(&key).await })? {
            Ok(meta) => Ok(Some(self.facts_of(self.url.clone(), meta))),
            Err(StoreError::NotFound { source, .. }) if !is_missing_bucket(source.as_ref()) => {
                Ok(None)
            }
            Err(error) => Err(self.failed(ErrorKind::Input, "ask the object store", error)),
        }
    }

    pub(super) fn facts_of(&self, url: String, meta: ObjectMeta) -> Facts {
        Facts {
            url,
            size_bytes: meta.size,
            version: meta.e_tag,
            written_millis: meta.last_modified.timestamp_millis(),
        }
    }

    /// The bytes of `range`, of this version and size only.
    ///
    /// # Errors
    /// When they cannot be read, or another content is there by now.
    pub fn read(
        &self,
        range: Range<u64>,
        size_bytes: u64,
        version: Option<&str>,
    ) -> io::Result<Bytes> {
        self.bucket
            .waiting
            .wait(self.reading(range, size_bytes, version))?
    }

    /// As [`Object::read`], without waiting: the bytes come when they are there.
    ///
    /// # Errors
    /// When nothing can be asked for any more.
    pub fn ask(
        &self,
        range: Range<u64>,
        size_bytes: u64,
        version: Option<&str>,
    ) -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
        let (give, take) = mpsc::sync_channel(1);
        let reading = self.reading(range, size_bytes, version);
        let started = self.bucket.waiting.start(async move {
            let _ = give.send(reading.await);
        });
        started.map(|()| take).map_err(io::Error::other)
    }

    fn reading(
        &self,
        range: Range<u64>,
        size_bytes: u64,
        version: Option<&str>,
    ) -> impl Future<Output = io::Result<Bytes>> + Send + 'static {
        let (store, key) = self.with_key();
        let (url, kind) = (self.url.clone(), self.bucket.kind);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            // A weak etag never matches.
            if_match: version
                .filter(|it| !it.starts_with("W/"))
                .map(str::to_owned),
            ..GetOptions::default()
        };
        async move {
            let got = async {
                let got = store.get_opts(&key, options).await?;
                let size_bytes = got.meta.size;
                Ok::<_, StoreError>((got.bytes().await?, size_bytes))
            };
            let (bytes, now) = got.await.map_err(|error| as_io(&url, kind, error))?;
            match now == size_bytes && bytes.len() as u64 == range.end - range.start {
                true => Ok(bytes),
                false => Err(io::Error::other(changed(&url))),
            }
        }
    }

    /// All its bytes and their version, for [`Put::Over`]; `None` if nothing is there. For what is small.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_all(&self) -> Result<Option<(Bytes, Option<String>)>> {
        let (store, key) = self.with_key();
        let by_generation = self.bucket.kind == StoreKind::Gcs;
        let got = self.wait(async move {
            let got = store.get(&key).await?;
            let version = match by_generation {
                true => got.meta.version.clone(),
                false => got.meta.e_tag.clone(),
            };
            Ok::<_, StoreError>((got.bytes().await?, version))
        })?;
        match got {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::NotFound { source, .. }) if !is_missing_bucket(source.as_ref()) => {
                Ok(None)
            }
            Err(error) => Err(self.failed(ErrorKind::Input, "read from the object store", error)),
        }
    }

    pub(super) fn with_key(&self) -> (Arc<dyn object_store::ObjectStore>, Path) {
        (Arc::clone(&self.bucket.store), self.key.clone())
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn key(&self) -> &Path {
        &self.key
    }

    pub(super) fn failed(&self, kind: ErrorKind, doing: &str, error: StoreError) -> Error {
        failed(kind, doing, &self.url, self.bucket.kind, error)
    }

    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let waited = self.bucket.waiting.wait(work);
        waited.map_err(|error| Error::internal("ask the object store").source(error))
    }
}

/// A bucket that is not there is no object that is not there.
fn is_missing_bucket(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<Refusal>() || names_no_bucket(&error.to_string())
}
