//! Requests to the hub and to where it sends them on: with the token for the hub alone, and again where a server is busy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use object_store::Error as StoreError;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
};

use super::{super::bucket::is_loopback, generic};

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Addresses that one request is sent on to, one after the other.
const MOST_REDIRECTS: usize = 10;
const MOST_TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// In all, beside what a server asks for.
const MOST_PAUSES: Duration = Duration::from_secs(90);
/// What a server may ask for at a time: the hub counts requests in windows of five minutes.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Who asks, and whom.
pub(super) struct Requests {
    pub(super) client: Client,
    pub(super) endpoint: Url,
    pub(super) token: Option<String>,
}

/// A request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// A longer answer is an error.
    pub(super) most_bytes: usize,
}

/// The last answer of those on the way.
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What the hub said of the file before it sent the request on.
    pub(super) linked: Option<Linked>,
}

/// What tells a content of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) version: String,
    pub(super) size_bytes: Option<u64>,
}

/// A try that failed.
struct Failure {
    error: StoreError,
    /// How long to wait before another, where that may help; what the server asks for, if it does.
    again: Option<Option<Duration>>,
}

impl Requests {
    /// The answer, whatever its status, unless that says that another try may help and none did.
    pub(super) async fn ask(self: &Arc<Self>, ask: &Ask) -> Result<Answer, StoreError> {
        let (mut pause, mut paused) = (FIRST_PAUSE, Duration::ZERO);
        let mut tries = 1;
        loop {
            let began = Instant::now();
            let failure = match self.go(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = match failure.again {
                Some(asked) if tries < MOST_TRIES && paused < MOST_PAUSES => {
                    paused += began.elapsed()
                        + if asked.is_none() {
                            pause
                        } else {
                            Duration::ZERO
                        };
                    asked.unwrap_or(pause)
                }
                _ => return Err(failure.error),
            };
            tokio::time::sleep(wait.min(LONGEST_ASKED)).await;
            pause *= 2;
            tries += 1;
        }
    }

    /// One try, from address to address.
    async fn go(&self, ask: &Ask) -> Result<Answer, Failure> {
        let mut url = ask.url.clone();
        let mut linked = None;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.request(ask, &url)?.send().await.map_err(broken)?;
            let status = response.status();
            let headers = response.headers().clone();
            linked = linked.or_else(|| linked_of(&headers));
            let next = redirect(status, &headers).map(|next| url.join(next));
            match next {
                // Of a file that lies elsewhere the hub has said all there is to ask.
                Some(Ok(next))
                    if ask.method == Method::HEAD
                        && linked
                            .as_ref()
                            .is_some_and(|it: &Linked| it.size_bytes.is_some())
                        && !self.is_of_hub(&next) =>
                {
                    return self.answered(ask, url, response, linked).await;
                }
                Some(Ok(next)) => url = next,
                Some(Err(_)) => return Err(last("the hub sends on to what is no address")),
                None if is_busy(status) => {
                    return Err(Failure {
                        error: generic(format!("{} answers {status}", host(&url))),
                        again: Some(asked_pause(&headers)),
                    });
                }
                None => return self.answered(ask, url, response, linked).await,
            }
        }
        Err(last("the hub sends on from address to address"))
    }

    fn request(&self, ask: &Ask, url: &Url) -> Result<RequestBuilder, Failure> {
        if url.scheme() != "https" && !is_loopback(url.as_str()) {
            return Err(last("the hub sends on to an address that is not https"));
        }
        let request = self.client.request(ask.method.clone(), url.clone());
        let request = request
            .headers(ask.headers.clone())
            // Sizes and ranges are those of the file.
            .header(ACCEPT_ENCODING, "identity");
        Ok(match &self.token {
            Some(token) if self.is_of_hub(url) => request.bearer_auth(token),
            _ => request,
        })
    }

    /// Whether an address is of the hub itself: nobody else is told who asks.
    pub(super) fn is_of_hub(&self, url: &Url) -> bool {
        let place = |url: &Url| {
            let host = url.host_str().map(str::to_owned);
            (url.scheme().to_owned(), host, url.port_or_known_default())
        };
        place(url) == place(&self.endpoint)
    }

    async fn answered(
        &self,
        ask: &Ask,
        url: Url,
        mut response: Response,
        linked: Option<Linked>,
    ) -> Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(more) = response.chunk().await.map_err(broken)? {
            if body.len() + more.len() > ask.most_bytes {
                return Err(last("an answer of the hub is longer than it can be"));
            }
            body.extend_from_slice(&more);
        }
        Ok(Answer {
            url,
            status,
            headers,
            body: body.freeze(),
            linked,
        })
    }
}

/// A connection that could not be made, or broke.
fn broken(error: reqwest::Error) -> Failure {
    // An address may hold a signature.
    let error = error.without_url();
    Failure {
        again: (!error.is_builder()).then_some(None),
        error: StoreError::Generic {
            store: super::NAME,
            source: Box::new(error),
        },
    }
}

fn last(why: &str) -> Failure {
    Failure {
        error: generic(why.to_owned()),
        again: None,
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn redirect(status: StatusCode, headers: &HeaderMap) -> Option<&str> {
    let next = status.is_redirection().then(|| headers.get(LOCATION))?;
    next?.to_str().ok()
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// `Retry-After: 5`, or the hub's `RateLimit: "resolvers";r=0;t=55`.
fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
    let limit = || {
        let mut parts = text(RATE_LIMIT)?.split(';').map(str::trim);
        let is_spent = parts.clone().any(|part| part == "r=0");
        let seconds = parts.find_map(|part| part.strip_prefix("t="))?;
        is_spent.then(|| seconds.parse().ok())?
    };
    after.or_else(limit).map(Duration::from_secs)
}

fn linked_of(headers: &HeaderMap) -> Option<Linked> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Some(Linked {
        version: plain(text(LINKED_ETAG)?).to_owned(),
        size_bytes: text(LINKED_SIZE).and_then(|size| size.parse().ok()),
    })
}

impl Answer {
    /// Its etag as it stands there.
    pub(super) fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG)?.to_str().ok()
    }

    /// What tells this content of the file from another, as the hub lists it; an etag of elsewhere does not.
    pub(super) fn version(&self, is_of_hub: bool) -> Option<String> {
        let own = || {
            self.etag()
                .filter(|_| is_of_hub)
                .map(|it| plain(it).to_owned())
        };
        let linked = self.linked.as_ref().map(|linked| linked.version.clone());
        linked.or_else(own)
    }

    /// How long the file is, of an answer to `HEAD`.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        let linked = self.linked.as_ref().and_then(|linked| linked.size_bytes);
        let own = || {
            self.headers
                .get(CONTENT_LENGTH)?
                .to_str()
                .ok()?
                .parse()
                .ok()
        };
        linked.or_else(own)
    }
}

/// An etag without its marks.
fn plain(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_how_long_to_wait() {
        let asked = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            asked_pause(&headers).map(|pause| pause.as_secs())
        };
        assert_eq!(asked(RETRY_AFTER, "7"), Some(7));
        assert_eq!(asked(RETRY_AFTER, "Mon, 30 Nov 2026 10:00:00 GMT"), None);
        assert_eq!(asked(RATE_LIMIT, "\"resolvers\";r=0;t=55"), Some(55));
        assert_eq!(asked(RATE_LIMIT, "\"resolvers\";r=12;t=55"), None);
    }
}
