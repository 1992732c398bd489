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

/// Columns of small shards share files, as their scores do; whoever scored them in two runs has the same values.
#[test]
fn columns_of_small_shards_share_a_file() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for number in 0..40 {
        let pairs: Vec<_> = shards::good_pairs(160).split_off(number * 4);
        let file = place.path(&format!("in/{number:02}.parquet"));
        shards::write_pairs(&file, &pairs[..4], 4);
    }
    let files = |store: &str| {
        let generations = place.path(store).join("derived");
        let mut folders = vec![generations];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files += 1,
                }
            }
        }
        files
    };
    let values = |store: &str| {
        let query = "SELECT uid, sas, s_cliploss, cell FROM pairs ORDER BY uid";
        let args = format!("sql --scores {store} --format csv");
        place.mock_with(&args, &[query]).exits(0).stdout
    };
    let add = "--add sas,s_cliploss,cell --cells 3";
    place
        .mock(&format!("score in --scores once {add}"))
        .exits(0);
    assert_eq!(files("once"), 1);
    let once = values("once");
    assert!(
        once.lines().count() == 161 && !once.contains(",,"),
        "{once}"
    );
    // One of them is larger by now and has a file of its own; the others stay where they are.
    place
        .mock(&format!("score in/0* in/1* --scores twice {add}"))
        .exits(0);
    place
        .mock(&format!("score in --scores twice {add}"))
        .exits(0);
    assert_eq!(values("twice"), once);
    let kept = |store: &str| {
        let out = format!("{store}.parquet");
        place
            .mock(&format!(
                "in {out} --scores {store} --keep 0.5 --where cell>=0"
            ))
            .exits(0);
        shards::read(&place.path(&out))
    };
    assert!(kept("once") == kept("twice"));
}
