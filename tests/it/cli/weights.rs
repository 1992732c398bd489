//! Rows repeated by their scores, instead of cut.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray},
    datatypes::UInt32Type,
};

use crate::{
    pictures,
    program::Place,
    shards::{self, Pair},
};

/// Two shards of 30 pairs.
fn place() -> Place {
    let place = Place::new();
    for name in ["a", "b"] {
        let first = if name == "a" { 0 } else { 30 };
        let pair = |row| Pair::new(pictures::bmp(row), &format!("a picture of thing {row}"));
        let pairs: Vec<Pair> = (first..first + 30).map(pair).collect();
        shards::write_pairs(&place.path(&format!("{name}.parquet")), &pairs, 7);
    }
    place
}

/// `repeats` by caption.
fn repeats(place: &Place, args: &str) -> BTreeMap<String, u32> {
    let summary = place
        .mock(&format!("{args} out.parquet --overwrite --json"))
        .exits(0)
        .json();
    let written = shards::read(&place.path("out.parquet"));
    let texts = written.column_by_name("text").unwrap().as_string::<i32>();
    let times = written.column_by_name("repeats").unwrap();
    let times = times.as_primitive::<UInt32Type>();
    assert_eq!(times.null_count(), 0);
    let total: u32 = times.values().iter().sum();
    assert_eq!(summary["rows_repeated"], total);
    assert_eq!(summary["rows_kept"], written.num_rows());
    let all = texts.iter().zip(times.values());
    all.map(|(text, times)| (text.unwrap().to_owned(), *times))
        .collect()
}

#[test]
fn totals_are_exact_below_and_above_the_number_of_rows() {
    let place = place();
    for total in [1, 25, 60, 200] {
        for order in ["", "--select clip-score"] {
            let args = format!("a.parquet b.parquet --weights softcap --keep-rows {total} {order}");
            let sum: u32 = repeats(&place, &args).values().sum();
            assert_eq!(sum, total, "{args}");
        }
    }
    let half = repeats(&place, "a.parquet b.parquet --weights softcap --keep 0.5");
    assert_eq!(half.values().sum::<u32>(), 30);
    let capped = repeats(
        &place,
        "a.parquet b.parquet --weights softcap:cap=2 --keep-rows 110",
    );
    assert_eq!(capped.values().sum::<u32>(), 110);
    assert!(capped.values().all(|&times| times <= 2));
}

#[test]
fn neither_the_order_of_shards_nor_when_they_came_decides() {
    let place = place();
    let weights = "--weights softcap --keep-rows 90";
    let together = repeats(&place, &format!("a.parquet b.parquet {weights}"));
    assert!(together.values().any(|&times| times > 2));
    let swapped = repeats(&place, &format!("b.parquet a.parquet {weights}"));
    assert_eq!(swapped, together);
    place
        .mock("score a.parquet --scores scores --quiet")
        .exits(0);
    let later = repeats(
        &place,
        &format!("a.parquet b.parquet --scores scores --only-new {weights}"),
    );
    assert_eq!(later, together);
    let other = repeats(&place, &format!("a.parquet b.parquet {weights} --seed 1"));
    assert_ne!(other, together);
}

#[test]
fn what_cannot_be_repeated_is_refused() {
    let place = place();
    for (args, said) in [
        ("--weights softcap", "the total is not said"),
        (
            "--weights softcap --keep 0.5 --solver cover",
            "chooses each row once",
        ),
        (
            "--weights softcap --keep 0.5 --balance cell",
            "groups of equal budgets",
        ),
        ("--weights hardcap --keep 0.5", "no way to weigh rows"),
        (
            "--weights softcap:cap=2 --keep-rows 121",
            "too few for so large a total",
        ),
    ] {
        let words = format!("a.parquet b.parquet out.parquet --min-score=-1 {args}");
        let ran = place.mock(&words);
        assert!(ran.stderr.contains(said), "{args}: {}", ran.stderr);
        assert!(!place.path("out.parquet").exists());
    }
}
