//! What the arguments name.

use std::path::Path;

use crate::{
    encode::{APART, ModelSource},
    error::{Error, ErrorKind, Result},
    source::{Found, Location, Places, names_shard},
    store::{ScoreStore, StoreAt},
};

/// The model that is part of the program, as `--model` names it.
const BUNDLED: &str = "bundled";
/// Names of a directory's entries that an error shows.
const SHOWN_ENTRIES: usize = 5;

/// What is known, for hints.
const KNOWN: &str =
    "give Parquet shards, a --scores directory, a model directory, bundled or hf:org/name";

/// What is inspected.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// Parquet files.
    Shards(Found),
    /// A score store.
    Store(StoreAt),
    /// A model by the name that `--model` takes: `bundled`, a directory, or `hf:org/name`.
    Model(String),
}

/// Finds out what `paths` name: shards may be several, a store or a model is one.
///
/// # Errors
/// When they are none of these: the error says what they look like and what to type.
pub fn subject(paths: &[String], places: &Places) -> Result<Subject> {
    let single = paths.iter().find_map(|path| alone(path, places));
    match (single, paths) {
        (Some(subject), [_]) => return Ok(subject),
        (Some(_), several) => {
            return Err(Error::usage(
                "inspect several things: only shards can be more than one path",
            )
            .with("paths", several.join(", "))
            .hint("clip-filter inspect PATH, with one score store or model at a time"));
        }
        (None, _) => {}
    }
    let found = places.find(paths).map_err(|error| match paths {
        // What is refused is known.
        [path] if error.kind() == ErrorKind::Input && !places.is_table(path) => {
            unknown(path, error)
        }
        _ => error,
    })?;
    match found.files.as_slice() {
        [file] if !names_shard(file.file_name()) && !is_parquet(file) => {
            Err(no_shard(file.path().unwrap_or(Path::new(file.name()))))
        }
        _ => Ok(Subject::Shards(found)),
    }
}

/// A store or a model.
fn alone(path: &str, places: &Places) -> Option<Subject> {
    let place = Path::new(path);
    if path.starts_with("hf:") || (path == BUNDLED && !place.exists()) {
        return Some(Subject::Model(path.to_owned()));
    }
    let at = StoreAt::from(path).in_places(places);
    if ScoreStore::is_at(&at) {
        return Some(Subject::Store(at));
    }
    let named_apart = path.contains(APART) && !place.exists();
    let is_model = named_apart || ModelSource::is_at(place) && !has_shards(place);
    is_model.then(|| Subject::Model(path.to_owned()))
}

/// True for a directory with Parquet files and no graph beside them or in `onnx/`: models below it are not meant.
fn has_shards(directory: &Path) -> bool {
    let has = |folder: &Path, end: &str| entries(folder).iter().any(|name| name.ends_with(end));
    let graphs = has(directory, ".onnx") || has(&directory.join("onnx"), ".onnx");
    !graphs && has(directory, ".parquet")
}

/// Sorted names, none of what is no directory.
fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// True for what begins as Parquet does, and for what cannot be opened: reading it gives the better error.
fn is_parquet(file: &Location) -> bool {
    let start = file.open().ok().and_then(|file| file.read_at(0..4).ok());
    start.is_none_or(|start| *start == *b"PAR1")
}

/// The error of a path that names nothing that is known.
fn unknown(path: &str, error: Error) -> Error {
    let place = Path::new(path);
    if place.is_dir() {
        let names = entries(place);
        let mut shown = names[..names.len().min(SHOWN_ENTRIES)].join(", ");
        match names.len() {
            0 => shown.push_str("nothing"),
            all if all > SHOWN_ENTRIES => {
                shown.push_str(&format!(" and {} more", all - SHOWN_ENTRIES));
            }
            _ => {}
        }
        return Error::input(
            "tell what the directory is: it has no *.parquet file, no manifest of a score store, \
             no ONNX file of a model",
        )
        .with("directory", path)
        .with("it holds", shown)
        .hint("give a directory of shards, a --scores directory, or a model directory with onnx/");
    }
    let looks_like_hub = path.split('/').count() == 2 && !path.contains(['*', '?', '[', '{', '.']);
    if looks_like_hub && !place.exists() {
        return Error::input("find the path")
            .with("path", path)
            .hint(format!(
                "clip-filter inspect hf:{path}, if it is a model of the hub"
            ));
    }
    if error.kind() == ErrorKind::Input {
        return error.hint(KNOWN);
    }
    error
}

