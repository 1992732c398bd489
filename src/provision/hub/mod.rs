//! Models of the hub: which one is meant, which of its files are needed, and where they lie.
//!
//! A model that was fetched once is not asked for again: a record in the cache names the commit, the files
//! and their hashes, so a run that is resumed, or repeated a year later, uses the same weights although the
//! branch has moved. A commit in the name (`hf:org/name@<commit>`) moves it on purpose.

mod cache;
mod choice;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod remote;
mod spec;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Surroundings;
use crate::error::{Error, Result};
use cache::ModelCache;

pub use spec::HubSpec;

/// A model of the hub on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// The snapshot: a directory in the layout of the repository, with the chosen files.
    pub directory: PathBuf,
    /// The commit, in full.
    pub revision: String,
    /// The precision of the chosen graphs: `fp32`, `fp16`, `quantized`, …
    pub precision: String,
    /// The chosen files.
    pub files: Vec<HubFile>,
}

/// One file of a [`HubModel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    /// Its path in the repository.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its content, lower-case hexadecimal.
    pub sha256: String,
}

/// The model on this machine: from the cache if it was fetched before, else from the hub.
///
/// Only what a run needs is fetched: the configuration, the tokenizer and the graphs of one precision.
/// `say` gets a line when something is fetched and one every few seconds while it lasts.
///
/// # Errors
/// The repository or its revision does not exist or needs a token, holds no ONNX graphs (or none of this
/// precision), a download breaks off or stalls, a hash differs; offline: what is missing in the cache.
pub fn fetch_model(
    surroundings: &Surroundings,
    spec: &HubSpec,
    say: &mut dyn FnMut(&str),
) -> Result<HubModel> {
    spec.check()?;
    let cache = ModelCache::new(surroundings, spec)?;
    if let Some(model) = cache.recorded() {
        return Ok(model);
    }
    if surroundings.offline {
        return cache.offline();
    }
    online(&cache, spec, say)
}

#[cfg(feature = "hub")]
fn online(cache: &ModelCache<'_>, spec: &HubSpec, say: &mut dyn FnMut(&str)) -> Result<HubModel> {
    remote::fetch(cache, spec, &download::Patience::default(), say)
}

#[cfg(not(feature = "hub"))]
fn online(cache: &ModelCache<'_>, spec: &HubSpec, _say: &mut dyn FnMut(&str)) -> Result<HubModel> {
    cache.offline().map_err(|error| {
        error
            .with("build", "without the hub client (feature `hub`)")
            .hint(format!(
                "download {} by other means and name its directory: `--model DIR`",
                spec.repo
            ))
    })
}

/// An error about the model that `spec` names.
fn hub_error(message: &str, spec: &HubSpec) -> Error {
    Error::model(message).with("model", spec)
}

#[cfg(test)]
mod tests;
