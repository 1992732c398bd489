//! What the hub says instead of an answer, in words that say what to do.

use std::fmt;

use object_store::Error as StoreError;
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName},
};

/// Codes by which the hub tells its refusals apart.
const CODE: HeaderName = HeaderName::from_static("x-error-code");
const MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
const WRONG_TOKEN: &str = "Invalid credentials in Authorization header";
/// Bytes of a message of the hub that are shown.
const SHOWN_BYTES: usize = 300;

/// A refusal that concerns a dataset, not one of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::remote) struct Refusal {
    why: Why,
    repo: String,
    has_token: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    NoDataset,
    NoRevision,
    Gated,
    WrongToken,
    Forbidden,
}

/// An answer that is no success.
pub(super) struct Refused<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) repo: &'a str,
    pub(super) path: &'a str,
    pub(super) has_token: bool,
}

impl Refused<'_> {
    /// The error that it is.
    pub(super) fn error(&self) -> StoreError {
        let said = |name| {
            let value = self.headers.get(name);
            value.and_then(|it| it.to_str().ok()).unwrap_or_default()
        };
        let (code, message) = (said(CODE), said(MESSAGE));
        let path = self.path.to_owned();
        let because = |why| {
            Box::new(Refusal {
                why,
                repo: self.repo.to_owned(),
                has_token: self.has_token,
            })
        };
        let shown = message.get(..SHOWN_BYTES).unwrap_or(message);
        let answer = format!("the hub answers {}: {shown}", self.status);
        let answer = answer.trim_end_matches([':', ' ']).to_owned();
        match (self.status, code) {
            (_, "EntryNotFound") => StoreError::NotFound {
                path,
                source: answer.into(),
            },
            (_, "RevisionNotFound") => StoreError::NotFound {
                path,
                source: because(Why::NoRevision),
            },
            (_, "GatedRepo") => StoreError::PermissionDenied {
                path,
                source: because(Why::Gated),
            },
            (StatusCode::UNAUTHORIZED, _) if message == WRONG_TOKEN => {
                StoreError::Unauthenticated {
                    path,
                    source: because(Why::WrongToken),
                }
            }
            // Who does not say who he is hears the same of a dataset that is private and of one that is not there.
            (_, "RepoNotFound") | (StatusCode::UNAUTHORIZED, _) => StoreError::NotFound {
                path,
                source: because(Why::NoDataset),
            },
            (StatusCode::FORBIDDEN, _) => StoreError::PermissionDenied {
                path,
                source: because(Why::Forbidden),
            },
            (StatusCode::NOT_FOUND, _) => StoreError::NotFound {
                path,
                source: answer.into(),
            },
            (StatusCode::PRECONDITION_FAILED, _) => StoreError::Precondition {
                path,
                source: answer.into(),
            },
            _ => super::generic(answer),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repo = &self.repo;
        match self.why {
            Why::NoDataset => write!(f, "the hub knows no dataset {repo}, or keeps it private"),
            Why::NoRevision => write!(f, "the dataset {repo} has no such revision"),
            Why::Gated => write!(f, "the dataset {repo} is gated"),
            Why::WrongToken => write!(f, "the hub does not take the token"),
            Why::Forbidden => write!(f, "the hub does not give the dataset {repo} to this token"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What to do.
    pub(in crate::remote) fn hint(&self) -> String {
        let repo = &self.repo;
        let token = match self.has_token {
            true => "look whether the token in HF_TOKEN may read it",
            false => "export HF_TOKEN of an account that may read it",
        };
        match self.why {
            Why::NoDataset => format!("look at the name hf://datasets/{repo}; if it is private, {token}"),
            Why::NoRevision => {
                "name a branch, a tag or a commit behind the @, or none for main".to_owned()
            }
            Why::Gated => format!(
                "accept its conditions at https://huggingface.co/datasets/{repo}, and {token}"
            ),
            Why::WrongToken => "export a HF_TOKEN that is valid, or none for what is public (`hf auth login` leaves one in a file, too)".to_owned(),
            Why::Forbidden => token.to_owned(),
        }
    }
}