/// The error of a file that is no Parquet.
fn no_shard(file: &Path) -> Error {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    let error = |what: &str| {
        Error::input(format!("inspect {what}: it is no Parquet file")).with("path", file.display())
    };
    match (name.as_ref(), extension.as_ref()) {
        ("manifest.json", _) if ScoreStore::is_at(parent) => error("the manifest of a score store")
            .hint(format!("clip-filter inspect {}", parent.display())),
        (_, "onnx") => {
            let model = match parent.file_name() {
                Some(name) if name == "onnx" => parent.parent().unwrap_or(parent),
                _ => parent,
            };
            error("an ONNX graph").hint(format!("clip-filter inspect {}", model.display()))
        }
        _ => error("a file").hint(KNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Folders;

    fn found(paths: &[&Path]) -> Result<Subject> {
        let paths: Vec<String> = paths
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect();
        subject(&paths, &Places::default())
    }

    #[test]
    fn every_kind_is_told_by_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for folder in ["store", "model/onnx", "shards"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        std::fs::write(path("store/manifest.json"), r#"{"format": 9}"#).unwrap();
        std::fs::write(path("model/onnx/model.onnx"), "").unwrap();
        std::fs::write(path("shards/a.parquet"), "PAR1").unwrap();
        // The manifest of another program.
        std::fs::write(path("shards/manifest.json"), "[]").unwrap();
        let tar = path("00000.tar");
        std::fs::write(&tar, "").unwrap();
        let (store, model, shards) = (path("store"), path("model"), path("shards"));
        assert_eq!(
            found(&[&store]).unwrap(),
            Subject::Store(StoreAt::from(&store))
        );
        let named = Subject::Model(model.to_str().unwrap().to_owned());
        assert_eq!(found(&[&model]).unwrap(), named);
        let files = Subject::Shards(Found {
            of_tables: Default::default(),
            files: vec![Location::local(path("shards/a.parquet"))],
            versions: Vec::new(),
            notes: Vec::new(),
            folders: Folders::Columns,
        });
        assert_eq!(found(&[&shards]).unwrap(), files);
        assert_eq!(found(&[&shards, &shards]).unwrap(), files);
        assert!(matches!(found(&[&tar]), Ok(Subject::Shards(_))));
        for name in ["bundled", "hf:a/b"] {
            let named = Subject::Model(name.to_owned());
            assert_eq!(found(&[Path::new(name)]).unwrap(), named);
        }
        assert!(found(&[&shards, &store]).is_err());
    }

    #[test]
    fn what_is_none_of_them_is_described() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let report = |path: &Path| found(&[path]).unwrap_err().report();
        std::fs::create_dir_all(path("m/onnx")).unwrap();
        std::fs::write(path("m/onnx/model.onnx"), "graph").unwrap();
        let model = format!("try: clip-filter inspect {}", path("m").display());
        assert!(report(&path("m/onnx/model.onnx")).ends_with(&model));
        std::fs::write(path("notes.txt"), "some notes").unwrap();
        assert!(
            report(&path("notes.txt")).starts_with("failed to inspect a file: it is no Parquet")
        );
        std::fs::create_dir(path("empty")).unwrap();
        assert!(report(&path("empty")).contains("it holds: nothing"));
        assert!(report(&path("gone.parquet")).contains("failed to open the input"));
        assert!(report(Path::new("Some/clip-model")).ends_with("if it is a model of the hub"));
    }
}
