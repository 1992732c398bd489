//! Connections as they are safe: what may be told to whom when a server sends a request on.

use std::time::Duration;

use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector},
};
use reqwest::{Client, ClientBuilder, Proxy, redirect::Policy};

/// Redirects that are followed, one after the other.
const MOST_REDIRECTS: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may say nothing; there is no limit to how long all of an answer takes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Whom a request may be sent on to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follow {
    /// The same host and port: requests are signed and carry tokens in headers of their own, which would go along.
    SameHost,
    /// Anybody: requests carry nothing.
    Anybody,
}

/// Connections that say nothing of where a request comes from, and end where nothing is said any more.
pub(super) fn client(redirects: Policy, https_only: bool) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("clip-filter/", env!("CARGO_PKG_VERSION")))
        // It would tell the next host a signed URL.
        .referer(false)
        .redirect(redirects)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .https_only(https_only)
}

impl HttpConnector for Follow {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |error: reqwest::Error| object_store::Error::Generic {
            store: "HTTP client",
            source: Box::new(error),
        };
        let is_set = |key| options.get_config_value(&key).as_deref() == Some("true");
        let mut builder = client(self.policy(), !is_set(ClientConfigKey::AllowHttp));
        if let Some(proxy) = options.get_config_value(&ClientConfigKey::ProxyUrl) {
            builder = builder.proxy(Proxy::all(proxy).map_err(failed)?);
        }
        Ok(HttpClient::new(builder.build().map_err(failed)?))
    }
}

impl Follow {
    fn policy(self) -> Policy {
        match self {
            Follow::Anybody => Policy::limited(MOST_REDIRECTS),
            Follow::SameHost => Policy::custom(|attempt| {
                let place = |url: &reqwest::Url| {
                    let host = url.host_str().map(str::to_owned);
                    (url.scheme().to_owned(), host, url.port_or_known_default())
                };
                let from = attempt.previous();
                let stays = from
                    .last()
                    .is_some_and(|from| place(from) == place(attempt.url()));
                match stays && from.len() <= MOST_REDIRECTS {
                    true => attempt.follow(),
                    false => attempt.stop(),
                }
            }),
        }
    }
}
