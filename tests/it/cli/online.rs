//! One pass into standard output.

use std::{
    io::Read,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
};
use arrow_ipc::reader::StreamReader;
use clip_filter::{
    pipeline::{OnlineOptions, OnlineStream, RunContext, ScoreOptions, online},
    select::{Keep, OnlineSelector},
    summary::Counters,
};
use futures::StreamExt;
use serde_json::Value;

use crate::{
    program::{Place, program},
    shards,
    world::Mock,
};

/// A run and the rows it wrote.
struct Filtered {
    schema: Arc<Schema>,
    rows: RecordBatch,
    /// The last line of stderr.
    report: Value,
}

fn command(place: &Place, args: &str, more: &[&str]) -> Command {
    let mut command = program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        .args(args.split_whitespace())
        .args(more);
    command
}

/// Runs with `--online --json` and reads the stream.
#[track_caller]
fn filter(place: &Place, args: &str, more: &[&str]) -> Filtered {
    let output = command(place, &format!("{args} --online --json"), more)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let reader = StreamReader::try_new(output.stdout.as_slice(), None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    Filtered {
        rows: arrow::compute::concat_batches(&schema, &batches).unwrap(),
        schema,
        report: serde_json::from_str(stderr.lines().last().unwrap()).unwrap(),
    }
}

/// `rows` mixed pairs in two shards below `data`, and all rows as two passes write them.
fn place(rows: u32) -> (Place, RecordBatch) {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    let batch = shards::hf_batch(&shards::mixed_pairs(rows));
    let half = batch.num_rows() / 2;
    for (name, part) in [
        ("data/a.parquet", batch.slice(0, half)),
        ("data/b.parquet", batch.slice(half, batch.num_rows() - half)),
    ] {
        shards::write(&place.path(name), &part);
    }
    place
        .mock("data all.parquet --keep 1 --on-error keep --add status,width,image_embedding")
        .exits(0);
    let all = shards::read(&place.path("all.parquet"));
    (place, all)
}

/// The rows that a selector of its own keeps of the candidates.
fn kept(all: &RecordBatch, keep: &str, candidates: impl Fn(usize, f32) -> bool) -> Vec<usize> {
    let mut selector = OnlineSelector::try_new(keep.parse().unwrap()).unwrap();
    let scores = shards::floats(all, "clip_score");
    (0..all.num_rows())
        .filter(|&row| {
            scores[row].is_some_and(|score| candidates(row, score) && selector.push(score))
        })
        .collect()
}

#[test]
fn the_rows_are_those_that_the_selector_keeps_of_the_candidates_in_row_order() {
    let (place, all) = place(700);
    let cases: [(&str, &[&str], Vec<usize>); 5] = [
        ("--keep 0.3", &[], kept(&all, "0.3", |_, _| true)),
        (
            "--keep 0.5 --min-score 0.1",
            &[],
            kept(&all, "0.5", |_, score| score >= 0.1),
        ),
        (
            "--keep 0.5",
            &["--where", "rank % 2 = 1 AND clip_score < 0.2 AND width > 4"],
            kept(&all, "0.5", |row, score| row % 2 == 1 && score < 0.2),
        ),
        (
            "--min-score 0.2",
            &[],
            kept(&all, "1", |_, score| score >= 0.2),
        ),
        (
            "",
            &["--where", "clip_score < 0"],
            kept(&all, "1", |_, score| score < 0.0),
        ),
    ];
    for (args, more, expected) in cases {
        let filtered = filter(&place, &format!("data - {args}"), more);
        assert_eq!(
            shards::row_numbers(&filtered.rows),
            expected,
            "{args} {more:?}"
        );
        assert!(expected.len() > 20, "{args}");
        let count = |name: &str| filtered.report[name].as_u64().unwrap();
        assert_eq!(count("rows_kept"), expected.len() as u64);
        assert_eq!(count("rows_in"), 700);
        assert_eq!(
            count("rows_kept") + count("rows_cut") + count("rows_bad"),
            700
        );
        assert_eq!(filtered.report["complete"], true);
    }
    assert_eq!(place.names(), ["all.parquet", "data"], "nothing is stored");
}

#[test]
fn columns_are_those_of_the_shards_with_their_types_and_bytes_and_the_added_ones() {
    let (place, all) = place(60);
    let filtered = filter(
        &place,
        "data - --keep 0.4 --add status,width,image_embedding",
        &[],
    );
    let expected = shards::take(&all, &kept(&all, "0.4", |_, _| true));
    let types = |schema: &Schema| -> Vec<(String, DataType)> {
        let fields = schema.fields().iter();
        let named = fields.map(|field| (field.name().clone(), field.data_type().clone()));
        named.collect()
    };
    assert_eq!(
        types(&filtered.schema)[..7],
        types(&expected.schema())[..7],
        "up to the embedding"
    );
    assert_eq!(filtered.schema.fields().len(), 8);
    for name in [
        "uid",
        "image",
        "text",
        "rank",
        "clip_score",
        "status",
        "width",
    ] {
        assert_eq!(
            filtered.rows.column_by_name(name).unwrap(),
            expected.column_by_name(name).unwrap(),
            "{name}"
        );
    }
    assert_eq!(
        shards::vectors(&filtered.rows, "image_embedding"),
        shards::vectors(&expected, "image_embedding")
    );
    let metadata = filtered.schema.metadata();
    assert!(metadata["huggingface"].contains("clip_score"));
    assert_eq!(
        metadata["clip_filter.selection"],
        "keep 0.4 by clip_score, in one pass"
    );
    let of_score = filtered.schema.field_with_name("clip_score").unwrap();
    assert_eq!(of_score.metadata()["clip_filter.model"], "mock");
}

#[test]
fn bad_rows_are_dropped_kept_or_fatal() {
    let (place, _) = place(60);
    let dropped = filter(&place, "data - --keep 1", &[]);
    assert_eq!(dropped.rows.num_rows(), 51);
    assert_eq!(dropped.report["rows_bad"], 9);
    let kept = filter(&place, "data - --keep 1 --on-error keep --prefix my_", &[]);
    assert_eq!(shards::row_numbers(&kept.rows), (0..60).collect::<Vec<_>>());
    let scores = shards::floats(&kept.rows, "my_clip_score");
    assert_eq!(scores.iter().filter(|score| score.is_none()).count(), 9);
    assert_eq!(
        (&kept.report["rows_kept"], &kept.report["rows_written"]),
        (&51.into(), &60.into())
    );
    let output = command(&place, "data - --online --keep 1 --on-error fail", &[])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for text in ["row: 3", "a.parquet", "null_image", "--on-error drop"] {
        assert!(stderr.contains(text), "{stderr}");
    }
    let many = command(&place, "data - --online --keep 1 --max-bad-rows 8", &[]);
    let mut many = many;
    assert_eq!(many.output().unwrap().status.code(), Some(3));
}

#[test]
fn every_window_of_the_output_holds_the_budget() {
    const ROWS: usize = 24_000;
    let place = Place::new();
    // Sixteen pictures, many captions: scores come in runs of one picture.
    let pairs: Vec<shards::Pair> = (0..ROWS)
        .map(|row| {
            let picture = u32::try_from(row / 1_500).unwrap();
            shards::Pair::new(
                crate::pictures::bmp(picture),
                &format!("thing {}", row * 7_919 % 4_001),
            )
        })
        .collect();
    shards::write_pairs(&place.path("in.parquet"), &pairs, 5_000);
    let filtered = filter(&place, "in.parquet - --keep 0.3", &[]);
    let mut kept = vec![0usize; ROWS + 1];
    for row in shards::row_numbers(&filtered.rows) {
        kept[row + 1] = 1;
    }
    for row in 0..ROWS {
        kept[row + 1] += kept[row];
    }
    let window = OnlineSelector::WINDOW_ROWS;
    for (first, pair) in kept.windows(window + 1).enumerate() {
        let fraction = (pair[window] - pair[0]) as f64 / window as f64;
        assert!(
            (fraction - 0.3).abs() <= OnlineSelector::TOLERANCE + 1e-9,
            "{fraction} from row {first} on"
        );
    }
    let fraction = filtered.report["kept_fraction"].as_f64().unwrap();
    assert!((fraction - 0.3).abs() <= 100.0 / ROWS as f64, "{fraction}");
}

#[test]
fn a_reader_that_leaves_is_success() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(3_000), 500);
    let mut child = command(&place, "in.parquet - --online --keep 0.5 --json", &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = [0; 1000];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(report["complete"], false, "{stderr}");
    assert!(report["rows_in"].as_u64().unwrap() < 3_000, "{stderr}");
}

