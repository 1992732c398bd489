//! What stored columns and embeddings suffice for.

use super::reference::{LABELLED, Reference};
use crate::{program::Place, shards};

const COLUMNS: [&str; 3] = ["sas", "sds", "selection_score"];

/// Adds [`COLUMNS`] to the rows, and gives them.
fn added(place: &Place, more: &str) -> [Vec<Option<f32>>; 3] {
    place
        .mock(&format!(
            "in.parquet out.parquet --keep 1 --add sas,sds,selection_score {LABELLED} --overwrite {more}"
        ))
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    COLUMNS.map(|name| shards::floats(&written, name))
}

#[test]
fn what_orders_rows_is_the_same_whether_its_terms_were_stored_before() {
    let reference = Reference::read();
    let (at_once, later) = (reference.place(), reference.place());
    later
        .mock(&format!(
            "score in.parquet --add sas,sds,moderate {LABELLED}"
        ))
        .exits(0);
    let expected = added(&at_once, "");
    assert!(expected[2].iter().any(Option::is_some));
    assert_eq!(added(&later, ""), expected);
    // Of another weight, and back: the terms stay, and columns that nobody asks for now stay too.
    assert_ne!(added(&later, "--diversity-weight 0.5")[2], expected[2]);
    assert_eq!(added(&later, ""), expected);
    let told = later.mock("inspect scores").exits(0);
    assert!(told.stdout.contains("moderate"), "{}", told.stdout);
}

#[test]
fn neighbours_within_classes_need_no_words_for_them() {
    let place = Reference::read().place();
    std::fs::write(place.path("names.txt"), "\none\ntwo\nthree\nfour\n").unwrap();
    let score = |columns: &str| {
        let args = format!(
            "score in.parquet --scores scores --label-column label --class-names names.txt --add {columns}"
        );
        place.mock_with(&args, &["--prompt", "{}"])
    };
    score("sds,moderate,proto_dist").exits(0);
    score("sas").exits(1).says(&["embed the prompt of a class"]);
}
