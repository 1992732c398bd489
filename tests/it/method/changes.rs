//! What entered and left a selection, from run to run over one store.

use std::collections::BTreeSet;

use arrow::{array::AsArray, datatypes::Int64Type};

use super::reference::{ROWS, Reference};
use crate::{program::Place, shards};

const SELECT: &str =
    "--select align-diverse --label-column label --neighbours 3 --scores scores --overwrite";

/// Keys of the rows that an output holds.
fn keys(place: &Place, name: &str) -> BTreeSet<String> {
    let rows = shards::read(&place.path(name));
    shards::strings(&rows, "uid")
        .into_iter()
        .flatten()
        .collect()
}

/// Keys of the rows that a list of changes calls so.
fn changed(place: &Place, name: &str, change: &str) -> BTreeSet<String> {
    let list = shards::read(&place.path(name));
    assert_eq!(shards::names(&list), ["change", "key", "shard", "row"]);
    let (changes, keys) = (
        shards::strings(&list, "change"),
        shards::strings(&list, "key"),
    );
    let rows = list.column(3).as_primitive::<Int64Type>();
    assert_eq!(rows.len(), keys.len());
    let named = changes.iter().zip(keys);
    let named = named.filter(|(found, _)| found.as_deref() == Some(change));
    named.filter_map(|(_, key)| key).collect()
}

#[test]
fn a_run_lists_what_entered_and_left() {
    let reference = Reference::read();
    let place = Place::new();
    let (first, second): (Vec<usize>, Vec<usize>) = (0..ROWS).partition(|row| row % 3 > 0);
    reference.write_shard(&place, "a.parquet", &first);
    reference.write_shard(&place, "b.parquet", &second);
    reference.fill(&place, "scores", &["a.parquet"]);
    let run = |inputs: &str, keep: &str, number: u8| {
        let args = format!(
            "{inputs} out{number}.parquet --keep {keep} {SELECT} --changes changes{number}.parquet"
        );
        place.mock(&args).exits(0);
        keys(&place, &format!("out{number}.parquet"))
    };
    let at_first = run("a.parquet", "0.5", 1);
    assert_eq!(changed(&place, "changes1.parquet", "entered"), at_first);
    assert_eq!(changed(&place, "changes1.parquet", "left"), BTreeSet::new());

    let fewer = run("a.parquet", "0.2", 2);
    assert_eq!(
        changed(&place, "changes2.parquet", "entered"),
        BTreeSet::new()
    );
    let left: BTreeSet<String> = at_first.difference(&fewer).cloned().collect();
    assert!(!left.is_empty());
    assert_eq!(changed(&place, "changes2.parquet", "left"), left);

    // New shards change the scores and the budget of all.
    reference.fill(&place, "scores", &["b.parquet"]);
    let all = run("a.parquet b.parquet", "0.5", 3);
    let entered: BTreeSet<String> = all.difference(&fewer).cloned().collect();
    let left: BTreeSet<String> = fewer.difference(&all).cloned().collect();
    assert!(entered.len() > 10);
    assert_eq!(changed(&place, "changes3.parquet", "entered"), entered);
    assert_eq!(changed(&place, "changes3.parquet", "left"), left);

    // The same again changes nothing.
    assert_eq!(run("a.parquet b.parquet", "0.5", 4), all);
    assert_eq!(
        changed(&place, "changes4.parquet", "entered"),
        BTreeSet::new()
    );
    assert_eq!(changed(&place, "changes4.parquet", "left"), BTreeSet::new());
}

#[test]
fn a_damaged_memory_of_the_last_selection_is_an_error() {
    let reference = Reference::read();
    let place = reference.place();
    let args = format!("in.parquet out.parquet --keep 0.5 {SELECT} --changes changes.parquet");
    place.mock(&args).exits(0);
    let path = place.path("scores/state/selection.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let before = std::fs::read(place.path("out.parquet")).unwrap();
    place.mock(&args).exits(1).says(&["selection.bin"]);
    assert_eq!(std::fs::read(place.path("out.parquet")).unwrap(), before);
}

#[test]
fn changes_go_to_a_file_of_their_own() {
    let reference = Reference::read();
    let place = reference.place();
    place
        .mock("in.parquet out.parquet --keep 0.5 --scores scores --changes out.parquet")
        .exits(2)
        .says(&["changes"]);
    place
        .mock("in.parquet out.parquet --keep 0.5 --changes changes.parquet")
        .exits(2)
        .says(&["--scores"]);
    std::fs::write(place.path("changes.parquet"), "something").unwrap();
    place
        .mock("in.parquet out.parquet --keep 0.5 --scores scores --changes changes.parquet")
        .exits(1)
        .says(&["changes.parquet", "--overwrite"]);
}