#[test]
fn an_interrupt_ends_a_run_whose_reader_does_not_read() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(3_000), 500);
    let mut child = command(&place, "in.parquet - --online --keep 0.5", &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // The run is under way, and the rest of its output does not fit the pipe.
    stdout.read_exact(&mut [0; 1000]).unwrap();
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("interrupted"), "{stderr}");
    drop(stdout);
}

#[test]
fn what_one_pass_cannot_do_is_a_usage_error_with_a_remedy() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(5), 5);
    for (args, says) in [
        ("in.parquet - --keep 0.3", "--online"),
        (
            "in.parquet out.parquet --online --keep 0.3",
            "in.parquet - --online",
        ),
        ("- --online --keep 0.3", "in.parquet - --online"),
        ("in.parquet - --online", "--keep 0.3"),
        ("in.parquet - --online --keep-rows 5", "--keep FRACTION"),
        (
            "in.parquet - --online --keep 0.3 --scores s",
            "keeps no store",
        ),
        (
            "in.parquet - --online --keep 0.3 --scores s --only-new",
            "keeps no store",
        ),
        (
            "in.parquet - --online --keep 0.3 --rejects r.parquet",
            "--on-error keep",
        ),
        (
            "in.parquet - --online --keep 0.3 --overwrite",
            "leave it out",
        ),
        ("in.parquet - --online --keep 0.3 --dry-run", "/dev/null"),
        ("in.parquet - --online --keep 0.3 --add status", ""),
    ] {
        let code = if says.is_empty() { 0 } else { 2 };
        let output = command(&place, args, &[]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {stderr}");
        assert!(stderr.contains(says), "{args}: {stderr}");
        assert!(code == 0 || output.stdout.is_empty(), "{args}");
    }
    assert_eq!(place.names(), ["in.parquet"]);
}

