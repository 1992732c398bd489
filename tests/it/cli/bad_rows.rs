//! Rows that cannot be scored.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;

use crate::{
    pictures,
    program::Place,
    shards::{self, Pair},
};

/// 44 rows, six of them bad, each for another reason.
fn place() -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(44), 10);
    place
}

const BAD: [(usize, &str); 6] = [
    (3, "null_image"),
    (10, "empty_image"),
    (17, "unsupported_image"),
    (24, "truncated_image"),
    (31, "null_caption"),
    (38, "empty_caption"),
];

#[test]
fn every_reason_is_counted_by_its_name() {
    let report = place()
        .mock("in.parquet out.parquet --json")
        .exits(0)
        .json();
    for (_, reason) in BAD {
        assert_eq!(report["bad"][reason], 1, "{reason}");
    }
    assert_eq!(
        (&report["rows_bad"], &report["rows_in"]),
        (&6.into(), &44.into())
    );
}

#[test]
fn on_error_drop_leaves_bad_rows_out() {
    let place = place();
    place
        .mock("in.parquet out.parquet --keep 1 --on-error drop")
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    let good: Vec<usize> = (0..44)
        .filter(|row| BAD.iter().all(|(bad, _)| bad != row))
        .collect();
    assert_eq!(shards::row_numbers(&written), good);
}

#[test]
fn on_error_keep_writes_bad_rows_in_place_with_a_null_score() {
    let place = place();
    let report = place
        .mock("in.parquet out.parquet --keep-rows 5 --on-error keep --json")
        .exits(0)
        .json();
    assert_eq!(
        (
            &report["rows_kept"],
            &report["rows_written"],
            &report["rows_bad"]
        ),
        (&5.into(), &11.into(), &6.into())
    );
    let written = shards::read(&place.path("out.parquet"));
    let rows = shards::row_numbers(&written);
    assert!(rows.is_sorted() && rows.len() == 11);
    for (row, score) in rows.iter().zip(shards::floats(&written, "clip_score")) {
        assert_eq!(
            score.is_none(),
            BAD.iter().any(|(bad, _)| bad == row),
            "row {row}"
        );
    }
}

#[test]
fn on_error_fail_names_the_first_bad_row_and_writes_nothing() {
    let place = place();
    place
        .mock("in.parquet out.parquet --on-error fail --rejects bad.parquet")
        .exits(1)
        .says(&[
            "in.parquet",
            "row: 3",
            "00000000000000000000000000000003",
            "null_image",
            "--on-error drop",
        ]);
    assert_eq!(place.names(), ["in.parquet"]);
}

#[test]
fn too_many_bad_rows_are_exit_code_three_with_the_output_written() {
    let place = place();
    place.mock("in.parquet a.parquet --max-bad-rows 6").exits(0);
    place.mock("in.parquet b.parquet --max-bad-rows 5").exits(3);
    assert_eq!(
        shards::read(&place.path("a.parquet")).num_rows(),
        shards::read(&place.path("b.parquet")).num_rows()
    );
    place.mock("in.parquet --dry-run --max-bad-rows 0").exits(3);
}

#[test]
fn rejects_list_every_bad_row_with_key_shard_row_status_and_reason() {
    let place = place();
    std::fs::copy(place.path("in.parquet"), place.path("more.parquet")).unwrap();
    place
        .mock("in.parquet more.parquet out.parquet --rejects bad.parquet")
        .exits(0);
    let rejects = shards::read(&place.path("bad.parquet"));
    assert_eq!(
        shards::names(&rejects),
        ["key", "shard", "row", "status", "reason"]
    );
    let twice = |values: Vec<String>| {
        [values.clone(), values]
            .concat()
            .into_iter()
            .map(Some)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shards::strings(&rejects, "key"),
        twice(BAD.iter().map(|(row, _)| format!("{row:032x}")).collect())
    );
    assert_eq!(
        shards::strings(&rejects, "status"),
        twice(BAD.iter().map(|(_, status)| (*status).to_owned()).collect())
    );
    let rows: Vec<i64> = rejects
        .column(2)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec();
    assert_eq!(rows, [3, 10, 17, 24, 31, 38, 3, 10, 17, 24, 31, 38]);
    let expected: Vec<_> = (0..12)
        .map(|row| {
            Some(
                if row < 6 {
                    "in.parquet"
                } else {
                    "more.parquet"
                }
                .to_owned(),
            )
        })
        .collect();
    assert_eq!(shards::strings(&rejects, "shard"), expected);
    assert!(
        shards::strings(&rejects, "reason")
            .iter()
            .all(|reason| reason.as_ref().is_some_and(|text| text.len() > 5))
    );
}

