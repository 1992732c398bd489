//! Asks the hub what a model has, and says what went wrong.

use hf_hub::{
    Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError},
};
use serde::Deserialize;

use super::{
    HubModel, HubSpec,
    cache::{ModelCache, describe, is_commit},
    choice::{Choice, choose},
    download::Patience,
    hub_error,
};
use crate::{
    config::{ByteSize, model_files::NoTowers},
    error::{Error, Result},
    schema::Side,
};

const ENDPOINT: &str = "https://huggingface.co";

/// The hub's answer about a repository, with `blobs=true`.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sibling {
    pub(super) rfilename: String,
    pub(super) size: Option<u64>,
    blob_id: Option<String>,
    pub(super) lfs: Option<Large>,
}

#[derive(Deserialize)]
pub(super) struct Large {
    pub(super) sha256: String,
}

impl Sibling {
    /// The name of its content in the cache.
    pub(super) fn etag(&self) -> Option<&str> {
        let etag = self
            .lfs
            .as_ref()
            .map(|large| large.sha256.as_str())
            .or(self.blob_id.as_deref())?;
        etag.bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then_some(etag)
    }
}

/// Fetches what is missing of the model and records it.
pub(super) fn fetch(
    cache: &ModelCache<'_>,
    spec: &HubSpec,
    patience: &Patience,
    say: &mut dyn FnMut(&str),
) -> Result<HubModel> {
    let endpoint = spec
        .endpoint
        .as_deref()
        .unwrap_or(ENDPOINT)
        .trim_end_matches('/');
    let hub = Hub {
        cache,
        spec,
        endpoint,
        patience,
    };
    let api = hub.client()?;
    let listing = hub.list(&api)?;
    if !is_commit(&listing.sha) {
        return Err(hub
            .error("read the hub's answer")
            .with("commit", listing.sha));
    }
    let choice = hub.choose(&listing)?;
    let wanted = listing
        .siblings
        .iter()
        .filter(|sibling| choice.files.contains(&sibling.rfilename));
    let missing: Vec<&Sibling> = wanted
        .filter(|sibling| !hub.has(&listing.sha, sibling))
        .collect();
    if !missing.is_empty() {
        let total = ByteSize(missing.iter().filter_map(|sibling| sibling.size).sum());
        let short = &listing.sha[..7];
        say(&format!(
            "fetching {spec} at commit {short} ({}): {} files, {total}",
            choice.precision,
            missing.len()
        ));
    }
    let repo = Repo::with_revision(spec.repo.clone(), RepoType::Model, listing.sha.clone());
    for sibling in missing {
        let from = || api.repo(repo.clone());
        hub.obtain(&listing.sha, sibling, &from, say)?;
    }
    cache.name_commit(&listing.sha)?;
    cache.record(listing.sha, choice)
}

pub(super) struct Hub<'a> {
    pub(super) cache: &'a ModelCache<'a>,
    spec: &'a HubSpec,
    endpoint: &'a str,
    pub(super) patience: &'a Patience,
}

