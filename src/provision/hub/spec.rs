//! The name of a model on the hub.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    schema::Side,
};

/// A repository of the hub and which of its files are wanted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HubSpec {
    /// `org/name`.
    pub repo: String,
    /// The folder of the model in the repository, where there are several: `onnx/s2`.
    pub folder: Option<String>,
    /// The one tower that is wanted; both if `None`.
    pub part: Option<Side>,
    /// A branch, a tag or a full commit; `None` is `main`.
    pub revision: Option<String>,
    /// `HF_ENDPOINT`; `None` is the public hub.
    pub endpoint: Option<String>,
    /// `HF_TOKEN`; without it the token file beside the hub's cache is read.
    pub token: Option<String>,
    /// `--precision`; `None` or `auto` is fp32 where it exists, else the best there is.
    pub precision: Option<String>,
}

/// What every name starts with.
const PREFIX: &str = "hf:";

impl HubSpec {
    /// The revision, `main` if none is named.
    pub fn revision_name(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The precision that was asked for, if one was.
    pub(super) fn wanted_precision(&self) -> Option<&str> {
        self.precision.as_deref().filter(|name| *name != "auto")
    }

    /// The fields are public: refuse what must never become part of a path or an address.
    pub(super) fn check(&self) -> Result<()> {
        check_repo(&self.repo).map_err(Error::usage)?;
        check_revision(self.revision_name()).map_err(Error::usage)?;
        if let Some(folder) = &self.folder {
            check_folder(folder).map_err(Error::usage)?;
        }
        match self.precision.as_deref() {
            Some(name)
                if !name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
            {
                Err(Error::usage(format!(
                    "read the precision: '{name}' is not a word such as fp32, fp16, quantized"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for HubSpec {
    type Err = String;

    /// Reads `hf:org/name`, `hf:org/name@revision` or `hf:org/name/folder@revision`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix(PREFIX).ok_or_else(|| {
            format!("'{text}' does not start with {PREFIX} (as in hf:org/name@revision)")
        })?;
        let (path, revision) = match name.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (name, None),
        };
        let (repo, folder) = match path.match_indices('/').nth(1) {
            Some((end, _)) => (&path[..end], Some(&path[end + 1..])),
            None => (path, None),
        };
        check_repo(repo)?;
        if let Some(folder) = folder {
            check_folder(folder)?;
        }
        if let Some(revision) = revision {
            check_revision(revision)?;
        }
        Ok(HubSpec {
            repo: repo.to_owned(),
            folder: folder.map(str::to_owned),
            revision: revision.map(str::to_owned),
            ..HubSpec::default()
        })
    }
}

fn check_repo(repo: &str) -> Result<(), String> {
    let wanted = "a model of the hub is named org/name";
    let Some((organisation, name)) = repo.split_once('/') else {
        return Err(format!("'{repo}' has no '/': {wanted}"));
    };
    for part in [organisation, name] {
        if part.is_empty() || part.len() > 96 {
            return Err(format!("'{repo}' has an empty or overlong part: {wanted}"));
        }
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if let Some(other) = part
            .chars()
            .find(|&character| !u8::try_from(character).is_ok_and(known))
        {
            return Err(format!(
                "'{repo}' holds '{other}': {wanted}, of letters, digits, '-', '_' and '.'"
            ));
        }
        // The hub forbids them, and "--" separates the parts in the cache.
        if part.starts_with('.') || part.contains("..") || part.contains("--") {
            return Err(format!(
                "'{repo}' holds a leading '.', a '..' or a '--', which the hub does not allow"
            ));
        }
    }
    Ok(())
}

fn check_folder(folder: &str) -> Result<(), String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(known);
    if folder.len() <= 200 && folder.split('/').all(plain) {
        return Ok(());
    }
    Err(format!(
        "'{folder}' is not a folder of a repository (as in hf:org/name/onnx/s2)"
    ))
}

fn check_revision(revision: &str) -> Result<(), String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let plain = !revision.is_empty() && revision.len() <= 200 && revision.bytes().all(known);
    let inside =
        !revision.contains("..") && !revision.starts_with(['/', '.']) && !revision.ends_with('/');
    if plain && inside {
        return Ok(());
    }
    Err(format!(
        "'{revision}' is not a branch, a tag or a commit (as in hf:org/name@main)"
    ))
}

impl fmt::Display for HubSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.repo)?;
        if let Some(folder) = &self.folder {
            write!(f, "/{folder}")?;
        }
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HubSpec {
    /// Never shows the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSpec")
            .field("repo", &self.repo)
            .field("folder", &self.folder)
            .field("part", &self.part)
            .field("revision", &self.revision)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("precision", &self.precision)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_print() {
        for text in [
            "hf:Xenova/clip-vit-base-patch32",
            "hf:org/name@main",
            "hf:org/name@refs/pr/1",
            "hf:org/name/onnx/s2",
            "hf:org/name/s2@refs/pr/1",
        ] {
            assert_eq!(
                text.parse::<HubSpec>().map(|spec| spec.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn names_that_lead_out_of_the_cache_are_refused() {
        let cases = [
            ("org/name", "does not start with hf:"),
            ("hf:name", "has no '/'"),
            ("hf:/name", "empty"),
            ("hf:a/b/../c", "not a folder"),
            ("hf:a/b//c", "not a folder"),
            ("hf:a/b/", "not a folder"),
            ("hf:../name", "leading '.'"),
            ("hf:org/na me", "holds ' '"),
            ("hf:org/name@", "not a branch"),
            ("hf:org/name@../../x", "not a branch"),
            ("hf:org/name@/etc", "not a branch"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<HubSpec>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        let spec = HubSpec {
            token: Some("secret".to_owned()),
            ..HubSpec::default()
        };
        assert!(!format!("{spec:?} {spec}").contains("secret"));
    }
}
