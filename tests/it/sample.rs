//! What the README says of the bundled model and the sample.

use std::path::Path;

use arrow::array::AsArray;

use crate::{
    program::{Place, ROOT, Ran, program},
    runtime, shards,
};

/// The bundled model over the sample, with nothing but the two paths.
fn default_run(place: &Place, args: &[&str]) -> Ran {
    let mut command = program();
    command
        .current_dir(place.dir())
        .arg(Path::new(ROOT).join("assets/sample.parquet"));
    command
        .arg("out.parquet")
        .args(args)
        .arg("--onnxruntime")
        .arg(runtime::library())
        .args(["--device", "cpu", "--offline"]);
    command.output().unwrap().into()
}

#[test]
fn the_default_run_keeps_no_swapped_caption_and_reports_the_damaged_rows() {
    let place = Place::new();
    let ran = default_run(&place, &["--json"])
        .exits(0)
        .says(&["small bundled model", "no selection was given"]);
    let report = ran.json();
    for (name, rows) in [
        ("rows_in", 236),
        ("rows_kept", 70),
        ("rows_cut", 162),
        ("rows_bad", 4),
    ] {
        assert_eq!(report[name], rows, "{name}");
    }
    let expected = serde_json::json!({"empty_image": 1, "null_image": 1, "truncated_image": 1, "unsupported_image": 1});
    assert_eq!(report["bad"], expected);
    assert_eq!(
        (&report["model"]["name"], &report["model"]["device"]),
        (&"bundled".into(), &"cpu".into())
    );
    let path = place.path("out.parquet");
    let written = shards::read(&path);
    assert_eq!(written.num_rows(), 70);
    let features = shards::file_value(&path, "huggingface").unwrap();
    assert!(
        features.contains(r#""_type":"Image""#) && features.contains("clip_score"),
        "{features}"
    );
    let sound = written.column_by_name("caption_ok").unwrap().as_boolean();
    let swapped: Vec<_> = (0..70).filter(|&row| !sound.value(row)).collect();
    assert_eq!(
        swapped, [0; 0],
        "rows of the output whose caption was swapped"
    );
    let lowest = report["lowest_kept_score"].as_f64().unwrap();
    for score in shards::floats(&written, "clip_score") {
        assert!((lowest - 1e-6..=1.0).contains(&f64::from(score.unwrap())));
    }
}

#[test]
fn the_damaged_rows_are_listed_with_their_keys() {
    let place = Place::new();
    default_run(&place, &["--rejects", "bad.parquet"]).exits(0);
    let rejects = shards::read(&place.path("bad.parquet"));
    assert_eq!(rejects.num_rows(), 4);
    let mut statuses: Vec<_> = shards::strings(&rejects, "status")
        .into_iter()
        .flatten()
        .collect();
    statuses.sort();
    assert_eq!(
        statuses,
        [
            "empty_image",
            "null_image",
            "truncated_image",
            "unsupported_image"
        ]
    );
    assert!(
        shards::strings(&rejects, "key")
            .iter()
            .all(|key| key.as_ref().is_some_and(|key| key.len() == 32))
    );
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let place = Place::new();
    let mut command = program();
    command
        .current_dir(place.dir())
        .arg(Path::new(ROOT).join("assets/sample.parquet"));
    command.args(["out.parquet", "--onnxruntime", "no/such/libonnxruntime.so"]);
    let ran = Ran::from(command.output().unwrap())
        .exits(1)
        .says(&["no/such/libonnxruntime.so"]);
    assert!(!ran.stderr.contains("defect"), "{}", ran.stderr);
    assert_eq!(place.names(), [""; 0]);
}
