//! What lies below an object.

use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectMeta};

use super::object::{Facts, Object};
use crate::error::{Error, ErrorKind, Result};

impl Object {
    /// All objects below it, at any depth, sorted by their keys.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn below(&self) -> Result<Vec<Facts>> {
        if self.is_web() {
            return Err(
                Error::usage("list files of a web server: it has no listing")
                    .with("url", crate::secrets::without_credentials(self.url()))
                    .hint("name each file"),
            );
        }
        let (store, key) = self.with_key();
        let prefix = (!key.as_ref().is_empty()).then_some(key);
        let listed = self.wait(async move {
            store
                .list(prefix.as_ref())
                .try_collect::<Vec<ObjectMeta>>()
                .await
        })?;
        let mut listed = listed
            .map_err(|error| self.failed(ErrorKind::Input, "list the object store", error))?;
        listed.sort_by(|a, b| a.location.as_ref().cmp(b.location.as_ref()));
        let before = self.url().len() - self.key().as_ref().len();
        let root = self.url()[..before].trim_end_matches('/').to_owned();
        let facts = listed
            .into_iter()
            .map(|meta| self.facts_of(format!("{root}/{}", meta.location), meta));
        Ok(facts.collect())
    }

    /// Names of all objects below it, from it on.
    ///
    /// # Errors
    /// As of [`Object::below`].
    pub fn names_below(&self) -> Result<Vec<String>> {
        let names = self.below()?.into_iter();
        Ok(names
            .map(|facts| self.name_within(&facts.url).to_owned())
            .collect())
    }

    /// The name from here on of an object below; all of the URL of one that is elsewhere.
    pub fn name_within<'a>(&self, url: &'a str) -> &'a str {
        let within = url.strip_prefix(self.url().trim_end_matches('/'));
        within
            .and_then(|name| name.strip_prefix('/'))
            .unwrap_or(url)
    }

    /// Whether anything lies below it.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn has_below(&self) -> Result<bool> {
        self.has_named_below(|_| true)
    }

    /// Whether an object lies below it whose name, the last part of its key, is one of those.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn has_named_below(&self, is_wanted: fn(&str) -> bool) -> Result<bool> {
        let (store, key) = self.with_key();
        let prefix = (!key.as_ref().is_empty()).then_some(key);
        let found = self.wait(async move {
            let mut listed = store.list(prefix.as_ref());
            while let Some(meta) = listed.try_next().await? {
                if meta.location.filename().is_some_and(is_wanted) {
                    return Ok(true);
                }
            }
            Ok::<_, StoreError>(false)
        })?;
        found.map_err(|error| self.failed(ErrorKind::Input, "list the object store", error))
    }
}
