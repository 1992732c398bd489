//! `--trace FILE`, and what a summary says of stages.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::{
    program::{Place, Ran, program},
    shards,
};

const ROWS: u32 = 60;

fn place() -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(ROWS), 16);
    place
}

fn events(path: &Path) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The complete events of `events` that are called `name`.
fn spans<'a>(events: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    let is = move |event: &&Value| event["ph"] == "X" && event["name"] == name;
    events.iter().filter(is)
}

fn rows<'a>(spans: impl Iterator<Item = &'a Value>, what: &str) -> u64 {
    let of = spans.filter(|span| span["args"]["what"] == what);
    of.filter_map(|span| span["args"]["rows"].as_u64()).sum()
}

/// Spans of a lane must lie beside or within each other, and every lane must have a name.
fn check_lanes(events: &[Value]) {
    let mut lanes: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for span in events.iter().filter(|event| event["ph"] == "X") {
        let number = |name: &str| span[name].as_u64().unwrap();
        let (start, length) = (number("ts"), number("dur"));
        let lane = lanes.entry(number("tid")).or_default();
        lane.push((start, start + length));
    }
    for (lane, mut spans) in lanes {
        let is_name = |event: &&Value| event["name"] == "thread_name" && event["tid"] == lane;
        assert_eq!(events.iter().filter(is_name).count(), 1, "lane {lane}");
        // The outer one of those that start together first.
        spans.sort_unstable_by_key(|&(start, end)| (start, u64::MAX - end));
        let mut open: Vec<(u64, u64)> = Vec::new();
        for (start, end) in spans {
            while open.last().is_some_and(|&(_, outer)| outer <= start) {
                open.pop();
            }
            if let Some(outer) = open.last() {
                assert!(
                    end <= outer.1,
                    "{start}..{end} and {outer:?} in lane {lane}"
                );
            }
            open.push((start, end));
        }
    }
}

#[test]
fn every_stage_is_in_the_trace_of_a_run_and_lanes_are_in_order() {
    let place = place();
    let report = place
        .mock("in.parquet out.parquet --trace trace.json --keep 1 --batch-size 8 --json")
        .exits(0)
        .json();
    let events = events(&place.path("trace.json"));
    check_lanes(&events);
    for name in [
        "read", "decode", "encode", "write", "load", "score", "select",
    ] {
        assert!(spans(&events, name).count() > 0, "{name}");
    }
    assert_eq!(spans(&events, "score").count(), 1);
    // All rows are decoded and stored; of the images of good rows and of captions each is encoded once.
    assert_eq!(rows(spans(&events, "decode"), "images"), u64::from(ROWS));
    assert_eq!(rows(spans(&events, "decode"), "captions"), u64::from(ROWS));
    assert_eq!(rows(spans(&events, "write"), "scores"), u64::from(ROWS));
    let good = report["rows_kept"].as_u64().unwrap();
    assert_eq!(rows(spans(&events, "write"), "rows"), good);
    assert!(rows(spans(&events, "encode"), "images") >= good);
    let read: u64 = spans(&events, "read")
        .filter_map(|span| span["args"]["rows"].as_u64())
        .sum();
    assert_eq!(read, u64::from(ROWS) + good);
    assert!(spans(&events, "decode").all(|span| span["args"]["bytes"].is_u64()));
    let queues = events.iter().filter(|event| event["ph"] == "C");
    assert!(queues.count() > 0);
    assert_eq!(place.names(), ["in.parquet", "out.parquet", "trace.json"]);
}

