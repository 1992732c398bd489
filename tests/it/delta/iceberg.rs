//! Iceberg by PyIceberg, with the Python of `docs/tables.md`.

use super::tools::python;
use crate::program::Place;

fn keys(place: &Place, input: &str, condition: &str) -> String {
    let query = format!("SELECT uid FROM t WHERE {condition} ORDER BY uid");
    let ran = place.mock_with(&format!("sql --format csv --input t={input}"), &[&query]);
    let keys = ran.exits(0).stdout;
    keys.lines().skip(1).collect::<Vec<_>>().join(",")
}

#[test]
fn tables_of_iceberg_are_read_by_their_plans_and_take_what_is_written() {
    let place = Place::new();
    let Some(planned) = python(&place, "iceberg.py", &["in"]) else {
        return;
    };
    let there = keys(&place, "files:files.jsonl", "true");
    assert_eq!(there.split(',').count(), 23, "{there}");
    assert_eq!(planned, format!("lake.photos\t{there}\n"));
    let added = "--add image_embedding,status,sas";
    place
        .mock(&format!("kept/ --files files.jsonl --keep 0.5 {added}"))
        .exits(0);
    let cut = "--partition-by label --partition-in-files";
    place
        .mock(&format!(
            "cut/ --files files.jsonl --keep 0.8 {added} {cut}"
        ))
        .exits(0);
    let Some(registered) = python(&place, "iceberg.py", &["out"]) else {
        panic!("it was there before");
    };
    let expected = [
        format!("kept\t{}", keys(&place, "kept", "true")),
        format!("cut\t{}", keys(&place, "cut", "true")),
        format!("label = 1\t{}", keys(&place, "cut", "label = 1")),
    ];
    assert_eq!(registered.lines().collect::<Vec<_>>(), expected);
}
