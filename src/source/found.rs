//! What inputs name: gathered from the listings of places, each file once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    FoundTable, Listing, Location, Place, TableFolder, TableShard, TableVersion,
    folders::with_folders,
    place::{names_parquet, names_tar},
};
use crate::error::Result;

/// Names of files that a note shows.
const SHOWN_FILES: usize = 3;

/// Whether names of folders, `label=3/`, are values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Folders {
    /// Each is a column of the shards below.
    #[default]
    Columns,
    /// They are names.
    Names,
}

/// What inputs name.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The shards.
    pub files: Vec<Location>,
    /// What tables say of those that are theirs.
    pub of_tables: HashMap<Location, TableShard>,
    /// The versions of those tables.
    pub versions: Vec<TableVersion>,
    /// What the caller should know of files that are not among them, one line each.
    pub notes: Vec<String>,
    /// What the names of their folders are.
    pub folders: Folders,
}

impl Found {
    /// The shards with the columns of their folders.
    ///
    /// # Errors
    /// When folders have not the same columns for all shards, or say two things of one.
    pub fn table(self) -> Result<FoundTable> {
        if self.of_tables.is_empty() {
            return Ok(FoundTable {
                shards: self.folders.table(self.files)?,
                notes: self.notes,
                versions: self.versions,
            });
        }
        let loose = self
            .files
            .iter()
            .filter(|file| !self.of_tables.contains_key(file));
        let mut loose = self.folders.table(loose.cloned().collect())?.into_iter();
        let of = |file| self.of_tables.get(file).cloned().or_else(|| loose.next());
        Ok(FoundTable {
            shards: self.files.iter().filter_map(of).collect(),
            notes: self.notes,
            versions: self.versions,
        })
    }
}

impl Folders {
    pub(super) fn table(self, files: Vec<Location>) -> Result<Vec<TableShard>> {
        match self {
            Folders::Columns => with_folders(files),
            Folders::Names => Ok(files.into_iter().map(TableShard::from).collect()),
        }
    }
}

/// What places have listed.
#[derive(Default)]
pub(super) struct Gathered {
    files: Vec<Location>,
    unnamed: Vec<String>,
    pub(super) tables: Vec<TableFolder>,
    of_tables: HashMap<Location, TableShard>,
    pub(super) versions: Vec<TableVersion>,
    pub(super) has_table: bool,
    /// What tables tell.
    pub(super) told: Vec<String>,
}

impl Gathered {
    pub(super) fn add(&mut self, listing: Listing, place: &Arc<dyn Place>) {
        let Listing {
            files,
            unnamed,
            tables,
        } = listing;
        for file in files {
            self.files.push(Location::new(file, Arc::clone(place)));
        }
        self.unnamed.extend(unnamed);
        self.tables.extend(tables);
    }

    pub(super) fn add_shards(&mut self, shards: Vec<TableShard>) {
        for shard in shards {
            self.files.push(shard.location.clone());
            self.of_tables.insert(shard.location.clone(), shard);
        }
    }

    /// Takes out Parquet files that lie beside a tar of the same name: img2dataset writes so what it knows of the samples.
    fn take_facts_of_tars(&mut self) -> Vec<String> {
        let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        let names = self.files.iter().map(Location::name);
        let tars: HashSet<String> = names
            .filter(|name| names_tar(name))
            .filter_map(stem)
            .collect();
        let mut facts = Vec::new();
        self.files.retain(|file| {
            let is_facts = names_parquet(file.file_name())
                && stem(file.name()).is_some_and(|stem| tars.contains(&stem));
            if is_facts {
                facts.push(file.to_string());
            }
            !is_facts
        });
        facts
    }

    /// Every file once, and what is to be told.
    pub(super) fn finish(mut self, folders: Folders) -> Found {
        let mut seen = HashSet::new();
        self.files.retain(|file| seen.insert(file.clone()));
        let (mut first, mut again) = (HashMap::new(), Vec::new());
        self.files.retain(|file| match file.one_of() {
            None => true,
            Some(key) => {
                let known = first.entry(key).or_insert_with(|| file.to_string());
                let is_first = *known == file.name();
                if !is_first {
                    again.push(format!("{file} is {known}"));
                }
                is_first
            }
        });
        let facts = self.take_facts_of_tars();
        self.unnamed.sort();
        self.unnamed.dedup();
        // One that is named itself is read.
        let is_read = |name: &String| self.files.iter().any(|file| file.name() == name);
        self.unnamed.retain(|name| !is_read(name));
        let mut notes: Vec<String> = self.tables.iter().map(TableFolder::insisted).collect();
        notes.dedup();
        notes.extend(self.told);
        notes.extend(told("have another name here", &again));
        notes.extend(told(
            "lie beside a tar of the same name, whose facts they are",
            &facts,
        ));
        notes.extend(told(
            "are Parquet by content and not by name (name them themselves, or end their names in .parquet)",
            &self.unnamed,
        ));
        Found {
            files: self.files,
            of_tables: self.of_tables,
            versions: self.versions,
            notes,
            folders,
        }
    }
}

/// A line on files that are left out, none if there are none.
fn told(why: &str, files: &[String]) -> Option<String> {
    let shown = files[..files.len().min(SHOWN_FILES)].join(", ");
    let more = match files.len() {
        0 => return None,
        all if all > SHOWN_FILES => format!(" and {} more", all - SHOWN_FILES),
        _ => String::new(),
    };
    let count = match files.len() {
        1 => "1 file".to_owned(),
        all => format!("{all} files"),
    };
    Some(format!("left out {count} that {why}: {shown}{more}"))
}
