//! From what a caller types to locations: the places that shards may lie in, by the scheme of their URLs.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    AsOf, Folders, Found, KnownVersion, Location, Place, TablePaths, TableRequest, TableShard,
    Tables,
    braces::expand_braces,
    file_list::{FILE_LIST, files_of},
    found::Gathered,
    local::LocalFiles,
    tables::no_table,
};
use crate::{
    error::{Error, Result},
    secrets,
};

/// The places that inputs may name: local files, and those that the caller adds.
#[derive(Clone)]
pub struct Places {
    local: Arc<dyn Place>,
    by_scheme: BTreeMap<String, Arc<dyn Place>>,
    loose_tables: bool,
    tables: Option<Arc<dyn Tables>>,
    as_of: AsOf,
    table_paths: TablePaths,
    known_versions: Arc<[KnownVersion]>,
    #[cfg(feature = "remote")]
    object_stores: Option<Arc<crate::remote::ObjectStores>>,
    folders: Folders,
}

impl Default for Places {
    /// Local files alone.
    fn default() -> Self {
        Self {
            local: Arc::new(LocalFiles),
            by_scheme: BTreeMap::new(),
            loose_tables: false,
            tables: None,
            as_of: AsOf::default(),
            table_paths: TablePaths::default(),
            known_versions: Arc::new([]),
            #[cfg(feature = "remote")]
            object_stores: None,
            folders: Folders::Columns,
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

    /// Reads URLs of object stores and web servers.
    #[cfg(feature = "remote")]
    #[must_use]
    pub fn with_object_stores(mut self, stores: &Arc<crate::remote::ObjectStores>) -> Self {
        let place: Arc<dyn Place> = Arc::new(super::RemoteFiles::new(Arc::clone(stores)));
        for scheme in crate::remote::SCHEMES {
            self = self.with_place(scheme, Arc::clone(&place));
        }
        self.object_stores = Some(Arc::clone(stores));
        self
    }

    /// Those that URLs are read from, if there are any.
    #[cfg(feature = "remote")]
    pub fn object_stores(&self) -> Option<&Arc<crate::remote::ObjectStores>> {
        self.object_stores.as_ref()
    }

    /// Reads the files of a table's folder as they lie, with rows that the table has deleted.
    #[must_use]
    pub fn with_loose_tables(mut self) -> Self {
        self.loose_tables = true;
        self
    }

    /// Reads tables with these: an input that is the folder of one stands for the rows that the table has.
    #[must_use]
    pub fn with_tables(mut self, tables: Arc<dyn Tables>) -> Self {
        self.tables = Some(tables);
        self
    }

    /// Reads this state of tables.
    #[must_use]
    pub fn with_as_of(mut self, as_of: AsOf) -> Self {
        self.as_of = as_of;
        self
    }

    /// Follows logs of tables out of their folders.
    #[must_use]
    pub fn with_table_paths(mut self, paths: TablePaths) -> Self {
        self.table_paths = paths;
        self
    }

    /// Leaves out files of tables that are in these versions.
    #[must_use]
    pub fn with_known_versions(mut self, known: Vec<KnownVersion>) -> Self {
        self.known_versions = known.into();
        self
    }

    /// Reads no columns from names of folders.
    #[must_use]
    pub fn without_folders(mut self) -> Self {
        self.folders = Folders::Names;
        self
    }

    /// What names of folders are.
    pub fn folders(&self) -> Folders {
        self.folders
    }

    /// Files with the columns of their folders.
    ///
    /// # Errors
    /// As [`Found::table`].
    pub fn table_of(&self, files: Vec<Location>) -> Result<Vec<TableShard>> {
        self.folders.table(files)
    }

    /// The shards that `inputs` name, as [`Places::find`] finds them.
    ///
    /// # Errors
    /// As [`Places::find`].
    pub fn expand(&self, inputs: &[String]) -> Result<Vec<Location>> {
        Ok(self.find(inputs)?.files)
    }

    /// The shards that `inputs` name, in a stable order: arguments as given, files sorted within each. A file that has
    /// several names is read once.
    ///
    /// An argument is a file, a directory (read to any depth, names that start with `.` or `_` skipped), a
    /// list of files (`files:LIST`), a glob (`*`, `?`, `[..]`) or holds brace ranges and lists (`part-{00000..00127}.parquet`, `{a,b}.parquet`).
    ///
    /// # Errors
    /// When an argument names nothing, is a URL of a scheme that has no place, or names files of a table.
    pub fn find(&self, inputs: &[String]) -> Result<Found> {
        let mut all = Gathered::default();
        for input in inputs {
            if let Some(list) = input.strip_prefix(FILE_LIST) {
                all.add_shards(files_of(list, self)?);
                continue;
            }
            let place = self.place_of(input)?;
            // A file whose own name holds a brace or a star is taken literally.
            let is_name = !is_pattern(input) && !input.contains('{');
            if is_name || place.exists(&place.at(input)) {
                if !self.add_table(input, place, &mut all)? {
                    all.add(place.below(input)?, place);
                }
                continue;
            }
            let (patterns, names): (Vec<String>, Vec<String>) = expand_braces(input)?
                .into_iter()
                .partition(|pattern| is_pattern(pattern));
            for pattern in &patterns {
                all.add(place.matching(pattern)?, place);
            }
            let mut loose = Vec::with_capacity(names.len());
            for name in names {
                if !self.add_table(&name, place, &mut all)? {
                    loose.push(name);
                }
            }
            for listing in place.below_each(&loose) {
                all.add(listing?, place);
            }
        }
        if self.as_of != AsOf::Newest && !all.has_table {
            return Err(no_table());
        }
        match all.tables.first() {
            Some(table) if !self.loose_tables => Err(table.refused()),
            _ => Ok(all.finish(self.folders)),
        }
    }

    /// Whether an input of this name is read as a table.
    pub fn is_table(&self, name: &str) -> bool {
        let place = self.place_of(name);
        let is_one = |place: &Arc<dyn Place>| place.table_at(name).is_ok_and(|it| it.is_some());
        self.tables.is_some() && !self.loose_tables && place.is_ok_and(is_one)
    }

    /// Adds the files of the table whose folder `name` is; false if it is none, or its files are read as they lie.
    fn add_table(&self, name: &str, place: &Arc<dyn Place>, all: &mut Gathered) -> Result<bool> {
        let Some(tables) = self.tables.as_ref().filter(|_| !self.loose_tables) else {
            return Ok(false);
        };
        let Some(folder) = place.table_at(name)? else {
            return Ok(false);
        };
        let found = tables.open(&TableRequest {
            folder: &folder,
            place,
            places: self,
            as_of: self.as_of,
            paths: self.table_paths,
            known: &self.known_versions,
        })?;
        all.has_table = true;
        all.add_shards(found.shards);
        all.told.extend(found.notes);
        all.versions.extend(found.versions);
        Ok(true)
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
            let known: Vec<&str> = self.by_scheme.keys().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => "download or mount it first; this host reads local paths".to_owned(),
                false => format!(
                    "download or mount it first; URLs begin with {}",
                    known.join(", ")
                ),
            };
            Error::usage("read a URL as a shard")
                .with("input", secrets::without_credentials(name))
                .hint(hint)
        })
    }
}

/// Whether a name may stand for several; the query of a web address is none of it.
fn is_pattern(name: &str) -> bool {
    let is_web = name.starts_with("https://") || name.starts_with("http://");
    let name = match name.split_once('?') {
        Some((path, _)) if is_web => path,
        _ => name,
    };
    name.contains(['*', '?', '['])
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
            "failed to read a URL as a shard\n  input: s3://bucket/a.parquet\n  try: download or mount it first; URLs begin with mem"
        );
        assert!(Places::default().at("mem://b.parquet").is_err());
        assert!(places().at("mem://b.parquet").unwrap().exists());
        assert!(!places().at("mem://c.parquet").unwrap().exists());
    }
}
