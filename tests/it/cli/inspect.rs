//! `clip-filter inspect`.

use std::{path::Path, sync::Arc};

use arrow::array::{ArrayRef, Int64Array};
use serde_json::{Value, json};

use crate::{
    program::{Place, ROOT, Ran},
    shards,
};

/// Two shards of 30 mixed pairs.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..2 {
        let mut pairs = shards::mixed_pairs(30);
        pairs.rotate_left(shard);
        shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), &pairs, 20);
    }
    place
}

fn inspect(place: &Place, args: &str) -> Ran {
    place.mock(&format!("inspect {args}")).exits(0)
}

/// What is printed, without what differs from run to run: paths, and the size of a store, which holds paths.
fn shown(place: &Place, args: &str) -> String {
    let ran = inspect(place, args);
    assert_eq!(ran.stderr, "");
    let text = place.without_path(&ran.stdout);
    match text.split_once(" KiB, format") {
        Some((before, after)) if args.starts_with("scores") => {
            let (before, _) = before.rsplit_once(' ').unwrap();
            format!("{before} [SIZE], format{after}")
        }
        _ => text,
    }
}

#[test]
fn shards_are_described_on_one_screen() {
    let place = place();
    insta::assert_snapshot!(shown(&place, "in"), @"");
    assert_eq!(shown(&place, "in/{0..1}.parquet"), shown(&place, "in"));
    place.mock("in out.parquet --keep 0.5 --quiet").exits(0);
    insta::assert_snapshot!(shown(&place, "out.parquet"), @"");
}

#[test]
fn shards_as_json() {
    let place = place();
    insta::assert_snapshot!(pretty(&inspect(&place, "in --json")), @"");
}

fn pretty(ran: &Ran) -> String {
    assert_eq!(ran.stdout.lines().count(), 1);
    serde_json::to_string_pretty(&ran.json()).unwrap()
}

#[test]
fn columns_that_cannot_be_told_are_no_error() {
    let place = Place::new();
    let pairs = shards::good_pairs(3);
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = shards::batch(vec![
        ("picture", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("caption", shards::text_column(&pairs)),
        ("label", number),
    ]);
    shards::write(&place.path("a.parquet"), &batch);
    shards::write(
        &place.path("b.parquet"),
        &shards::project(&batch, &["text", "label"]),
    );
    std::fs::write(place.path("c.parquet"), "PAR1 and no more").unwrap();
    insta::assert_snapshot!(shown(&place, "."), @"");
}

#[test]
fn a_store_is_described_on_one_screen() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    insta::assert_snapshot!(shown(&place, "scores"), @"");
    std::fs::remove_file(place.path("in/0.parquet")).unwrap();
    let pairs = shards::good_pairs(4);
    shards::write_pairs(&place.path("in/1.parquet"), &pairs, 20);
    let mut files = std::fs::read_dir(place.path("scores/shards")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let parts = place.path(&format!("scores/parts/{name}"));
    std::fs::create_dir_all(&parts).unwrap();
    std::fs::rename(&file, parts.join("000000000000-000000000012.parquet")).unwrap();
    let text = shown(&place, "scores");
    for part in [
        "42 of 60 scored (70.0 %)",
        "1 complete, 1 partial, 1 whose file has changed, 1 whose file is gone",
        "12 of 30 rows",
    ] {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
}

#[test]
fn a_store_as_json() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    let mut facts = inspect(&place, "scores --json").json();
    assert!(facts["size_bytes"].as_u64().unwrap() > 1000);
    facts["size_bytes"] = Value::Null;
    let text = serde_json::to_string_pretty(&facts).unwrap();
    insta::assert_snapshot!(place.without_path(&text), @"");
}

#[test]
fn the_scores_are_those_of_the_rows() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    place
        .mock("in out.parquet --scores scores --keep 1 --quiet")
        .exits(0);
    let mut scores: Vec<f32> =
        shards::floats(&shards::read(&place.path("out.parquet")), "clip_score")
            .into_iter()
            .flatten()
            .collect();
    scores.sort_by(f32::total_cmp);
    let found = inspect(&place, "scores --json").json()["scores"].clone();
    let float = |value: &Value| value.as_f64().unwrap() as f32;
    assert_eq!(found["count"], scores.len());
    assert_eq!(float(&found["min"]), scores[0]);
    assert_eq!(float(&found["max"]), scores[scores.len() - 1]);
    let median = found["quantiles"].as_array().unwrap()[4].clone();
    assert_eq!(
        float(&median["score"]),
        scores[scores.len().div_ceil(2) - 1]
    );
}

#[test]
fn a_store_in_use_is_shown_as_it_is() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    let lock = std::fs::File::options()
        .write(true)
        .open(place.path("scores/lock"))
        .unwrap();
    lock.lock().unwrap();
    assert_eq!(inspect(&place, "scores --json").json()["in_use"], true);
    let text = shown(&place, "scores");
    assert!(text.contains("in use      by another process"), "{text}");
}

#[test]
fn a_model_is_described_without_a_runtime() {
    let place = Place::new();
    insta::assert_snapshot!(shown(&place, "bundled"), @"");
    let directory = Path::new(ROOT).join("assets/model");
    let facts = inspect(&place, &format!("{} --json", directory.display())).json();
    assert_eq!(facts["kind"], "model");
    assert_eq!(facts["card"]["precision"], "quantized");
    assert_eq!(facts["files"].as_array().unwrap().len(), 6);
    let tokenizer =
        json!({"kind": "WordPiece", "vocabulary": 30522, "max_length": 77, "padded_to": null});
    assert_eq!(facts["tokenizer"], tokenizer);
}

#[test]
fn what_cannot_be_inspected_says_what_to_type() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    std::fs::write(place.path("notes.txt"), "notes").unwrap();
    std::fs::create_dir(place.path("empty")).unwrap();
    let report = |args: &str| {
        let ran = place.mock(&format!("inspect {args}"));
        assert_eq!(ran.stdout, "");
        format!("{args}: {:?}\n{}", ran.code.unwrap(), ran.stderr)
    };
    let reports: Vec<String> = [
        "notes.txt",
        "empty",
        "gone.parquet",
        "Some/model",
        "scores/manifest.json",
        "scores in",
        "s3://bucket/a.parquet",
    ]
    .into_iter()
    .map(report)
    .collect();
    insta::assert_snapshot!(reports.join("\n"), @"");
    std::fs::write(place.path("scores/manifest.json"), "{\"format\": 1,").unwrap();
    place
        .mock("inspect scores")
        .exits(1)
        .says(&["it is damaged"]);
}

#[test]
fn the_help_has_examples() {
    let help = Place::new().mock("inspect --help").exits(0).stdout;
    insta::assert_snapshot!(help, @"");
}
