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
fn what_looks_at_a_store_says_how_its_pictures_were_read() {
    let place = place();
    place
        .mock("score in.parquet --scores scores --orientation apply --max-pixels 4000")
        .exits(0);
    let turned = "keep 1 --add width --orientation apply --overwrite";
    place
        .mock(&format!("in.parquet out.parquet --{turned}"))
        .exits(0);
    let query = "SELECT width, height FROM pairs LIMIT 1";
    let looks: [(&str, &[&str]); 4] = [
        ("report scores --text", &[]),
        (
            "report in.parquet --scores scores --max-pixels 4000 --text",
            &[],
        ),
        ("explain in.parquet:0 --scores scores", &[]),
        ("sql --scores scores --format csv", &[query]),
    ];
    for (look, more) in looks {
        for (asked, has, wants) in [
            ("--orientation ignore", "apply", "ignore"),
            ("--truncated fill", "drop", "fill"),
            ("--max-pixels 5000", "4000", "5000"),
        ] {
            let option = asked.split(' ').next().unwrap();
            // Shards beside a store are read as they would be scored.
            if look.contains("in.parquet --scores") && option != "--orientation" {
                continue;
            }
            let refused = place.mock_with(&format!("{look} {asked}"), more).exits(1);
            refused.says(&[
                &format!("another {option}"),
                &format!("the store has: {has}"),
                &format!("this run has: {wants}"),
            ]);
        }
        let said = place
            .mock_with(&format!("{look} --orientation apply"), more)
            .exits(0);
        if look.starts_with("report") {
            let line = "pictures    --orientation apply, --truncated drop";
            assert!(said.stdout.contains(line), "{}", said.stdout);
        }
    }
    let report = place.mock("report scores --json").exits(0).json();
    assert_eq!(
        report["reading"],
        json!({"orientation": "apply", "truncated": "drop"})
    );
    let inspected = place.mock("inspect scores").exits(0).stdout;
    let line = "pictures    --orientation apply, --truncated drop, --max-pixels 4000";
    assert!(inspected.contains(line), "{inspected}");
    // An output knows it, too.
    let report = place.mock("report out.parquet --json").exits(0).json();
    assert_eq!(report["reading"]["orientation"], "apply");
    place
        .mock("report out.parquet --text --orientation ignore")
        .exits(1)
        .says(&["another --orientation", "the output has: apply"]);
}

#[test]
fn queries_show_pictures_as_they_are_scored() {
    let place = place();
    let query = "SELECT width, height, count(*) n, min(image_width(image)) stored FROM pairs GROUP BY 1, 2 ORDER BY 1";
    place
        .mock("score in.parquet --scores scores --orientation apply --truncated fill")
        .exits(0);
    for tables in [
        "--input in.parquet --orientation apply --truncated fill",
        "--scores scores",
    ] {
        let answer = place.mock_with(&format!("sql {tables} --format csv"), &[query]);
        assert_eq!(
            answer.exits(0).stdout,
            "width,height,n,stored\n12,16,10,16\n16,12,11,16\n",
            "{tables}"
        );
    }
    let wide = "SELECT count(*) n FROM pairs WHERE width > height";
    for (reading, rows) in [("ignore", 21), ("apply", 11)] {
        let tables = format!("sql --input in.parquet --format csv --orientation {reading}");
        let answer = place.mock_with(&tables, &[wide]).exits(0).stdout;
        assert_eq!(answer, format!("n\n{rows}\n"));
    }
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
