//! What the environment says of the hub, as `huggingface_hub` reads it.

use std::{env, path::PathBuf};

use reqwest::Url;

use super::super::bucket::is_loopback;
use crate::{
    error::{Error, Result},
    secrets,
};

const ENDPOINT: &str = "https://huggingface.co";

/// Where the hub is, and who asks.
pub(in crate::remote) struct HubSettings {
    pub(super) endpoint: Url,
    pub(super) token: Option<String>,
}

impl HubSettings {
    /// From this process's environment: `HF_ENDPOINT`, `HF_TOKEN`, and the file in which a login left its token.
    ///
    /// # Errors
    /// When the endpoint is no address, or is plain http to another machine; when the hub is not to be asked
    /// (`HF_HUB_OFFLINE`).
    pub(in crate::remote) fn from_environment() -> Result<Self> {
        if is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE") {
            return Err(
                Error::usage("read from the Hugging Face hub: HF_HUB_OFFLINE forbids it")
                    .hint("unset HF_HUB_OFFLINE, or name files of this machine"),
            );
        }
        let endpoint = filled("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        Ok(Self {
            endpoint: parsed(&endpoint)?,
            token: token(),
        })
    }
}

fn parsed(endpoint: &str) -> Result<Url> {
    let refused = |why: &str| {
        Error::usage(format!("read HF_ENDPOINT: {why}"))
            .with("HF_ENDPOINT", secrets::without_credentials(endpoint))
            .hint(format!("unset it for {ENDPOINT}"))
    };
    let url = Url::parse(endpoint).map_err(|_| refused("it is no address"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(endpoint) => Ok(url),
        "http" => Err(refused("a token would go over plain http")),
        _ => Err(refused("it is no web address")),
    }
}

fn token() -> Option<String> {
    if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return None;
    }
    let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter();
    let named = named.filter_map(filled).find_map(|token| clean(&token));
    named.or_else(|| clean(&std::fs::read_to_string(token_file()?).ok()?))
}

fn token_file() -> Option<PathBuf> {
    let path = |name| filled(name).map(PathBuf::from);
    let cache = || path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
    let home = || path("HF_HOME").or_else(|| Some(cache()?.join("huggingface")));
    path("HF_TOKEN_PATH").or_else(|| Some(home()?.join("token")))
}

/// Without the end of its line; what is empty is none.
fn clean(token: &str) -> Option<String> {
    let token = token.replace(['\r', '\n'], "");
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

fn filled(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_set(name: &str) -> bool {
    let value = filled(name).unwrap_or_default().to_ascii_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_plain_http_to_this_machine_only() {
        for endpoint in ["https://h", "https://h/proxy/", "http://127.0.0.1:9"] {
            assert!(parsed(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in ["http://h", "ftp://h", "h", "http://127.0.0.1.evil.com"] {
            assert!(parsed(endpoint).is_err(), "{endpoint}");
        }
        let error = parsed("http://u:secret@h").unwrap_err().report();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_token_is_one_line() {
        assert_eq!(clean(" hf_x\r\n").as_deref(), Some("hf_x"));
        assert_eq!(clean("\n"), None);
    }
}