#[test]
fn the_other_commands_write_a_trace_too() {
    let place = place();
    let online = "in.parquet - --online --keep 0.5 --trace online.json";
    let mut command = program();
    let output = command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .args(online.split_whitespace())
        .output()
        .unwrap();
    assert!(output.status.success());
    place
        .mock("score in.parquet --scores scores --trace score.json")
        .exits(0);
    place
        .mock_with(
            "sql --input in.parquet --trace sql.json",
            &["SELECT max(clip_score) FROM pairs"],
        )
        .exits(0);
    for (name, stages) in [
        (
            "online.json",
            &["read", "decode", "encode", "write", "score"][..],
        ),
        (
            "score.json",
            &["read", "decode", "encode", "write", "score"],
        ),
        ("sql.json", &["read", "decode", "encode"]),
    ] {
        let events = events(&place.path(name));
        check_lanes(&events);
        for stage in stages {
            assert!(spans(&events, stage).count() > 0, "{name}: {stage}");
        }
    }
}

#[test]
fn a_run_that_fails_leaves_its_trace() {
    let place = place();
    let ran = place.mock("in.parquet out.parquet --on-error fail --trace trace.json");
    ran.exits(1);
    let events = events(&place.path("trace.json"));
    check_lanes(&events);
    assert!(spans(&events, "decode").count() > 0);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn a_trace_replaces_nothing_unless_it_may() {
    let place = place();
    std::fs::write(place.path("trace.json"), "mine").unwrap();
    let run = |args: &str| -> Ran { place.mock(&format!("in.parquet out.parquet {args}")) };
    run("--trace trace.json")
        .exits(1)
        .says(&["failed to write the trace: it exists", "--overwrite"]);
    assert_eq!(std::fs::read(place.path("trace.json")).unwrap(), b"mine");
    run("--trace no/such/place.json")
        .exits(1)
        .says(&["no/such/place.json", "make the directory"]);
    run("--trace in.parquet --overwrite")
        .exits(2)
        .says(&["over an input"]);
    run("--trace out.parquet --overwrite")
        .exits(2)
        .says(&["it is another output"]);
    run("--trace . --overwrite").exits(2).says(&["a directory"]);
    // Nothing was run before a trace was refused.
    assert_eq!(place.names(), ["in.parquet", "trace.json"]);
    run("--trace trace.json --overwrite").exits(0);
    assert!(!events(&place.path("trace.json")).is_empty());
    let mut command = program();
    let ran: Ran = command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_TRACE", "twin.json")
        .args(["in.parquet", "--dry-run"])
        .output()
        .unwrap()
        .into();
    ran.exits(0);
    assert!(!events(&place.path("twin.json")).is_empty());
}

#[test]
fn json_says_how_busy_each_stage_was_and_what_it_waited_for() {
    let place = place();
    let report = place.mock("in.parquet out.parquet --json").exits(0).json();
    let limit = report["limiting_stage"].as_str().unwrap();
    let busy = |stage: &str| report["stage_busy"][stage].as_f64().unwrap();
    for stage in ["read", "decode", "encode", "write"] {
        assert!((0.0..=1.0).contains(&busy(stage)), "{stage}: {report}");
        assert!(busy(stage) <= busy(limit), "{stage}: {report}");
        assert!(report["stage_busy_secs"][stage].as_f64().unwrap() > 0.0);
        for wait in ["input", "room"] {
            let secs = &report["stage_wait_secs"][stage][wait];
            assert!(secs.as_f64().is_some_and(|secs| secs >= 0.0), "{secs}");
        }
    }
    for pass in ["load", "score", "derive", "select", "write"] {
        assert!(report["pass_secs"][pass].is_f64(), "{pass}: {report}");
    }
}

#[test]
fn the_summary_says_how_busy_each_stage_was_and_more_if_asked() {
    let place = place();
    let ran = place.mock("in.parquet out.parquet").exits(0);
    assert_eq!(ran.stderr.matches(" % (limits)").count(), 1);
    ran.says(&["stages     read ", "of the time busy"]);
    let ran = place.mock("in.parquet other.parquet -v").exits(0);
    assert_eq!(ran.stderr.matches("(limits)").count(), 1);
    ran.says(&["waits      for input: ", "; for room: ", "passes     "]);
}
