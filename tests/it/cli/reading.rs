//! How picture files are read: `--orientation` and `--truncated`.

use std::io::Write;

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use flate2::{Compression, Crc, write::ZlibEncoder};
use serde_json::json;

use crate::{
    pictures,
    program::Place,
    shards::{self, Pair},
};

/// Ten pictures of 16 x 12 that have to be turned by a quarter, ten that need not, and one that ends early.
fn place() -> Place {
    let place = Place::new();
    let turned = (0..10).map(|seed| Pair::new(png(seed, 6), &format!("turned {seed}")));
    let upright = (10..20).map(|seed| Pair::new(png(seed, 1), &format!("upright {seed}")));
    let cut = Pair::new(pictures::cut_bmp(20), "cut");
    let pairs: Vec<Pair> = turned.chain(upright).chain([cut]).collect();
    shards::write_pairs(&place.path("in.parquet"), &pairs, 10);
    place
}

fn edges(place: &Place, file: &str) -> Vec<(Option<i64>, Option<i64>)> {
    let batch = shards::read(&place.path(file));
    let edge = |name: &str| -> Vec<Option<i64>> {
        let column = cast(&batch[name], &DataType::Int64).unwrap();
        column.as_primitive::<Int64Type>().iter().collect()
    };
    edge("width").into_iter().zip(edge("height")).collect()
}

#[test]
fn pictures_stay_as_they_are_stored_and_the_summary_says_so() {
    let place = place();
    let run = place
        .mock("in.parquet out.parquet --keep 1 --add width,height --json")
        .exits(0);
    let report = run.json();
    assert_eq!(report["images_unturned"], 10);
    assert_eq!(report["images_filled"], 0);
    assert_eq!(report["bad"], json!({"truncated_image": 1}));
    let said = report["warnings"].to_string();
    assert!(said.contains("10 of 21 images"), "{said}");
    assert!(said.contains("--orientation apply"), "{said}");
    assert_eq!(edges(&place, "out.parquet"), [(Some(16), Some(12)); 20]);
}

#[test]
fn pictures_are_turned_and_filled_where_that_is_asked_for() {
    let place = place();
    let report = place
        .mock("in.parquet out.parquet --keep 1 --add width,height --orientation apply --truncated fill --json")
        .exits(0)
        .json();
    assert_eq!(report["images_unturned"], 0);
    assert_eq!(report["images_filled"], 1);
    assert_eq!(report["rows_bad"], 0);
    let said = report["warnings"].to_string();
    assert!(
        said.contains("1 of 21 images end early and were filled"),
        "{said}"
    );
    assert!(!said.contains("--orientation"), "{said}");
    let edges = edges(&place, "out.parquet");
    assert_eq!(edges[..10], [(Some(12), Some(16)); 10]);
    assert_eq!(edges[10..], [(Some(16), Some(12)); 11]);
}

#[test]
fn a_few_pictures_that_are_stored_turned_are_not_worth_a_word() {
    let place = Place::new();
    let mut pairs = shards::good_pairs(150);
    pairs.push(Pair::new(png(1, 6), "turned"));
    shards::write_pairs(&place.path("in.parquet"), &pairs, 100);
    let report = place.mock("in.parquet out.parquet --json").exits(0).json();
    assert_eq!(report["images_unturned"], 1);
    let said = report["warnings"].to_string();
    assert!(!said.contains("--orientation"), "{said}");
}

#[test]
fn a_store_is_not_gone_on_with_when_pictures_are_read_otherwise() {
    let place = place();
    let score = |more: &str| place.mock(&format!("score in.parquet --scores scores {more}"));
    score("").exits(0);
    score("--orientation apply").exits(1).says(&[
        "another --orientation",
        "the store has: ignore",
        "this run has: apply",
    ]);
    score("--truncated fill").exits(1).says(&[
        "another --truncated",
        "the store has: drop",
        "this run has: fill",
    ]);
    place
        .mock("score in.parquet --scores turned --orientation apply")
        .exits(0);
    place
        .mock("score in.parquet --scores turned --json --orientation apply")
        .exits(0);
    place
        .mock("score in.parquet --scores turned")
        .exits(1)
        .says(&["the store has: apply"]);
}

#[test]
fn queries_and_configuration_files_take_them() {
    let place = place();
    let query = "SELECT count(clip_score) AS n FROM pairs";
    let answer = place
        .mock_with(
            "sql --input in.parquet --format csv --orientation apply --truncated fill",
            &[query],
        )
        .exits(0);
    assert_eq!(answer.stdout, "n\n21\n");
    std::fs::write(
        place.path("options.toml"),
        "orientation = \"apply\"\ntruncated = \"fill\"\n",
    )
    .unwrap();
    let report = place
        .mock("in.parquet configured.parquet --config options.toml --json")
        .exits(0)
        .json();
    assert_eq!(
        (&report["images_unturned"], &report["images_filled"]),
        (&0.into(), &1.into())
    );
}

/// A PNG of 16 x 12 pixels that has this Exif orientation and depends on `seed`.
fn png(seed: u32, orientation: u8) -> Vec<u8> {
    let (width, height) = (16_u32, 12_u32);
    let mixed = seed.wrapping_mul(2_654_435_761).to_be_bytes();
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::fast());
    for y in 0..height {
        rows.write_all(&[0]).unwrap();
        for x in 0..width {
            let shade = if x < width / 2 && y < height / 3 {
                2
            } else {
                1
            };
            let pixel: Vec<u8> = mixed[..3].iter().map(|value| value / shade).collect();
            rows.write_all(&pixel).unwrap();
        }
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [
        (b"IHDR", header),
        (b"eXIf", exif),
        (b"IDAT", rows.finish().unwrap()),
        (b"IEND", Vec::new()),
    ] {
        let mut sum = Crc::new();
        sum.update(kind);
        sum.update(&body);
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend(body);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}
