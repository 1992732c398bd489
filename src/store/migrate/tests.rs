//! Stores of the first format: read as they are, and moved whenever the move ends.

use std::{collections::BTreeMap, path::PathBuf};

use arrow::{
    array::{Array, AsArray},
    datatypes::Float32Type,
};

use super::*;
use crate::{
    schema::{CLIP_SCORE, IMAGE_EMBEDDING},
    store::Coverage,
};

/// Made by the last program of format 1; see tests/data/README.md.
const STORE_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/format-1/scores");

/// A copy of the store, in a directory of its own.
fn copy() -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(std::fs::copy(entry.path(), &to).unwrap()),
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(STORE_1), dir.path());
    dir
}

/// Every file but locks, with what is in it.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found.retain(|path, _| !path.ends_with("lock"));
    found
}

/// Files by their names in the store.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: PathBuf| path.strip_prefix(directory).unwrap().display().to_string();
    let files = files(directory).into_iter();
    files.map(|(path, bytes)| (name(path), bytes)).collect()
}

type Read = (Coverage, Vec<(i64, Option<f32>, Option<f32>)>, usize);

/// What a reader gets of every shard: how far it is, rows with two of their scores, numbers of embeddings.
fn read(store: &ScoreStore) -> Vec<Read> {
    let of_shard = |shard: &ShardIdentity| {
        let scores = store.scores(shard).unwrap();
        let columns = [CLIP_SCORE, "sas", IMAGE_EMBEDDING];
        let (mut found, mut numbers) = (Vec::new(), 0);
        let mut cursor = scores.cursor(&columns, 0).unwrap();
        while let Some(rows) = cursor.advance().unwrap() {
            let float = |column: usize, row: usize| {
                let column = rows.columns[column].as_primitive::<Float32Type>();
                column.is_valid(row).then(|| column.value(row))
            };
            found.extend((0..rows.len()).map(|row| (rows.row(row), float(0, row), float(1, row))));
            numbers += rows.columns[2].as_list::<i32>().values().len();
        }
        (store.coverage(shard).unwrap(), found, numbers)
    };
    store.shards().iter().map(of_shard).collect()
}

fn adapters(store: &ScoreStore) -> Option<Vec<u8>> {
    store.artifact("adapters.safetensors")
}

#[test]
fn a_store_of_format_1_is_read_as_it_is() {
    let dir = copy();
    let before = files(dir.path());
    let store = ScoreStore::open(dir.path()).unwrap();
    assert_eq!((store.format(), store.shards().len()), (1, 3));
    let read = read(&store);
    let complete = read
        .iter()
        .filter(|(coverage, ..)| coverage.complete)
        .count();
    let partial = read
        .iter()
        .filter(|(coverage, ..)| !coverage.complete && coverage.decided_rows > 0);
    assert_eq!((complete, partial.count()), (2, 1));
    let derived = |(_, rows, _): &&Read| rows.iter().any(|(_, _, sas)| sas.is_some());
    assert_eq!(read.iter().filter(derived).count(), 2);
    assert!(
        read.iter()
            .all(|(_, rows, numbers)| !rows.is_empty() && *numbers > 0)
    );
    assert!(adapters(&store).is_some());
    assert!(store.selection_file().local_path().unwrap().exists());
    assert!(ScoreStore::has_scores(dir.path()));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_migration_that_ends_at_any_step_can_be_read_and_goes_on() {
    let whole = copy();
    let store = ScoreStore::open(whole.path()).unwrap();
    let (expected, kept) = (read(&store), adapters(&store));
    drop(store);
    migrate(whole.path()).unwrap();
    let migrated = content(whole.path());
    let mut steps = 0;
    loop {
        let dir = copy();
        let mut left = steps;
        let ended = migrate_with(dir.path(), &mut || {
            left -= 1;
            match left {
                0 => Err(Error::output("go on")),
                _ => Ok(()),
            }
        });
        let store = ScoreStore::open(dir.path()).unwrap();
        assert_eq!(read(&store), expected, "after {steps} steps");
        assert_eq!(adapters(&store), kept, "after {steps} steps");
        assert!(store.selection_file().local_path().unwrap().exists());
        drop(store);
        migrate(dir.path()).unwrap();
        let store = ScoreStore::open(dir.path()).unwrap();
        assert_eq!((store.format(), read(&store)), (2, expected.clone()));
        assert!(store.selection_file().local_path().unwrap().exists());
        let now = content(dir.path());
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&now), names(&migrated), "after {steps} steps");
        assert!(now == migrated, "after {steps} steps");
        if ended.is_ok() && steps > 0 {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "{steps}");
}

#[test]
fn a_store_that_somebody_uses_is_not_migrated() {
    let dir = copy();
    let reader = ScoreStore::open(dir.path()).unwrap();
    let before = files(dir.path());
    let report = migrate(dir.path()).unwrap_err().report();
    assert!(report.contains("another process uses it"), "{report}");
    assert_eq!(files(dir.path()), before);
    drop(reader);
    migrate(dir.path()).unwrap();
    // A second time there is nothing to do.
    let after = content(dir.path());
    migrate(dir.path()).unwrap();
    assert!(content(dir.path()) == after);
}
