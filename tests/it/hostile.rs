//! Hostile and odd images: every `ok` row is scored, every `bad` row is reported, nothing crashes.
//!
//! `tests/data/hostile.parquet` is a small selection (see `tests/data/README.md`).

use std::path::Path;

use crate::{
    program::{Place, ROOT, Ran, program},
    runtime, shards,
};

/// Runs over `path` with `args` and checks each row against its `expect`; gives the number of rows.
#[track_caller]
fn check(path: &Path, args: &[&str]) -> usize {
    let place = Place::new();
    let mut command = program();
    command.current_dir(place.dir()).arg(path).args([
        "out.parquet",
        "--rejects",
        "bad.parquet",
        "--json",
    ]);
    command
        .args([
            "--keep",
            "1",
            "--on-error",
            "keep",
            "--add",
            "status",
            "--threads",
            "2",
        ])
        .args(args);
    let ran = Ran::from(command.output().unwrap()).exits(0);
    let input = shards::read(path);
    let written = shards::read(&place.path("out.parquet"));
    let names = shards::names(&input);
    let kept = shards::project(
        &written,
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(kept.columns(), input.columns(), "rows, order and bytes");
    let column = |name: &str| {
        shards::strings(&written, name)
            .into_iter()
            .map(Option::unwrap_or_default)
    };
    let scores = shards::floats(&written, "clip_score");
    let mut wrong = Vec::new();
    for (((key, expect), status), score) in column("key")
        .zip(column("expect"))
        .zip(column("status"))
        .zip(&scores)
    {
        let consistent =
            score.is_some_and(|score| score.is_finite() && score.abs() <= 1.0) == (status == "ok");
        let expected = match expect.as_str() {
            "ok" => status == "ok",
            "bad" => status != "ok",
            _ => true,
        };
        if !(consistent && expected) {
            wrong.push(format!(
                "{key}: expected {expect}, is {status}, score {score:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let bad = scores.iter().filter(|score| score.is_none()).count();
    assert_eq!(ran.json()["rows_bad"], bad);
    assert_eq!(shards::read(&place.path("bad.parquet")).num_rows(), bad);
    input.num_rows()
}

fn selection() -> std::path::PathBuf {
    Path::new(ROOT).join("tests/data/hostile.parquet")
}

#[test]
fn the_selection_is_scored_or_reported_as_expected() {
    for args in [["--batch-size", "1"], ["--batch-size", "16"]] {
        assert!(check(&selection(), &[&args[..], &["--model", "mock"]].concat()) > 25);
    }
}

#[test]
fn the_selection_passes_the_bundled_model() {
    let library = runtime::library().to_str().unwrap();
    check(&selection(), &["--onnxruntime", library, "--device", "cpu"]);
}

#[test]
fn all_hostile_images_are_scored_or_reported_as_expected() {
    let Some(folder) = runtime::shared_data("hostile images") else {
        return;
    };
    let path = folder.join("hostile-images.parquet");
    assert_eq!(check(&path, &["--model", "mock"]), 98);
    assert_eq!(
        check(
            &path,
            &[
                "--model",
                "mock",
                "--memory-limit",
                "300MiB",
                "--batch-size",
                "1"
            ]
        ),
        98
    );
}
