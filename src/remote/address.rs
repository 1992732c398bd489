//! URLs of objects: which bucket, and which key.

use object_store::path::Path;

use super::hub::Dataset;
use crate::error::{Error, Result};

/// What kind of store a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    S3,
    Gcs,
    Azure,
    Web,
    /// Datasets of the Hugging Face hub.
    Hub,
}

/// A URL in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) kind: StoreKind,
    /// What all objects of a bucket have in common, without a `/` behind: scheme, bucket and account, or for the web
    /// everything up to the last part of the path and the query.
    pub(super) bucket: String,
    /// Below it; empty for the bucket itself.
    pub(super) key: Path,
}

impl Address {
    pub(super) fn of(url: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::usage(format!("read the URL: {why}"))
                .with("url", crate::secrets::without_credentials(url))
        };
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| refused("it has no scheme"))?;
        let kind = match scheme {
            "s3" | "s3a" => StoreKind::S3,
            "gs" => StoreKind::Gcs,
            "az" | "azure" | "abfs" | "abfss" => StoreKind::Azure,
            "https" | "http" => StoreKind::Web,
            "hf" => StoreKind::Hub,
            _ => {
                return Err(refused("no store of this scheme is known").hint(
                    "s3://, gs://, az://, abfss://, hf:// and https:// are read; mount or copy others",
                ));
            }
        };
        if kind == StoreKind::Web {
            return Self::of_web(scheme, rest).ok_or_else(|| refused("it names no file"));
        }
        let (bucket, key) = match kind {
            StoreKind::Hub => {
                let (_, end) = Dataset::of(rest).map_err(|why| {
                    refused(why).hint("write hf://datasets/USER/NAME/PATH, or hf://datasets/USER/NAME@REVISION/PATH")
                })?;
                (&rest[..end], rest[end..].trim_start_matches('/'))
            }
            _ => rest.split_once('/').unwrap_or((rest, "")),
        };
        if bucket.is_empty() {
            return Err(refused("it names no bucket").hint("write scheme://bucket/key"));
        }
        let key = Path::parse(key.trim_end_matches('/'))
            .map_err(|error| refused("its key cannot be").source(error))?;
        Ok(Self {
            kind,
            bucket: format!("{scheme}://{bucket}"),
            key,
        })
    }

    /// A file of a web server: its query stays with what stands before its name.
    fn of_web(scheme: &str, rest: &str) -> Option<Self> {
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (rest, String::new()),
        };
        let (folder, name) = path.rsplit_once('/')?;
        // Percent signs of the URL are those of the name.
        let key = Path::from_url_path(name).ok()?;
        (!name.is_empty() && !folder.is_empty()).then(|| Self {
            kind: StoreKind::Web,
            bucket: format!("{scheme}://{folder}{query}"),
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_keys_are_told_apart() {
        let cases = [
            ("s3://b/a/x.parquet", "s3://b", "a/x.parquet"),
            ("s3://b", "s3://b", ""),
            ("s3://b/a/", "s3://b", "a"),
            (
                "gs://b/label=a b/ü.parquet",
                "gs://b",
                "label=a b/ü.parquet",
            ),
            (
                "abfss://c@acc.dfs.core.windows.net/x",
                "abfss://c@acc.dfs.core.windows.net",
                "x",
            ),
            ("https://h/d/x.parquet", "https://h/d", "x.parquet"),
            ("hf://datasets/u/r@v1/a/x", "hf://datasets/u/r@v1", "a/x"),
            ("hf://datasets/u/r", "hf://datasets/u/r", ""),
            (
                "https://h:1/x.parquet?sig=a/b",
                "https://h:1?sig=a/b",
                "x.parquet",
            ),
        ];
        for (url, bucket, key) in cases {
            let found = Address::of(url).unwrap();
            assert_eq!(
                (found.bucket.as_str(), found.key.as_ref()),
                (bucket, key),
                "{url}"
            );
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for url in [
            "ftp://h/x",
            "s3:///x",
            "https://h",
            "https://h/",
            "s3://b/a//b",
            "s3://b/../c",
            "hf://u/r/x",
            "hf://datasets/u",
        ] {
            assert!(Address::of(url).is_err(), "{url}");
        }
    }
}
