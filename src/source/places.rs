//! From what a caller types to locations: the places that shards may lie in, by the scheme of their URLs.

use std::{collections::BTreeMap, collections::HashSet, fmt, sync::Arc};

use super::{Listed, Location, ShardFile, braces::expand_braces, kind::KINDS, local::LocalFiles};
use crate::error::{Error, Result};

/// Somewhere shards can lie: a file system, an object store.
///
/// A name is the whole text, its scheme too.
pub trait Place: fmt::Debug + Send + Sync {
    /// The file `name` itself, whether or not it is there.
    fn at(&self, name: &str) -> Listed {
        Listed::named(name)
    }

    /// Whether a file or directory of the name is there.
    fn exists(&self, file: &Listed) -> bool;

    /// The file `name`, or all shards in the directory of that name to any depth, sorted; see [`is_shard_name`].
    ///
    /// # Errors
    /// When nothing of the name is there, no shard is in it, or it cannot be listed.
    fn below(&self, name: &str) -> Result<Vec<Listed>>;

    /// As [`Place::below`] for every name that matches a pattern with `*`, `?` or `[..]`.
    ///
    /// # Errors
    /// When nothing matches, or it cannot be listed.
    fn matching(&self, pattern: &str) -> Result<Vec<Listed>>;

    /// Opens a file that is to be read in ranges.
    ///
    /// # Errors
    /// When that is known to fail at once.
    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>>;
}

/// The places that inputs may name: local files, and those that the caller adds.
#[derive(Clone)]
pub struct Places {
    local: Arc<dyn Place>,
    by_scheme: BTreeMap<String, Arc<dyn Place>>,
}

impl Default for Places {
    /// Local files alone.
    fn default() -> Self {
        Self {
            local: Arc::new(LocalFiles),
            by_scheme: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_scheme.keys()).finish()
    }
}

impl Places {
    /// Reads what begins with `scheme://` from `place`.
    #[must_use]
    pub fn with_place(mut self, scheme: &str, place: Arc<dyn Place>) -> Self {
        self.by_scheme.insert(scheme.to_owned(), place);
        self
    }

    /// The shards that `inputs` name, in a stable order: arguments as given, files sorted within each.
    ///
    /// An argument is a file, a directory (read to any depth, names that start with `.` or `_` skipped), a
    /// glob (`*`, `?`, `[..]`) or holds brace ranges and lists (`part-{00000..00127}.parquet`, `{a,b}.parquet`).
    ///
    /// # Errors
    /// When an argument names nothing, or is a URL of a scheme that has no place.
    pub fn expand(&self, inputs: &[String]) -> Result<Vec<Location>> {
        let mut found = Vec::new();
        for input in inputs {
            let place = self.place_of(input)?;
            let mut add = |files: Vec<Listed>| {
                let located = files
                    .into_iter()
                    .map(|file| Location::new(file, Arc::clone(place)));
                found.extend(located);
            };
            // A file whose own name holds a brace or a star is taken literally.
            if place.exists(&place.at(input)) {
                add(place.below(input)?);
                continue;
            }
            for pattern in expand_braces(input)? {
                add(match pattern.contains(['*', '?', '[']) {
                    true => place.matching(&pattern)?,
                    false => place.below(&pattern)?,
                });
            }
        }
        let mut seen = HashSet::new();
        found.retain(|file: &Location| seen.insert(file.clone()));
        Ok(found)
    }

    /// The file of this name or [`Location::address`], whether or not it is there.
    ///
    /// # Errors
    /// When it is a URL of a scheme that has no place.
    pub fn at(&self, name: &str) -> Result<Location> {
        let place = self.place_of(name)?;
        Ok(Location::new(place.at(name), Arc::clone(place)))
    }

    fn place_of(&self, name: &str) -> Result<&Arc<dyn Place>> {
        let Some((scheme, _)) = name.split_once("://") else {
            return Ok(&self.local);
        };
        self.by_scheme.get(scheme).ok_or_else(|| {
            Error::usage("read a URL as a shard")
                .with("input", name)
                .hint("download or mount it first; this version reads local paths")
        })
    }
}

/// Whether a file in a directory is a shard by its name: `*.parquet`, and not set aside.
pub fn is_shard_name(name: &str) -> bool {
    KINDS.iter().any(|kind| name.ends_with(kind.ending)) && !is_set_aside(name)
}

/// Whether a file or directory is left out where it is not named itself: `.` or `_` comes first.
pub fn is_set_aside(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryPlace;

    fn names(places: &Places, inputs: &[&str]) -> Result<Vec<String>> {
        let inputs: Vec<String> = inputs.iter().map(|&input| input.to_owned()).collect();
        let found = places.expand(&inputs)?;
        Ok(found.iter().map(|file| file.name().to_owned()).collect())
    }

    fn places() -> Places {
        let memory = MemoryPlace::default();
        for name in ["a/2.parquet", "a/1.parquet", "a/_x.parquet", "b.parquet"] {
            memory.put(&format!("mem://{name}"), Vec::new());
        }
        Places::default().with_place("mem", Arc::new(memory))
    }

    #[test]
    fn a_scheme_leads_to_its_place_with_all_that_inputs_may_be() {
        let all = ["mem://a/1.parquet", "mem://a/2.parquet"];
        assert_eq!(names(&places(), &["mem://a"]).unwrap(), all);
        assert_eq!(names(&places(), &["mem://a/*.parquet"]).unwrap(), all);
        assert_eq!(names(&places(), &["mem://a/{1..2}.parquet"]).unwrap(), all);
        let twice = ["mem://a/2.parquet", "mem://a"];
        let once = ["mem://a/2.parquet", "mem://a/1.parquet"];
        assert_eq!(names(&places(), &twice).unwrap(), once);
        assert!(names(&places(), &["mem://c"]).is_err());
    }

    #[test]
    fn an_unknown_scheme_is_refused_by_its_input() {
        let error = names(&places(), &["s3://bucket/a.parquet"]).unwrap_err();
        assert_eq!(
            error.report(),
            "failed to read a URL as a shard\n  input: s3://bucket/a.parquet\n  try: download or mount it first; this version reads local paths"
        );
        assert!(Places::default().at("mem://b.parquet").is_err());
        assert!(places().at("mem://b.parquet").unwrap().exists());
        assert!(!places().at("mem://c.parquet").unwrap().exists());
    }
}
