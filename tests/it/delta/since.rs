//! Runs over a table that has grown: what is known is not opened.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    log::{Table, features, metadata, pair_columns},
    tools::python,
};
use crate::program::{Place, Ran};

const SCORE: &str = "score t --scores s --only-new";

/// A table of `a.parquet` and `b.parquet`, of 10 and 7 rows, scored into `s`.
fn scored(place: &Place) -> Table<'_> {
    let mut table = Table::new(place, "t");
    let enabled = json!({"delta.enableDeletionVectors": "true"});
    let columns = pair_columns();
    table.commit(&[
        features(&["deletionVectors"]),
        metadata(&columns, &[], enabled),
    ]);
    let files = [("a.parquet", 10), ("b.parquet", 7)];
    table.commit(&files.map(|(file, rows)| table.pairs(file, rows)));
    place.mock("score t --scores s").exits(0);
    table
}

/// Takes a file away; whoever opens it fails.
fn hide(table: &Table<'_>, file: &str) -> PathBuf {
    let hidden = table.path(&format!("../hidden-{file}"));
    std::fs::rename(table.path(file), &hidden).unwrap();
    hidden
}

fn removed(file: &str, changes: bool) -> Value {
    json!({"remove": {"path": file, "dataChange": changes, "deletionTimestamp": 0}})
}

/// Rows that a run has read and rows that it has scored.
#[track_caller]
fn rows(ran: Ran) -> (u64, u64) {
    let summary = ran.exits(0).json();
    let of = |name: &str| summary[name].as_u64().unwrap();
    (of("rows_in"), of("rows_scored"))
}

#[track_caller]
fn tells(ran: &Ran, text: &str) {
    let told = ran.json()["warnings"].to_string();
    assert!(told.contains(text), "'{text}' is not in {told}");
}

#[test]
fn only_files_are_opened_that_came_since_the_scored_version() {
    let place = Place::new();
    let mut table = scored(&place);
    let hidden = ["a.parquet", "b.parquet"].map(|file| (file, hide(&table, file)));
    let file = table.pairs("c.parquet", 4);
    table.commit(&[file]);
    // The files are gone indeed, and who wants them all says so.
    for all in [
        "score t --scores s",
        "score t --scores s --only-new --add sas",
        "score t --scores s --only-new --part 0/1",
        "score t --scores other --only-new",
        "score t --scores s --only-new --max-pixels 1000",
    ] {
        place.mock(all).exits(1);
    }
    let ran = place.mock(&format!("{SCORE} --json"));
    tells(
        &ran,
        "files of version 2 that are new since version 1: 1; scored before and not opened: 2",
    );
    assert_eq!(rows(ran), (4, 4));
    hide(&table, "c.parquet");
    let ran = place.mock(&format!("{SCORE} --json"));
    tells(
        &ran,
        "new since version 2: 0; scored before and not opened: 3",
    );
    assert_eq!(rows(ran), (0, 0));
    for other in ["--max-pixels 1000", "--text-column uid"] {
        place
            .mock(&format!("{SCORE} {other}"))
            .exits(1)
            .says(&["use the score store"]);
    }
    // The rows are there, all of them, for who needs all.
    for (file, hidden) in hidden {
        std::fs::rename(hidden, table.path(file)).unwrap();
    }
    std::fs::rename(table.path("../hidden-c.parquet"), table.path("c.parquet")).unwrap();
    let ran = place.mock("t out.parquet --keep 1 --scores s --only-new --json");
    assert_eq!(rows(ran), (21, 0));
}

#[test]
fn a_version_is_known_when_all_its_files_are_scored() {
    let place = Place::new();
    let mut table = scored(&place);
    let file = table.pairs("c.parquet", 4);
    table.commit(&[file]);
    std::fs::write(table.path("d.parquet"), "no Parquet").unwrap();
    let add = table.add("d.parquet", "d.parquet", json!({}));
    table.commit(&[add]);
    let skipping = format!("{SCORE} --on-bad-shard skip --json");
    for _ in 0..2 {
        let ran = place.mock(&skipping);
        tells(&ran, "new since version 1: 2;");
        ran.exits(0);
    }
    let file = table.pairs("d.parquet", 5);
    drop(file);
    assert_eq!(rows(place.mock(&skipping)), (9, 5));
    assert_eq!(rows(place.mock(&skipping)), (0, 0));
}