impl Hub<'_> {
    fn client(&self) -> Result<Api> {
        let mut builder = ApiBuilder::from_cache(hf_hub::Cache::new(self.cache.root().to_owned()))
            .with_endpoint(self.endpoint.to_owned())
            .with_progress(false)
            .with_retries(2)
            .with_user_agent("clip-filter", env!("CARGO_PKG_VERSION"));
        if let Some(token) = self
            .spec
            .token
            .as_deref()
            .map(str::trim)
            .filter(|token| !token.is_empty())
        {
            builder = builder.with_token(Some(token.to_owned()));
        }
        builder
            .build()
            .map_err(|error| self.error("start the hub client").source(error))
    }

    fn list(&self, api: &Api) -> Result<Listing> {
        let revision = self.spec.revision_name().to_owned();
        let request = api
            .repo(Repo::with_revision(
                self.spec.repo.clone(),
                RepoType::Model,
                revision,
            ))
            .info_request()
            .query("blobs", "true")
            .config()
            .timeout_global(Some(self.patience.reply))
            .http_status_as_error(false)
            .build();
        let mut response = request
            .call()
            .map_err(|error| self.unreachable(error.to_string()))?;
        match response.status().as_u16() {
            200 => response.body_mut().read_json().map_err(|error| {
                self.error("read the hub's answer")
                    .source(error)
                    .hint("check HF_ENDPOINT: is it a hub?")
            }),
            status => Err(self.refused(status)),
        }
    }

    fn choose(&self, listing: &Listing) -> Result<Choice> {
        let paths: Vec<String> = listing
            .siblings
            .iter()
            .map(|sibling| sibling.rfilename.clone())
            // A hub that is not the hub could name anything.
            .filter(|path| {
                !path.starts_with('/')
                    && !path.split('/').any(|part| part.is_empty() || part == "..")
            })
            .collect();
        choose(&paths, self.spec).map_err(|none| {
            let error = self.error("find the files of the model").with("missing", describe(&none));
            match none {
                NoTowers::NoGraphs => {
                    let repo = &self.spec.repo;
                    error.with("files", first_of(&paths)).hint(format!(
                        "`optimum-cli export onnx --model {repo} DIR`, then `--model DIR`; or name a repository \
                         that holds an export"
                    ))
                }
                NoTowers::OtherPrecisions(_) => error.hint("name one of them with --precision, or leave it out"),
                NoTowers::Only(Side::Image) => error.hint("name the repository of the other with --text-model hf:org/name"),
                NoTowers::Only(Side::Text) => error.hint(format!(
                    "--model hf:org/name of the image tower, and --text-model hf:{} for this one", self.spec.repo
                )),
                NoTowers::Several(folders) => {
                    let one = HubSpec { folder: folders.first().map(|folder| folder.trim_end_matches('/').to_owned()), ..self.spec.clone() };
                    error.hint(format!("name one: --model {one}"))
                }
            }
        })
    }

    pub(super) fn error(&self, message: &str) -> Error {
        hub_error(message, self.spec).with("hub", self.endpoint)
    }

    pub(super) fn unreachable(&self, reason: String) -> Error {
        self.error("reach the hub").with("reason", reason).hint(
            "check the network, HTTPS_PROXY and HF_ENDPOINT and try again (what was received is kept); \
             or download the model by other means and name its directory: `--model DIR`",
        )
    }

    fn refused(&self, status: u16) -> Error {
        let spec = self.spec;
        let (message, hint) = match status {
            401 | 403 => (
                "fetch the model: the hub says that it does not exist or is not open to everyone",
                "check the name; if the model is private or gated, accept its terms on its page and set HF_TOKEN",
            ),
            404 if spec.revision.is_some() => (
                "fetch the model: the hub knows no such model, revision or file",
                "check the name and the revision on the hub's page",
            ),
            404 => (
                "fetch the model: the hub knows no such model or file",
                "check the name on the hub's page",
            ),
            429 => (
                "fetch the model: the hub limits the number of requests",
                "wait a few minutes, or set HF_TOKEN",
            ),
            _ => (
                "fetch the model: the hub answers with an error",
                "try again later",
            ),
        };
        self.error(message).with("status", status).hint(hint)
    }

    pub(super) fn broken(&self, name: &str, error: ApiError) -> Error {
        let error = match error {
            ApiError::TooManyRetries(last) => *last,
            error => error,
        };
        let text = error.to_string();
        // The client's request error is a type of its HTTP library; its text is the stable part.
        let status = text
            .split("http status: ")
            .nth(1)
            .and_then(|rest| rest.trim().parse::<u16>().ok());
        match (status, &error) {
            (Some(status), _) => self.refused(status).with("file", name),
            (None, ApiError::IoError(_) | ApiError::RequestError(_)) => {
                self.unreachable(text).with("file", name)
            }
            (None, _) => self
                .error("fetch a file of the model")
                .with("file", name)
                .source(error),
        }
    }
}

fn first_of(paths: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = paths[..paths.len().min(SHOWN)].join(", ");
    match paths.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