/// A stream within this process, and its counters.
async fn open(place: &Place, counters: &Arc<Counters>) -> OnlineStream {
    let input = place.path("in.parquet").to_str().unwrap().to_owned();
    let scoring = ScoreOptions::new([input])
        .with_threads(2)
        .with_memory_limit("1GB".parse().unwrap());
    let options = OnlineOptions::new(scoring, Keep::All);
    let context = RunContext::new(Arc::new(Mock::default())).with_counters(Arc::clone(counters));
    online(&options, context).await.unwrap()
}

#[test]
fn a_consumer_that_waits_stops_the_reading_and_one_that_leaves_ends_it() {
    const ROWS: u32 = 8_000;
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(ROWS), 1_000);
    let counters = Arc::new(Counters::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut stream = runtime.block_on(open(&place, &counters));
    let first = runtime.block_on(stream.next()).unwrap().unwrap();
    assert!(first.num_rows() > 0);
    assert_eq!(stream.summary().run.rows_kept, first.num_rows() as u64);
    // However long it waits, no more is encoded than fits between.
    std::thread::sleep(Duration::from_millis(1_500));
    let done = counters.rows_done.load(Ordering::Relaxed);
    assert!(done <= 6 * 256, "{done} rows for {}", first.num_rows());
    drop(stream);
    let asked = Instant::now();
    while Arc::strong_count(&counters) > 1 {
        assert!(asked.elapsed() < Duration::from_secs(60), "work goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(counters.rows_done.load(Ordering::Relaxed) < u64::from(ROWS));
}

/// Rows of each batch of what is there of a stream, until it ends or breaks off.
fn batches(stream: &[u8]) -> Vec<usize> {
    let reader = StreamReader::try_new(stream, None).unwrap();
    reader
        .map_while(Result::ok)
        .map(|batch| batch.num_rows())
        .collect()
}

#[test]
fn a_stream_ends_with_a_batch_without_rows_only_if_the_run_has_succeeded() {
    const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let place = Place::new();
    for name in ["a.parquet", "b.parquet"] {
        shards::write_pairs(&place.path(name), &shards::good_pairs(600), 200);
    }
    let run = |args: &str| {
        command(&place, &format!("{args} - --online --keep 0.5"), &[])
            .output()
            .unwrap()
    };
    let whole = run("a.parquet b.parquet");
    assert_eq!(whole.status.code(), Some(0));
    let rows = batches(&whole.stdout);
    let (last, before) = rows.split_last().unwrap();
    assert!(
        *last == 0 && before.iter().all(|&rows| rows > 0),
        "{rows:?}"
    );
    assert!(whole.stdout.ends_with(&END));
    let none = run("a.parquet --min-score 2");
    assert_eq!(
        (none.status.code(), batches(&none.stdout)),
        (Some(0), vec![0])
    );

    let mut bytes = std::fs::read(place.path("b.parquet")).unwrap();
    let footer = shards::footer(&place.path("b.parquet"));
    let (start, length) = footer.row_group(2).column(1).byte_range();
    let (start, length) = (
        usize::try_from(start).unwrap(),
        usize::try_from(length).unwrap(),
    );
    bytes[start..start + length].fill(0xff);
    std::fs::write(place.path("b.parquet"), bytes).unwrap();
    let failed = run("a.parquet b.parquet");
    assert_eq!(failed.status.code(), Some(1));
    let rows = batches(&failed.stdout);
    assert!(
        !rows.is_empty() && rows.iter().all(|&rows| rows > 0),
        "{rows:?}"
    );
    assert!(!failed.stdout.ends_with(&END));
}
