//! What went wrong at a store, in words that say what to do.

use std::borrow::Cow;

use object_store::Error as StoreError;

use super::{
    address::{Address, StoreKind},
    hub::Refusal,
};
use crate::{
    error::{Error, ErrorKind},
    secrets,
};

/// The environment says something of the store that cannot be.
pub(super) fn settings_error(address: &Address, error: StoreError) -> Error {
    Error::usage("open the object store")
        .with("store", secrets::without_credentials(&address.bucket))
        .hint(credentials_hint(address.kind))
        .source(hidden(&error))
}

/// An operation that failed: `doing` reads after "failed to".
pub(super) fn failed(
    kind: ErrorKind,
    doing: &str,
    url: &str,
    store: StoreKind,
    error: StoreError,
) -> Error {
    let told = Error::new(kind, doing).with("url", secrets::without_credentials(url));
    let told = match hint(store, &error) {
        Some(hint) => told.hint(hint),
        None => told,
    };
    told.source(hidden(&error))
}

/// The same for who reads bytes.
pub(super) fn as_io(url: &str, store: StoreKind, error: StoreError) -> std::io::Error {
    use std::io::ErrorKind::{NotFound, Other, PermissionDenied, TimedOut};
    let kind = match &error {
        StoreError::NotFound { .. } => NotFound,
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            PermissionDenied
        }
        StoreError::Generic { .. } => TimedOut,
        _ => Other,
    };
    let words = match (&error, hint(store, &error)) {
        (StoreError::Precondition { .. }, _) => changed(url),
        (_, Some(hint)) => format!("{}; {hint}", hidden(&error)),
        (_, None) => hidden(&error),
    };
    std::io::Error::new(kind, words)
}

/// What is told of an object that is no longer what it was.
pub(super) fn changed(url: &str) -> String {
    format!(
        "{} was replaced while it was read: run again, over data that stays",
        secrets::without_credentials(url)
    )
}

fn hint(store: StoreKind, error: &StoreError) -> Option<Cow<'static, str>> {
    let refusal = std::error::Error::source(error).and_then(|it| it.downcast_ref::<Refusal>());
    match refusal {
        Some(refusal) => Some(refusal.hint().into()),
        None => known_hint(store, error).map(Cow::Borrowed),
    }
}

fn known_hint(store: StoreKind, error: &StoreError) -> Option<&'static str> {
    let words = words(error);
    if names_no_bucket(&words) {
        return Some("there is no such bucket: look at its name, region and endpoint");
    }
    match error {
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            Some(credentials_hint(store))
        }
        StoreError::Generic { .. }
            if words.contains("redentials") || words.contains("169.254.169.254") =>
        {
            Some(credentials_hint(store))
        }
        StoreError::Generic { .. } if words.contains("edirect") => Some(
            "the store sends requests on to another host, which are not followed with your credentials: look at AWS_REGION and the endpoint",
        ),
        StoreError::Generic { .. } if words.contains("scheme is not allowed") => Some(
            "plain http is for this machine: use https, or insist with AWS_ALLOW_HTTP set to true (AZURE_ALLOW_HTTP)",
        ),
        _ => None,
    }
}

/// Whether a store says that the bucket itself is not there.
pub(super) fn names_no_bucket(words: &str) -> bool {
    words.contains("NoSuchBucket") || words.contains("ContainerNotFound")
}

fn credentials_hint(store: StoreKind) -> &'static str {
    match store {
        StoreKind::S3 => {
            "export AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN) and AWS_REGION; profiles, ~/.aws and SSO are not read: `aws configure export-credentials --format env` prints them; AWS_SKIP_SIGNATURE set to true for public buckets"
        }
        StoreKind::Gcs => {
            "export GOOGLE_APPLICATION_CREDENTIALS (the file of a service account), or GOOGLE_SKIP_SIGNATURE set to true for public buckets"
        }
        StoreKind::Azure => {
            "export AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_SKIP_SIGNATURE set to true for public containers"
        }
        StoreKind::Hub => "export HF_TOKEN, a valid one of an account that may read the dataset",
        StoreKind::Web => "the server asks for who you are: use a signed URL",
    }
}

/// Its words, without what is secret in them.
fn hidden(error: &StoreError) -> String {
    secrets::in_message(&words(error))
}

/// Its words and those of its causes.
fn words(error: &StoreError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
