//! Buckets as object_store opens them.

use std::sync::{Arc, OnceLock};

use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
    http::HttpBuilder,
    multipart::MultipartStore,
};

use super::{
    Waiting,
    address::{Address, StoreKind},
    connector::Follow,
    failure::settings_error,
    hub::{Dataset, HubSettings, HubStore},
};
use crate::error::{Error, Result};

/// One bucket, the folder of a web server, or a dataset of the hub.
pub(super) struct Bucket {
    pub(super) kind: StoreKind,
    pub(super) store: Arc<dyn ObjectStore>,
    /// None for the web and the hub.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    pub(super) waiting: Arc<Waiting>,
    /// Whether it heeds conditions, once that is known.
    pub(super) conditions: OnceLock<bool>,
}

impl Bucket {
    pub(super) fn open(address: &Address, waiting: &Arc<Waiting>) -> Result<Self> {
        let opened = match address.kind {
            StoreKind::S3 => s3(address),
            StoreKind::Gcs => gcs(address),
            StoreKind::Azure => azure(address),
            StoreKind::Web => web(address)?,
            StoreKind::Hub => hub(address)?,
        };
        let (store, parts) = opened.map_err(|error| settings_error(address, error))?;
        Ok(Self {
            kind: address.kind,
            store,
            parts,
            waiting: Arc::clone(waiting),
            conditions: OnceLock::new(),
        })
    }
}

#[cfg(test)]
impl Bucket {
    /// One in memory, whose store heeds conditions.
    pub(super) fn in_memory(waiting: &Arc<Waiting>) -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        Self {
            kind: StoreKind::S3,
            store: Arc::clone(&store) as _,
            parts: Some(store),
            waiting: Arc::clone(waiting),
            conditions: OnceLock::new(),
        }
    }
}

type Opened = object_store::Result<(Arc<dyn ObjectStore>, Option<Arc<dyn MultipartStore>>)>;

fn both<S: ObjectStore + MultipartStore>(store: S) -> Opened {
    let store = Arc::new(store);
    Ok((Arc::clone(&store) as _, Some(store)))
}

fn s3(address: &Address) -> Opened {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(&address.bucket)
        .with_http_connector(Follow::SameHost)
        .with_retry(retry());
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    if endpoint.as_deref().is_some_and(is_loopback) {
        builder = builder.with_allow_http(true);
    }
    both(builder.build()?)
}

fn gcs(address: &Address) -> Opened {
    let builder = GoogleCloudStorageBuilder::from_env()
        .with_url(&address.bucket)
        .with_http_connector(Follow::SameHost);
    both(builder.with_retry(retry()).build()?)
}

fn azure(address: &Address) -> Opened {
    let builder = MicrosoftAzureBuilder::from_env()
        .with_url(&address.bucket)
        .with_http_connector(Follow::SameHost);
    both(builder.with_retry(retry()).build()?)
}

fn web(address: &Address) -> Result<Opened> {
    let is_plain = address.bucket.starts_with("http://");
    if is_plain && !is_loopback(&address.bucket) {
        return Err(
            Error::usage("read over plain http: anybody between could change the bytes")
                .with("url", crate::secrets::without_credentials(&address.bucket))
                .hint("use https://"),
        );
    }
    let options = ClientOptions::new().with_allow_http(is_plain);
    let builder = HttpBuilder::new()
        .with_url(&address.bucket)
        .with_client_options(options)
        .with_http_connector(Follow::Anybody)
        .with_retry(retry());
    let built = builder.build();
    Ok(built.map(|store| (Arc::new(store) as Arc<dyn ObjectStore>, None)))
}

fn hub(address: &Address) -> Result<Opened> {
    let named = address.bucket.trim_start_matches("hf://");
    let (dataset, _) = Dataset::of(named)
        .map_err(|why| Error::internal("open a dataset of the hub").with("why", why))?;
    let opened = HubStore::open(dataset, HubSettings::from_environment()?);
    Ok(opened.map(|store| (Arc::new(store) as Arc<dyn ObjectStore>, None)))
}

/// Whether a URL leads to this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    let is_address = host
        .parse()
        .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    host == "localhost" || is_address
}

/// A store that throttles is waited for; one that is gone is told before somebody wonders.
fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 7,
        retry_timeout: std::time::Duration::from_secs(90),
        ..RetryConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for url in [
            "http://127.0.0.1:9000",
            "http://localhost/x",
            "http://[::1]:1/",
            "http://u:p@127.8.8.8",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://127.0.0.1.evil.com",
            "http://h/127.0.0.1",
            "http://localhost.x",
            "http://127.0.0.1@h/",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
