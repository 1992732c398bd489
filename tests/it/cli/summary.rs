//! What a run tells.

use serde_json::Value;

use crate::{
    program::{Place, program},
    shards,
};

fn place() -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(30), 8);
    place
}

#[test]
fn json_is_one_object_with_every_field() {
    let ran = place()
        .mock("in.parquet out.parquet --json --quiet")
        .exits(0);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
    let report = ran.json();
    for (name, value) in [
        ("rows_in", 30),
        ("rows_kept", 8),
        ("rows_cut", 18),
        ("rows_bad", 4),
        ("rows_written", 8),
    ] {
        assert_eq!(report[name], value, "{name}");
    }
    for name in [
        "pairs_per_sec",
        "peak_rss_bytes",
        "seconds",
        "lowest_kept_score",
    ] {
        assert!(
            report[name].as_f64().is_some_and(|value| value > 0.0),
            "{name}: {}",
            report[name]
        );
    }
    assert!(
        ["read", "decode", "encode", "write"].contains(&report["limiting_stage"].as_str().unwrap())
    );
    assert_eq!(report["bad"].as_object().unwrap().len(), 4);
    assert_eq!(report["outputs"], serde_json::json!(["out.parquet"]));
    for name in [
        "name",
        "fingerprint",
        "precision",
        "dim",
        "preprocessing",
        "batch_dependent",
        "device",
        "runtime",
    ] {
        assert!(
            report["model"]
                .get(name)
                .is_some_and(|value| *value != Value::Null),
            "model.{name}"
        );
    }
    for name in ["selection", "stage_busy_secs", "warnings"] {
        assert!(report.get(name).is_some(), "{name}");
    }
}

#[test]
fn the_summary_fits_one_screen_and_stdout_stays_empty() {
    let ran = place().mock("in.parquet out.parquet").exits(0);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.lines().count() <= 24, "{}", ran.stderr);
    ran.says(&[
        "rows in    30",
        "kept       8",
        "cut        18",
        "bad        4",
        "1 null_image",
        "pairs/s, limited by",
        "at peak",
        "out.parquet",
    ]);
}

#[test]
fn quiet_says_nothing_but_errors() {
    let place = place();
    assert_eq!(
        place.mock("in.parquet out.parquet --quiet").exits(0).stderr,
        ""
    );
    place
        .mock("in.parquet out.parquet --quiet")
        .exits(1)
        .says(&["it exists"]);
    place
        .mock("in.parquet out.parquet --quiet --verbose")
        .exits(2);
}

#[test]
fn every_option_has_a_twin_in_the_environment_and_the_flag_wins() {
    let place = place();
    let run = |vars: &[(&str, &str)], args: &[&str]| {
        let mut command = program();
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .envs(vars.iter().copied())
            .args(args);
        crate::program::Ran::from(command.output().unwrap()).exits(0)
    };
    let kept = |vars: &[(&str, &str)], args: &[&str]| {
        let all = [&["in.parquet", "--dry-run", "--json"], args].concat();
        run(vars, &all).json()["rows_kept"].as_u64().unwrap()
    };
    assert_eq!(kept(&[("CLIP_FILTER_KEEP", "0.5")], &[]), 13);
    assert_eq!(kept(&[("CLIP_FILTER_KEEP", "0.5")], &["--keep", "1"]), 26);
    assert_eq!(kept(&[("CLIP_FILTER_KEEP_ROWS", "4")], &[]), 4);
    assert_eq!(kept(&[("CLIP_FILTER_WHERE", "rank < 3")], &[]), 3);
    assert_eq!(
        kept(
            &[
                ("CLIP_FILTER_MIN_SCORE", "-1"),
                ("CLIP_FILTER_DRY_RUN", "true")
            ],
            &[]
        ),
        26
    );
    let ran = run(
        &[
            ("CLIP_FILTER_JSON", "true"),
            ("CLIP_FILTER_QUIET", "true"),
            ("CLIP_FILTER_ADD", "width,status"),
        ],
        &["in.parquet", "out.parquet"],
    );
    assert_eq!(
        (ran.json()["rows_in"].as_u64(), ran.stderr.as_str()),
        (Some(30), "")
    );
    assert_eq!(
        shards::names(&shards::read(&place.path("out.parquet")))[4..],
        ["clip_score", "status", "width"]
    );
}

#[test]
fn usage_errors_are_exit_code_two() {
    let place = place();
    for args in [
        "--no-such-flag",
        "in.parquet out.parquet --threads 0",
        "in.parquet out.parquet --batch-size 0",
        "in.parquet out.parquet --memory-limit lots",
        "in.parquet out.parquet --device gpu",
        "in.parquet out.parquet --on-error ignore",
    ] {
        place.mock(args).exits(2);
    }
    assert_eq!(place.names(), ["in.parquet"]);
    place.mock("--help").exits(0);
    place.mock("--version").exits(0);
}
