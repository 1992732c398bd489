//! `clip-filter adapt`.

use super::reference::{ROWS, Reference};
use crate::{program::Place, shards};

/// 960 rows: those of the reference again and again, each under the name of the next class.
fn place(reference: &Reference) -> Place {
    let place = Place::new();
    let rows: Vec<usize> = (0..16 * ROWS).map(|row| row % ROWS).collect();
    // Prompts that fit no class, so that there is something to learn.
    let labels = reference.labels();
    let labels: Vec<Option<i64>> = rows
        .iter()
        .map(|&row| Some((labels[row] + 1) % 5))
        .collect();
    reference.write_labelled(&place, "in.parquet", &rows, &labels);
    reference.fill(&place, "scores", &["in.parquet"]);
    place
}

#[test]
fn adapters_are_fitted_to_a_store_and_used_again() {
    let reference = Reference::read();
    let place = place(&reference);
    let record = place
        .mock("adapt --scores scores --label-column label -o fitted.safetensors --json")
        .exits(0)
        .json();
    assert_eq!(record["mode"], "labelled");
    assert_eq!(record["classes"], 5);
    let rows = |name: &str| record[name].as_u64().unwrap();
    assert_eq!(
        (rows("training_rows"), rows("held_out_rows")),
        (16 * 60, 16 * 60)
    );
    assert_eq!(
        (&record["method"], &record["outcome"]),
        (&"closed".into(), &"accepted".into())
    );
    assert!(record["closed"]["shrinkage"].is_number(), "{record}");

    // A file that is there is kept unless asked.
    place
        .mock("adapt --scores scores --label-column label -o fitted.safetensors")
        .exits(1)
        .says(&["fitted.safetensors", "--overwrite"]);
    let before = std::fs::read(place.path("fitted.safetensors")).unwrap();
    place
        .mock("adapt in.parquet --scores scores --label-column label -o fitted.safetensors --overwrite")
        .exits(0)
        .says(&["rows       960", "shrinkage"]);
    assert_eq!(
        std::fs::read(place.path("fitted.safetensors")).unwrap(),
        before
    );

    // The file is fitted to all rows; within a run each is scored by what the others say, which is nearly the same.
    let scores = |args: &str, name: &str| {
        let args = format!(
            "in.parquet {name} --keep 1 --scores scores --label-column label --add sas,sds {args}"
        );
        place.mock(&args).exits(0);
        let written = shards::read(&place.path(name));
        (
            shards::floats(&written, "sas"),
            shards::floats(&written, "sds"),
        )
    };
    let given = scores("--adapters fitted.safetensors", "given.parquet");
    let fitted = scores("--adapt", "fitted.parquet");
    assert_eq!(given.1, fitted.1, "distances are measured in one space");
    // A class of few rows is another one without them, so some rows are far apart.
    let apart = given.0.iter().zip(&fitted.0);
    let apart = apart.map(|(given, fitted)| (given.unwrap() - fitted.unwrap()).abs());
    let mut apart: Vec<f32> = apart.collect();
    apart.sort_by(f32::total_cmp);
    let median = apart[apart.len() / 2];
    assert!(median > 0.0 && median < 0.2, "{median}");
}

#[test]
fn the_published_way_is_there_for_comparison() {
    let reference = Reference::read();
    let place = place(&reference);
    let record = place
        .mock(
            "adapt --scores scores --label-column label --fit infonce -o fitted.safetensors --json",
        )
        .exits(0)
        .json();
    assert_eq!(
        (&record["method"], &record["mode"]),
        (&"infonce".into(), &"labelled".into())
    );
    let rows = |name: &str| record[name].as_u64().unwrap();
    assert_eq!(rows("training_rows") + rows("held_out_rows"), 16 * 60);
    assert!(!record["epochs"].as_array().unwrap().is_empty());
    let scores = |args: &str, name: &str| {
        let args =
            format!("in.parquet {name} --scores scores --label-column label --add sas,sds {args}");
        place.mock(&args).exits(0);
        let written = shards::read(&place.path(name));
        (
            shards::floats(&written, "sas"),
            shards::floats(&written, "sds"),
        )
    };
    // The file gives what fitting within a run does.
    let given = scores("--adapters fitted.safetensors", "given.parquet");
    let fitted = scores("--adapt=infonce", "fitted.parquet");
    assert_eq!(given, fitted);
}

#[test]
fn adapters_of_classes_are_for_those_classes() {
    let reference = Reference::read();
    let place = place(&reference);
    place
        .mock("adapt --scores scores --label-column kind -o fitted.safetensors")
        .exits(0);
    let score = "score in.parquet --scores scores --add sas --adapters fitted.safetensors";
    place.mock(&format!("{score} --label-column kind")).exits(0);
    place
        .mock(score)
        .exits(1)
        .says(&["fitted to classes", "--label-column"]);
    std::fs::write(place.path("names.txt"), "ant\nbee\ncow\ndeer\nemu\n").unwrap();
    place
        .mock(&format!(
            "{score} --label-column label --class-names names.txt"
        ))
        .exits(1)
        .says(&["were not fitted to", "--class-names"]);
}

#[test]
fn captions_serve_where_there_are_no_labels() {
    let reference = Reference::read();
    let place = place(&reference);
    let record = place
        .mock("adapt --scores scores -o fitted.safetensors --json")
        .exits(0)
        .json();
    assert_eq!(record["mode"], "captioned");
}

#[test]
fn a_store_without_all_rows_or_embeddings_is_refused() {
    let reference = Reference::read();
    let place = reference.place();
    reference.write_shard(&place, "more.parquet", &[1, 2, 3]);
    place
        .mock("adapt in.parquet more.parquet --scores scores -o a.safetensors")
        .exits(1)
        .says(&["more.parquet", "clip-filter score"]);
    place
        .mock("score in.parquet --scores plain --embeddings none")
        .exits(0);
    place
        .mock("adapt --scores plain -o a.safetensors")
        .exits(1)
        .says(&["--embeddings f16"]);
    assert!(!place.path("a.safetensors").exists());
}
