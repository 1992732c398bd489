//! Datasets of the Hugging Face hub as a store that is read: its `tree` lists, its `resolve` gives ranges.
//!
//! A revision is the commit that it was when the run first asked. `resolve` sends a request on to a store of another
//! host, with a signed address: it is asked there without the token, and asked again at the same address, as long as that
//! holds.

mod dataset;
mod refusal;
mod requests;
mod settings;
mod tree;

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result as StoreResult, path::Path,
};
use reqwest::{
    Method, Url,
    header::{CONTENT_RANGE, HeaderMap, HeaderValue, IF_MATCH, RANGE},
    redirect::Policy,
};
use serde::Deserialize;
use tokio::sync::OnceCell;

pub(super) use dataset::Dataset;
pub(super) use refusal::Refusal;
use refusal::Refused;
use requests::{Answer, Ask, Requests};
pub(super) use settings::HubSettings;

use super::connector::client;

const NAME: &str = "Hugging Face hub";
/// Files whose addresses elsewhere are remembered.
const REMEMBERED: usize = 64;
/// A file that a server gives only as a whole is read up to this size.
const MOST_WHOLE_BYTES: usize = 16 << 20;
/// What is read of an answer that says something of a dataset.
const MOST_FACTS_BYTES: usize = 64 << 20;

/// One dataset, at one revision.
#[derive(Clone)]
pub(super) struct HubStore(Arc<Inner>);

struct Inner {
    dataset: Dataset,
    requests: Arc<Requests>,
    /// What the revision was when it was first asked for.
    commit: OnceCell<String>,
    elsewhere: Mutex<VecDeque<Elsewhere>>,
}

/// Where the bytes of a file are.
#[derive(Clone)]
struct Elsewhere {
    path: Path,
    url: Url,
    /// The content, as the hub names it.
    version: String,
    /// The same, as the other host names it.
    etag: Option<HeaderValue>,
}

impl fmt::Debug for HubStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HubStore").field(&self.0.dataset).finish()
    }
}

impl fmt::Display for HubStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf://datasets/{}", self.0.dataset.repo)
    }
}

impl HubStore {
    pub(super) fn open(dataset: Dataset, settings: HubSettings) -> StoreResult<Self> {
        let HubSettings { endpoint, token } = settings;
        let is_plain = endpoint.scheme() == "http";
        // Each address is looked at before it is followed.
        let client = client(Policy::none(), !is_plain);
        let client = client.build().map_err(|error| StoreError::Generic {
            store: NAME,
            source: Box::new(error),
        })?;
        Ok(Self(Arc::new(Inner {
            dataset,
            requests: Arc::new(Requests {
                client,
                endpoint,
                token,
            }),
            commit: OnceCell::new(),
            elsewhere: Mutex::default(),
        })))
    }
}

#[derive(Deserialize)]
struct Revision {
    sha: Option<String>,
}

impl Inner {
    /// The commit that the revision is; the revision itself where the hub does not say.
    async fn commit(&self) -> StoreResult<&str> {
        let asked = self.commit.get_or_try_init(|| async {
            let revision = &self.dataset.revision;
            let mut url = self
                .dataset
                .api(&self.requests.endpoint, "revision", revision, "");
            url.query_pairs_mut().append_pair("expand", "sha");
            let answer = self.answer(self.facts_of(Method::GET, url), "").await?;
            let known: Option<Revision> = serde_json::from_slice(&answer.body).ok();
            let commit = known.and_then(|known| known.sha);
            let is_hash =
                |it: &String| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_hexdigit());
            Ok(commit.filter(is_hash).unwrap_or_else(|| revision.clone()))
        });
        asked.await.map(String::as_str)
    }

    fn facts_of(&self, method: Method, url: Url) -> Ask {
        Ask {
            method,
            url,
            headers: HeaderMap::new(),
            most_bytes: MOST_FACTS_BYTES,
        }
    }

    /// An answer that is a success, or that the hub gives before it sends on.
    async fn answer(&self, ask: Ask, path: &str) -> StoreResult<Answer> {
        let answer = self.requests.ask(&ask).await?;
        let sends_on = answer.status.is_redirection() && answer.linked.is_some();
        match answer.status.is_success() || sends_on {
            true => Ok(answer),
            false => Err(self.refused(&answer, path)),
        }
    }

    fn refused(&self, answer: &Answer, path: &str) -> StoreError {
        let refused = Refused {
            status: answer.status,
            headers: &answer.headers,
            repo: &self.dataset.repo,
            path,
            has_token: self.requests.token.is_some(),
        };
        refused.error()
    }

    async fn resolve(&self, path: &Path) -> StoreResult<Url> {
        let commit = self.commit().await?;
        let endpoint = &self.requests.endpoint;
        Ok(self.dataset.resolve(endpoint, commit, path.as_ref()))
    }

    async fn head(&self, path: &Path) -> StoreResult<ObjectMeta> {
        let ask = self.facts_of(Method::HEAD, self.resolve(path).await?);
        let answer = self.answer(ask, path.as_ref()).await?;
        let size = answer.size_bytes();
        Ok(ObjectMeta {
            location: path.clone(),
            last_modified: Default::default(),
            size: size
                .ok_or_else(|| generic("the hub does not say how long the file is".into()))?,
            e_tag: answer.version(self.requests.is_of_hub(&answer.url)),
            version: None,
        })
    }

    /// The bytes of `range`, and the file they are of.
    async fn range(
        &self,
        path: &Path,
        range: Range<u64>,
        version: Option<&str>,
    ) -> StoreResult<(Bytes, ObjectMeta)> {
        let known = self.remembered(path);
        if let Some(known) = known.filter(|known| version.is_none_or(|it| it == known.version)) {
            let ask = ranged(known.url, &range, known.etag);
            let answer = self.requests.ask(&ask).await?;
            match answer.status.as_u16() {
                200..300 => return part(&answer, path, range, Some(known.version)),
                // Such an address holds for some time.
                400 | 401 | 403 | 404 | 410 => self.forget(path),
                _ => return Err(self.refused(&answer, path.as_ref())),
            }
        }
        let ask = ranged(self.resolve(path).await?, &range, None);
        let answer = self.answer(ask, path.as_ref()).await?;
        let is_of_hub = self.requests.is_of_hub(&answer.url);
        let now = answer.version(is_of_hub);
        if version.is_some() && now.is_some() && version != now.as_deref() {
            return Err(StoreError::Precondition {
                path: path.to_string(),
                source: "the hub has another content under this name".into(),
            });
        }
        if let Some(version) = now.clone().filter(|_| !is_of_hub) {
            self.remember(path, &answer, version);
        }
        part(&answer, path, range, now)
    }

    fn places(&self) -> MutexGuard<'_, VecDeque<Elsewhere>> {
        self.elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, path: &Path) -> Option<Elsewhere> {
        let places = self.places();
        places.iter().find(|place| place.path == *path).cloned()
    }

    fn remember(&self, path: &Path, answer: &Answer, version: String) {
        // A weak etag never matches.
        let etag = answer.etag().filter(|etag| !etag.starts_with("W/"));
        let mut places = self.places();
        places.retain(|place| place.path != *path);
        if places.len() == REMEMBERED {
            places.pop_front();
        }
        places.push_back(Elsewhere {
            path: path.clone(),
            url: answer.url.clone(),
            version,
            etag: etag.and_then(|etag| HeaderValue::from_str(etag).ok()),
        });
    }

    fn forget(&self, path: &Path) {
        self.places().retain(|place| place.path != *path);
    }
}

