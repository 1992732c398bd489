//! Reports opened in headless Chromium: no console message, no request, sliders, pictures, keyboard, hostile text.

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use clip_filter::store::{
    DerivedSpec, DerivedWriter, EmbeddingType, ScoreStore, ShardIdentity, StoreSpec,
};

use crate::{
    cli::report::hostile_caption,
    program::{Place, ROOT, program},
    runtime, shards,
};

/// Opens `page`, whose facts are `facts`; a line says what was checked, or why nothing was.
#[track_caller]
fn open(place: &Place, page: &str, facts: &str, more: &[&str]) {
    let interpreter =
        std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let ran = Command::new(interpreter)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(Path::new(ROOT).join("tests/browser/report.py"))
        .args([place.path(page), place.path(facts)])
        .args(more)
        .output();
    match ran {
        Ok(ran) => {
            eprint!("{}", text(&ran));
            assert!(ran.status.success(), "{}", text(&ran));
        }
        Err(error) => eprintln!("skipped: no Python: {error}"),
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Writes page.html and facts.json of `clip-filter report ARGS`.
fn report(place: &Place, args: &str) {
    let args = format!("report {args} -o page.html --overwrite --json --quiet");
    let facts = place.mock(&args).exits(0).stdout;
    std::fs::write(place.path("facts.json"), facts).unwrap();
}

#[test]
fn a_hostile_caption_is_shown_and_does_nothing() {
    let place = Place::new();
    let mut pairs = shards::good_pairs(60);
    for pair in pairs.iter_mut().step_by(3) {
        pair.text = Some(hostile_caption());
    }
    shards::write_pairs(&place.path("in.parquet"), &pairs, 16);
    place
        .mock("score in.parquet --scores scores --add sas,sds,dup_max_sim,selection_score --quiet")
        .exits(0);
    std::fs::write(place.path("hostile.txt"), hostile_caption()).unwrap();
    report(&place, "scores --keep 0.5");
    let hostile = place.path("hostile.txt");
    open(
        &place,
        "page.html",
        "facts.json",
        &["--hostile", hostile.to_str().unwrap()],
    );
}

#[test]
fn the_report_of_the_sample_opens() {
    let place = Place::new();
    let scored = program()
        .current_dir(place.dir())
        .arg("score")
        .arg(Path::new(ROOT).join("assets/sample.parquet"))
        .args([
            "--scores",
            "scores",
            "--quiet",
            "--device",
            "cpu",
            "--offline",
        ])
        .args(["--add", "sas,sds,dup_max_sim,selection_score"])
        .arg("--onnxruntime")
        .arg(runtime::library())
        .output()
        .unwrap();
    assert!(scored.status.success(), "{}", text(&scored));
    report(&place, "scores --keep 0.3 --select align-diverse");
    open(&place, "page.html", "facts.json", &[]);
}

#[test]
fn the_report_of_fifty_thousand_labelled_photographs_opens() {
    let Some(folder) = runtime::shared_data("a report") else {
        return;
    };
    let place = Place::new();
    let data = folder.join("cifar10-train.parquet");
    let data = data.to_str().unwrap();
    let args = "--scores scores --label-column label --quiet";
    place
        .mock_with(
            &format!("score {args} --add sas,sds,dup_max_sim,sas_margin"),
            &[data],
        )
        .exits(0);
    // What the label column is, the store knows.
    report(&place, "scores --keep 0.3");
    let facts = std::fs::read_to_string(place.path("facts.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(
        (&facts["rows_in"], &facts["groups"]["count"]),
        (&50_000.into(), &10.into())
    );
    open(&place, "page.html", "facts.json", &[]);
}

#[test]
fn the_report_of_a_million_rows_opens_and_is_small() {
    const ROWS: usize = 1_000_000;
    let place = Place::new();
    store_of(&place.path("scores"), ROWS);
    report(
        &place,
        "scores --keep 0.3 --select align-diverse --memory-limit 256MiB",
    );
    let facts = std::fs::read_to_string(place.path("facts.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["rows_in"], ROWS);
    assert_eq!(facts["rows_kept"], 297_000);
    open(&place, "page.html", "facts.json", &[]);
}

/// A store of made-up scores, one row in a hundred bad, of a shard that is nowhere.
fn store_of(directory: &Path, rows: usize) {
    let spec = StoreSpec {
        model: clip_filter::summary::ModelCard::default(),
        image_column: "image".to_owned(),
        text_column: "text".to_owned(),
        class_captions: None,
        max_pixels: 9,
        reading: Default::default(),
        allow_external_paths: false,
        condition: None,
        embeddings: EmbeddingType::None,
    };
    let mut store = ScoreStore::open_or_create(directory, &spec).unwrap();
    let shard = ShardIdentity {
        path: "/no/such.parquet".to_owned(),
        given: "such.parquet".to_owned(),
        fingerprint: "f".repeat(64),
        size_bytes: 1,
        rows: rows as u64,
    };
    store.record(std::slice::from_ref(&shard)).unwrap();
    let good = |row: &usize| !row.is_multiple_of(100);
    // Neither uniform nor sorted.
    let score = |row: usize, step: usize| {
        let spread = |step: usize| (row.wrapping_mul(step) % 10_007) as f32 / 10_007.0;
        spread(step) + spread(step * 7 + 1) + spread(step * 31 + 5)
    };
    let scores = |step: usize| -> ArrayRef {
        let scores = (0..rows).map(|row| good(&row).then(|| score(row, step)));
        Arc::new(scores.collect::<Float32Array>())
    };
    let statuses = (0..rows).map(|row| if good(&row) { "ok" } else { "null_image" });
    let reasons = (0..rows).map(|row| (!good(&row)).then_some("the image is null"));
    let size = || -> ArrayRef { Arc::new(UInt32Array::from(vec![64; rows])) };
    let columns: [(&str, ArrayRef, bool); 6] = [
        (
            "row",
            Arc::new((0..rows as i64).collect::<Int64Array>()),
            false,
        ),
        (
            "status",
            Arc::new(StringArray::from_iter_values(statuses)),
            false,
        ),
        ("reason", Arc::new(reasons.collect::<StringArray>()), true),
        ("width", size(), true),
        ("height", size(), true),
        ("clip_score", scores(3), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    store.commit_part(&shard, 0..rows as u64, &[batch]).unwrap();
    store.complete(&shard).unwrap();
    let cells = (0..rows).map(|row| good(&row).then_some(u32::try_from(row % 97).unwrap()));
    let derived: [(&str, ArrayRef, bool); 4] = [
        ("cell", Arc::new(cells.collect::<UInt32Array>()), true),
        ("sas", scores(3), true),
        ("sds", scores(5), true),
        ("selection_score", scores(11), true),
    ];
    let names = derived
        .iter()
        .map(|(name, ..)| (*name).to_owned())
        .collect();
    let batch = RecordBatch::try_from_iter_with_nullable(derived).unwrap();
    let made_with = [
        ("adapters", "none"),
        ("pairs", "captions"),
        ("neighbours", "auto"),
        ("seed", "0"),
        ("cells", "auto"),
    ];
    let writer = DerivedWriter::new(
        &store,
        DerivedSpec {
            columns: names,
            made_with: made_with
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            selection: Some("diversity weight 0.1".to_owned()),
            shards: vec![shard.fingerprint.clone()],
        },
    );
    writer.shard(&shard, &batch.schema(), [Ok(batch)]).unwrap();
    writer.finish().unwrap();
}