#[test]
fn keys_of_any_type_are_listed_and_a_null_key_stays_null() {
    let place = Place::new();
    let pairs = shards::mixed_pairs(20);
    let numbers: ArrayRef = Arc::new(
        (0..20)
            .map(|row| (row != 3).then_some(row * 1_000_000_007))
            .collect::<Int64Array>(),
    );
    let columns = |key: Option<(&'static str, ArrayRef)>| {
        let mut columns = vec![
            ("jpg", shards::bytes_column(&pairs)),
            ("caption", shards::text_column(&pairs)),
        ];
        columns.extend(key);
        shards::batch(columns)
    };
    let keys = |name: &str, batch: &arrow::array::RecordBatch| {
        shards::write(&place.path("in.parquet"), batch);
        place
            .mock(&format!(
                "in.parquet {name}.parquet --overwrite --rejects bad.parquet"
            ))
            .exits(0);
        shards::strings(&shards::read(&place.path("bad.parquet")), "key")
    };
    let text: ArrayRef = Arc::new(
        (0..20)
            .map(|row| Some(format!("k{row}")))
            .collect::<StringArray>(),
    );
    assert_eq!(
        keys("a", &columns(Some(("id", numbers)))),
        [None, Some("10000000070".into()), Some("17000000119".into())]
    );
    assert_eq!(
        keys("b", &columns(Some(("__key__", text)))),
        [Some("k3".into()), Some("k10".into()), Some("k17".into())]
    );
    assert_eq!(keys("c", &columns(None)), [None, None, None]);
}

#[test]
fn rejects_without_a_bad_row_are_an_empty_file() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(4), 10);
    place
        .mock("in.parquet out.parquet --rejects bad.parquet")
        .exits(0);
    let rejects = shards::read(&place.path("bad.parquet"));
    assert_eq!((rejects.num_rows(), rejects.num_columns()), (0, 5));
}

#[test]
fn rejects_never_replace_an_input_the_output_or_a_file_that_exists() {
    let place = place();
    let before = std::fs::read(place.path("in.parquet")).unwrap();
    std::fs::write(place.path("notes.parquet"), b"mine").unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    for flags in ["", "--overwrite"] {
        place
            .mock(&format!(
                "in.parquet out.parquet --rejects in.parquet {flags}"
            ))
            .exits(2);
        place
            .mock(&format!(
                "in.parquet out.parquet --rejects out.parquet {flags}"
            ))
            .exits(2);
        place
            .mock(&format!(
                "in.parquet out.parquet --rejects ./out.parquet {flags}"
            ))
            .exits(2);
        place
            .mock(&format!("in.parquet out --rejects out/bad.parquet {flags}"))
            .exits(2);
        place
            .mock(&format!("in.parquet out.parquet --rejects folder {flags}"))
            .exits(2);
    }
    place
        .mock("in.parquet out.parquet --rejects notes.parquet")
        .exits(1)
        .says(&["exists", "--overwrite"]);
    assert_eq!(std::fs::read(place.path("in.parquet")).unwrap(), before);
    assert_eq!(place.names(), ["folder", "in.parquet", "notes.parquet"]);
}

#[test]
fn an_image_over_the_pixel_limit_is_refused_by_its_declared_size() {
    let place = Place::new();
    let mut pairs = shards::good_pairs(3);
    // Declares 40,000 x 40,000 in 54 bytes.
    let mut bomb = pictures::bmp(1);
    bomb[18..22].copy_from_slice(&40_000u32.to_le_bytes());
    bomb[22..26].copy_from_slice(&40_000u32.to_le_bytes());
    pairs.push(Pair::new(bomb, "a bomb"));
    pairs.push(Pair::new(pictures::bmp_of(100, 100, 3), "a picture"));
    shards::write_pairs(&place.path("in.parquet"), &pairs, 10);
    let report = place.mock("in.parquet a.parquet --json").exits(0).json();
    assert_eq!(report["bad"], serde_json::json!({"too_many_pixels": 1}));
    let report = place
        .mock("in.parquet b.parquet --json --max-pixels 9999")
        .exits(0)
        .json();
    assert_eq!(report["bad"], serde_json::json!({"too_many_pixels": 2}));
    let report = place
        .mock("in.parquet c.parquet --json --max-pixels 10000")
        .exits(0)
        .json();
    assert_eq!(report["bad"], serde_json::json!({"too_many_pixels": 1}));
}

#[test]
fn a_shard_of_bad_rows_only_succeeds() {
    let place = Place::new();
    let pairs: Vec<Pair> = (0..300)
        .map(|_| Pair {
            bytes: None,
            path: None,
            text: None,
        })
        .collect();
    shards::write_pairs(&place.path("in.parquet"), &pairs, 64);
    let report = place.mock("in.parquet out.parquet --json").exits(0).json();
    assert_eq!(
        (
            &report["rows_bad"],
            &report["rows_kept"],
            &report["rows_cut"]
        ),
        (&300.into(), &0.into(), &0.into())
    );
    assert_eq!(shards::read(&place.path("out.parquet")).num_rows(), 0);
}

#[test]
fn captions_with_nothing_to_read_are_empty() {
    let place = Place::new();
    let mut pairs = shards::good_pairs(6);
    for (pair, text) in
        pairs
            .iter_mut()
            .zip(["\0\0", "\u{200b}\u{feff}", "\u{7}\u{1b} ", "\u{ad}", "\0a"])
    {
        pair.text = Some(text.to_owned());
    }
    shards::write_pairs(&place.path("in.parquet"), &pairs, 10);
    let report = place
        .mock("in.parquet out.parquet --keep 1 --rejects bad.parquet --json")
        .exits(0)
        .json();
    assert_eq!(report["bad"], serde_json::json!({"empty_caption": 4}));
    assert_eq!(shards::read(&place.path("out.parquet")).num_rows(), 2);
    let reasons = shards::strings(&shards::read(&place.path("bad.parquet")), "reason");
    let told = |reason: &Option<String>| reason.as_deref().unwrap().contains("invisible");
    assert!(reasons.iter().all(told), "{reasons:?}");
}
