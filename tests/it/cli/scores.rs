//! The score store: scored once, selected from many times, and what goes wrong with it.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::Value;

use crate::{
    program::{Place, Ran, is_root},
    shards,
};

const ROWS: u32 = 60;

/// Two shards with bad rows.
fn place() -> Place {
    let place = Place::new();
    for (name, turn) in [("a", 0), ("b", 5)] {
        let mut pairs = shards::mixed_pairs(ROWS);
        pairs.rotate_left(turn);
        shards::write_pairs(&place.path(&format!("{name}.parquet")), &pairs, 16);
    }
    place
}

/// Each shard has a file of its own: nothing stands beside a small one that is scored alone.
fn scored() -> Place {
    let place = place();
    for shards in ["a.parquet", "a.parquet b.parquet"] {
        assert_eq!(score(&place, shards)["rows_scored"], ROWS);
    }
    place
}

fn score(place: &Place, inputs: &str) -> Value {
    place
        .mock(&format!("score {inputs} --scores scores --json"))
        .exits(0)
        .json()
}

/// The finished files of the store.
fn files(place: &Place) -> Vec<PathBuf> {
    let folders = ["scores/scores", "scores/bundles"];
    let entries = folders.map(|folder| std::fs::read_dir(place.path(folder)));
    let entries = entries.into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A run that names no model: it must get by without one.
fn without_model(place: &Place, args: &str) -> Ran {
    let mut command = crate::program::program();
    command
        .current_dir(place.dir())
        .env("ORT_DYLIB_PATH", "/no/such/library")
        .args(args.split_whitespace())
        .args(["--offline"]);
    command.output().unwrap().into()
}

#[test]
fn scores_are_encoded_once_and_selected_from_without_a_model() {
    let place = scored();
    assert_eq!(score(&place, "a.parquet b.parquet")["rows_scored"], 0);
    for (name, args) in [
        ("keep", "--keep 0.4"),
        ("rows", "--keep-rows 7"),
        ("min", "--min-score 0.1"),
        ("all", "--keep 1 --on-error keep --add status,width,height"),
    ] {
        let fresh = place
            .mock(&format!(
                "a.parquet b.parquet {name}-fresh.parquet {args} --json"
            ))
            .exits(0)
            .json();
        let stored = format!("a.parquet b.parquet {name}.parquet {args} --scores scores --json");
        let stored = without_model(&place, &stored).exits(0).json();
        assert_eq!(stored["rows_scored"], 0, "{name}");
        for fact in [
            "rows_in",
            "rows_kept",
            "rows_cut",
            "rows_bad",
            "bad",
            "lowest_kept_score",
        ] {
            assert_eq!(stored[fact], fresh[fact], "{name}: {fact}");
        }
        let [fresh, stored] = [format!("{name}-fresh.parquet"), format!("{name}.parquet")]
            .map(|name| shards::read(&place.path(&name)));
        assert_eq!(fresh.columns(), stored.columns(), "{name}");
    }
}

#[test]
fn conditions_decide_alike_with_a_store_and_without() {
    let place = scored();
    for (number, condition) in [
        "rank < 20",
        "clip_score > 0.1",
        "rank % 2 = 0 AND clip_score > 0 AND width > 4",
        "rank < 5 OR clip_score > 0.2",
        "status = 'ok' AND text IS NOT NULL",
        "image IS NOT NULL AND rank > 30",
    ]
    .iter()
    .enumerate()
    {
        let run = |output: &str, more: &str| {
            let args = format!("a.parquet b.parquet {output} --json --rejects {output}.bad {more}");
            place
                .mock_with(&args, &["--where", condition])
                .exits(0)
                .json()
        };
        let (fresh, stored) = (
            format!("{number}-fresh.parquet"),
            format!("{number}.parquet"),
        );
        let (one, other) = (run(&fresh, ""), run(&stored, "--scores scores"));
        for fact in ["rows_kept", "rows_cut", "rows_bad", "bad"] {
            assert_eq!(one[fact], other[fact], "{condition}: {fact}");
        }
        let read = |name: &str| shards::read(&place.path(name));
        assert_eq!(
            read(&fresh).columns(),
            read(&stored).columns(),
            "{condition}"
        );
        let bad = |name: &str| read(&format!("{name}.bad"));
        assert_eq!(bad(&fresh), bad(&stored), "{condition}");
    }
}

#[test]
fn a_run_fills_what_is_missing() {
    let place = place();
    score(&place, "a.parquet");
    let args = "a.parquet b.parquet out.parquet --scores scores --json";
    let report = place.mock(args).exits(0).json();
    assert_eq!(report["rows_scored"], ROWS);
    assert_eq!(files(&place).len(), 2);
    // The same content under another name is known.
    std::fs::create_dir(place.path("moved")).unwrap();
    std::fs::rename(place.path("a.parquet"), place.path("moved/c.parquet")).unwrap();
    assert_eq!(score(&place, "moved")["rows_scored"], 0);
    // Two copies in one run are scored once.
    std::fs::copy(place.path("b.parquet"), place.path("moved/d.parquet")).unwrap();
    let report = score(&place, "moved b.parquet");
    assert_eq!(
        (&report["rows_scored"], &report["rows_in"]),
        (&0.into(), &(3 * ROWS).into())
    );
}

#[test]
fn a_shard_that_has_changed_is_refused_unless_only_new_is_asked_for() {
    let place = scored();
    shards::write_pairs(&place.path("b.parquet"), &shards::good_pairs(10), 16);
    for args in [
        "score a.parquet b.parquet --scores scores",
        "a.parquet b.parquet out.parquet --scores scores",
    ] {
        place.mock(args).exits(1).says(&[
            "a shard has changed since it was scored",
            "b.parquet",
            "scored fingerprint: ",
            "found fingerprint: ",
            "--only-new",
        ]);
    }
    let report = place
        .mock("score a.parquet b.parquet --scores scores --only-new --json")
        .exits(0)
        .json();
    assert_eq!(report["rows_scored"], 10);
    assert_eq!(files(&place).len(), 2);
    assert_eq!(score(&place, "a.parquet b.parquet")["rows_scored"], 0);
}

#[test]
fn a_store_that_was_made_otherwise_is_refused() {
    let place = scored();
    // The bundled model says who it is without being run.
    let run = |args: &str| place.mock(args);
    run("a.parquet out.parquet --scores scores --model bundled")
        .exits(1)
        .says(&[
            "made with another model",
            "the store has: mock (fp32, sha256 mock-1)",
            "this run has: bundled",
            "another --scores directory",
        ]);
    run("score a.parquet --scores scores --max-pixels 5")
        .exits(1)
        .says(&["--max-pixels"]);
    run("score a.parquet --scores scores --text-column uid")
        .exits(1)
        .says(&[
            "another caption column",
            "the store has: text",
            "this run has: uid",
        ]);
    run("score a.parquet --scores scores --embeddings none")
        .exits(1)
        .says(&["another embeddings"]);
    assert_eq!(files(&place).len(), 2, "nothing is lost");
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn small_shards_of_one_run_share_a_file() {
    let (together, alone) = (place(), scored());
    let report = score(&together, "a.parquet b.parquet");
    assert_eq!(report["rows_scored"], 2 * ROWS);
    let [file] = files(&together).try_into().unwrap();
    for place in [&together, &alone] {
        place
            .mock("a.parquet b.parquet out.parquet --scores scores --keep 0.4")
            .exits(0);
    }
    let out = |place: &Place| shards::read(&place.path("out.parquet"));
    assert_eq!(out(&together), out(&alone));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    together
        .mock("a.parquet b.parquet again.parquet --scores scores")
        .exits(1)
        .says(&["read the score store", name, "remove it and run"]);
    std::fs::remove_file(&file).unwrap();
    let report = score(&together, "a.parquet b.parquet");
    assert_eq!(report["rows_scored"], 2 * ROWS);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn embeddings_are_kept_as_asked() {
    let place = place();
    let vectors = |output: &str, more: &str| {
        let args = format!("a.parquet {output} --keep 1 --add image_embedding {more}");
        place.mock(&args).exits(0);
        shards::vectors(&shards::read(&place.path(output)), "image_embedding")
    };
    let exact = vectors("exact.parquet", "");
    assert_eq!(
        vectors("f32.parquet", "--scores f32 --embeddings f32"),
        exact
    );
    let half = vectors("f16.parquet", "--scores f16");
    for (exact, half) in exact.iter().flatten().zip(half.iter().flatten()) {
        for (exact, half) in exact.iter().zip(half) {
            assert!((exact - half).abs() < 1e-3, "{exact} and {half}");
        }
    }
    place
        .mock("score a.parquet --scores none --embeddings none")
        .exits(0);
    place
        .mock("a.parquet out.parquet --scores none --add text_embedding")
        .exits(1)
        .says(&["text_embedding", "--embeddings f16"]);
    place.mock("a.parquet out.parquet --scores none").exits(0);
}

#[test]
fn damage_is_named_with_its_remedy_and_the_rest_is_kept() {
    let place = scored();
    let [file, _] = files(&place).try_into().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    place
        .mock("a.parquet b.parquet out.parquet --scores scores")
        .exits(1)
        .says(&["read the score store", name, "remove it and run"]);
    assert!(!place.path("out.parquet").exists());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(score(&place, "a.parquet b.parquet")["rows_scored"], ROWS);
    assert_eq!(
        std::fs::read(&file).unwrap(),
        bytes,
        "the same file is made again"
    );

    let manifest = place.path("scores/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replacen("\"format\": 2", "\"format\": 7", 1),
    )
    .unwrap();
    for args in [
        "a.parquet out.parquet --scores scores",
        "score a.parquet --scores scores",
    ] {
        place.mock(args).exits(1).says(&[
            "its format is another",
            "its format: 7",
            "known format: 2",
        ]);
    }
    std::fs::write(&manifest, &text[..40]).unwrap();
    place
        .mock("score a.parquet --scores scores")
        .exits(1)
        .says(&["manifest", "damaged"]);
    std::fs::write(&manifest, text).unwrap();
    assert_eq!(score(&place, "a.parquet b.parquet")["rows_scored"], 0);
}

#[test]
fn a_read_only_store_is_selected_from_and_not_added_to() {
    if is_root() {
        eprintln!("skipped: permissions do not bind this user");
        return;
    }
    let place = place();
    score(&place, "a.parquet");
    let mode = |mode: u32| {
        for name in ["scores", "scores/scores"] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(place.path(name), permissions).unwrap();
        }
    };
    mode(0o555);
    let select = place.mock("a.parquet out.parquet --scores scores");
    let add = place.mock("score b.parquet --scores scores");
    mode(0o755);
    select.exits(0);
    add.exits(1).says(&["score store", "Permission denied"]);
}

#[test]
fn a_store_that_is_no_directory_or_is_not_there_is_named() {
    let place = place();
    std::fs::write(place.path("file"), b"x").unwrap();
    place
        .mock("score a.parquet --scores file")
        .exits(1)
        .says(&["file"]);
    place
        .mock("a.parquet out.parquet --only-new")
        .exits(2)
        .says(&["--scores"]);
    place.mock("score a.parquet").exits(2).says(&["--scores"]);
    assert_eq!(place.names(), ["a.parquet", "b.parquet", "file"]);
}

#[test]
fn rows_that_cannot_be_scored_are_in_the_store_with_their_reason() {
    let place = scored();
    let report = score(&place, "a.parquet b.parquet");
    let rows_bad = report["rows_bad"].as_u64().unwrap();
    assert!(rows_bad > 0);
    let stored: Vec<_> = files(&place)
        .iter()
        .map(|file| shards::read(file))
        .collect();
    let bad = stored.iter().flat_map(|batch| {
        let (statuses, reasons) = (
            shards::strings(batch, "status"),
            shards::strings(batch, "reason"),
        );
        statuses
            .into_iter()
            .zip(reasons)
            .filter(|(status, _)| status.as_deref() != Some("ok"))
    });
    let bad: Vec<_> = bad.collect();
    assert_eq!(bad.len() as u64, rows_bad);
    assert!(bad.iter().all(|(_, reason)| reason.is_some()));
    place
        .mock("score a.parquet b.parquet --scores scores --max-bad-rows 0")
        .exits(3);
    place
        .mock("a.parquet b.parquet out.parquet --scores scores --on-error fail")
        .exits(1)
        .says(&["failed to score a row", "a.parquet", "row: 3"]);
}

#[test]
fn a_run_starts_over_where_the_one_before_had_another_model() {
    let place = place();
    let work = place.path(".out.parquet.clip-filter");
    std::fs::create_dir(&work).unwrap();
    place
        .mock("score a.parquet --scores .out.parquet.clip-filter/scores --embeddings none")
        .exits(0);
    let manifest = work.join("scores/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("mock-1", "another")).unwrap();
    let ran = place.mock("a.parquet out.parquet --json").exits(0);
    assert_eq!(ran.json()["rows_scored"], ROWS);
    ran.says(&["other options: its scores are not used"]);
}