fn ranged(url: Url, range: &Range<u64>, if_match: Option<HeaderValue>) -> Ask {
    let mut headers = HeaderMap::new();
    let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
    if let Ok(bytes) = HeaderValue::try_from(bytes) {
        headers.insert(RANGE, bytes);
    }
    if let Some(etag) = if_match {
        headers.insert(IF_MATCH, etag);
    }
    let length = usize::try_from(range.end.saturating_sub(range.start));
    Ask {
        method: Method::GET,
        url,
        headers,
        most_bytes: length.unwrap_or(usize::MAX).max(MOST_WHOLE_BYTES),
    }
}

/// What an answer has of `range`: a server that gives no ranges gives all.
fn part(
    answer: &Answer,
    path: &Path,
    range: Range<u64>,
    version: Option<String>,
) -> StoreResult<(Bytes, ObjectMeta)> {
    let said = answer.headers.get(CONTENT_RANGE);
    let (bytes, size) = match said.and_then(|said| said.to_str().ok()) {
        Some(said) => {
            let (given, size) = content_range(said)
                .ok_or_else(|| generic("a server does not say which range it gives".into()))?;
            if given.start != range.start || given.end > range.end {
                return Err(generic(
                    "a server gives another range than was asked for".into(),
                ));
            }
            (answer.body.clone(), size)
        }
        None => {
            let size = answer.body.len() as u64;
            let at = |position: u64| usize::try_from(position.min(size)).unwrap_or(0);
            (
                answer
                    .body
                    .slice(at(range.start)..at(range.end.max(range.start))),
                size,
            )
        }
    };
    let meta = ObjectMeta {
        location: path.clone(),
        last_modified: Default::default(),
        size,
        e_tag: version,
        version: None,
    };
    Ok((bytes, meta))
}

/// `bytes 0-9/100`.
fn content_range(said: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = said.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let last: u64 = last.parse().ok()?;
    Some((
        first.parse().ok()?..last.checked_add(1)?,
        size.parse().ok()?,
    ))
}

fn generic(why: String) -> StoreError {
    StoreError::Generic {
        store: NAME,
        source: why.into(),
    }
}

fn no_writing<T>() -> StoreResult<T> {
    Err(StoreError::NotSupported {
        source: "files come to the hub by commits".into(),
    })
}

#[async_trait]
impl ObjectStore for HubStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let range = match (options.head, options.range) {
            (true, _) => None,
            (false, Some(GetRange::Bounded(range))) => Some(range),
            // Nobody asks so.
            (false, _) => Some(0..self.0.head(location).await?.size),
        };
        let (bytes, meta) = match range.clone() {
            None => (Bytes::new(), self.0.head(location).await?),
            Some(range) => {
                let version = options.if_match.as_deref();
                self.0.range(location, range, version).await?
            }
        };
        let given = stream::once(async { Ok(bytes) }).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(given),
            range: range.unwrap_or(0..meta.size),
            meta,
            attributes: Default::default(),
        })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        tree::pages(self.clone(), prefix)
            .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> StoreResult<ListResult> {
        Err(StoreError::NotImplemented {
            operation: "list_with_delimiter".to_owned(),
            implementer: NAME.to_owned(),
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> StoreResult<PutResult> {
        no_writing()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        no_writing()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        stream::once(async { no_writing() }).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> StoreResult<()> {
        no_writing()
    }
}