#[test]
fn rewritten_files_are_told_with_the_rows_that_are_known() {
    let place = Place::new();
    let mut table = scored(&place);
    let mut whole = table.pairs("ab.parquet", 17);
    whole["add"]["dataChange"] = json!(false);
    let (a, b) = (removed("a.parquet", false), removed("b.parquet", false));
    table.commit(&[a, b, whole.clone()]);
    hide(&table, "a.parquet");
    hide(&table, "b.parquet");
    let ran = place.mock(&format!("{SCORE} --json"));
    tells(
        &ran,
        "version 2 rewrote 2 files as 1 without a change of rows: the rows of 1 are scored again, those of 0 are known",
    );
    assert_eq!(rows(ran), (17, 17));
    // The same file, of which the log says something else.
    whole["add"]["tags"] = json!({"seen": "yes"});
    table.commit(&[whole]);
    hide(&table, "ab.parquet");
    let ran = place.mock(&format!("{SCORE} --json"));
    tells(&ran, "the rows of 0 are scored again, those of 1 are known");
    assert_eq!(rows(ran), (0, 0));
}

#[test]
fn a_file_of_which_rows_were_deleted_is_another_and_comes_back_as_it_was() {
    let place = Place::new();
    let mut table = scored(&place);
    let mut some = table.add("a.parquet", "a.parquet", json!({}));
    let whole = some.clone();
    some["add"]["deletionVector"] = table.vector("v.bin", &[0, 3]);
    table.commit(&[removed("a.parquet", true), some.clone()]);
    hide(&table, "b.parquet");
    assert_eq!(rows(place.mock(&format!("{SCORE} --json"))), (8, 8));
    assert_eq!(rows(place.mock(&format!("{SCORE} --json"))), (0, 0));
    // Restored: the scores of the whole file went when it was another.
    let vector = some["add"]["deletionVector"].clone();
    let mut gone = removed("a.parquet", true);
    gone["remove"]["deletionVector"] = vector;
    table.commit(&[gone, whole]);
    assert_eq!(rows(place.mock(&format!("{SCORE} --json"))), (10, 10));
}

#[test]
fn where_commits_say_nothing_lists_of_files_are_compared() {
    let place = Place::new();
    let mut table = scored(&place);
    let file = table.pairs("c.parquet", 4);
    table.commit(&[file]);
    hide(&table, "a.parquet");
    place.mock(SCORE).exits(0);
    // An earlier version.
    let ran = place.mock(&format!("{SCORE} --version 1 --json"));
    tells(&ran, "is a later one: the lists of files are compared");
    assert_eq!(rows(ran), (0, 0));
    // Scores that are gone.
    let known = place.path("s/state");
    let state = std::fs::read_dir(known).unwrap().flatten();
    let state = state.filter(|it| it.file_name().to_string_lossy().starts_with("tables-"));
    let state: Vec<_> = state.map(|it| it.path()).collect();
    let text = std::fs::read_to_string(&state[0]).unwrap();
    let mut lost: Value = serde_json::from_str(&text).unwrap();
    lost["tables"][0]["files"]["b.parquet"] = json!("0123456789abcdef0123456789abcdef");
    std::fs::write(&state[0], lost.to_string()).unwrap();
    let ran = place.mock(&format!("{SCORE} --json"));
    tells(&ran, "is not whole in the store any more");
    assert_eq!(rows(ran), (11, 0));
    // Another table in its place.
    lost["tables"][0]["id"] = json!("another");
    std::fs::write(&state[0], lost.to_string()).unwrap();
    place
        .mock(&format!("{SCORE} --json"))
        .exits(1)
        .says(&["a.parquet"]);
}

#[test]
fn commits_that_are_gone_from_the_log_are_told() {
    let place = Place::new();
    let mut table = scored(&place);
    for (file, rows) in [("c.parquet", 4), ("d.parquet", 5)] {
        let file = table.pairs(file, rows);
        table.commit(&[file]);
    }
    if python(&place, "delta.py", &["checkpoint", "t"]).is_none() {
        return;
    }
    for version in 0..3 {
        std::fs::remove_file(table.path(&format!("_delta_log/{version:020}.json"))).unwrap();
    }
    hide(&table, "a.parquet");
    hide(&table, "b.parquet");
    let ran = place.mock(&format!("{SCORE} --json"));
    tells(
        &ran,
        "version 1, which was scored, is followed by commits that are gone from the log: the lists of files are compared",
    );
    assert_eq!(rows(ran), (9, 9));
}
