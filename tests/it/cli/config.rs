//! `--config FILE` as a user meets it: what wins, and what a mistake in the file says.

use std::path::Path;

use crate::{
    program::{Place, ROOT, Ran, program},
    shards,
};

fn place(config: &str) -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(30), 8);
    std::fs::write(place.path("run.toml"), config).unwrap();
    place
}

fn run(place: &Place, args: &str, environment: &[(&str, &str)]) -> Ran {
    program()
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        .envs(environment.iter().copied())
        .args(args.split_whitespace())
        .output()
        .unwrap()
        .into()
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let place = place("keep-rows = 3\njson = true\ndry-run = true\n");
    let kept = |args: &str, environment: &[(&str, &str)]| {
        let ran = run(&place, &format!("in.parquet {args}"), environment).exits(0);
        ran.json()["rows_kept"].as_u64().unwrap()
    };
    let file = ("CLIP_FILTER_CONFIG", "run.toml");
    let five = ("CLIP_FILTER_KEEP_ROWS", "5");
    assert_eq!(kept("--config run.toml", &[]), 3);
    assert_eq!(kept("", &[file]), 3);
    assert_eq!(kept("", &[file, five]), 5);
    assert_eq!(kept("--config run.toml --keep-rows 7", &[five]), 7);
    // The opposite of an option sets it aside, too.
    assert_eq!(
        kept("--keep 1.0", &[file, five]),
        kept("--keep 1.0 --config run.toml", &[])
    );
    assert_eq!(
        kept("", &[file, ("CLIP_FILTER_KEEP", "1.0")]),
        kept("--keep 1.0", &[file])
    );
}

#[test]
fn paths_in_a_file_are_those_of_the_command_line() {
    let place = place("");
    std::fs::create_dir(place.path("settings")).unwrap();
    let config = "rejects = \"bad.parquet\"\n[score]\nscores = \"scores\"\n";
    std::fs::write(place.path("settings/run.toml"), config).unwrap();
    run(
        &place,
        "in.parquet out.parquet --config settings/run.toml",
        &[],
    )
    .exits(0);
    run(&place, "score in.parquet --config settings/run.toml", &[]).exits(0);
    assert_eq!(
        place.names(),
        [
            "bad.parquet",
            "in.parquet",
            "out.parquet",
            "run.toml",
            "scores",
            "settings"
        ]
    );
}

#[test]
fn what_a_file_gave_is_in_the_metadata_of_the_output() {
    let place = place("keep-rows = 3\n");
    run(&place, "in.parquet out.parquet --config run.toml", &[]).exits(0);
    let bytes = std::fs::read(place.path("out.parquet")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("in.parquet out.parquet --config run.toml --keep-rows=3"));
}

#[test]
fn mistakes_in_a_file_are_named() {
    let mut all = String::new();
    for config in [
        "keep = 0.2\nmodel = \"hf:a/b\n",
        "kep = 0.2\n",
        "zzz = 1\n",
        "keep = true\n",
        "keep = 3\n",
        "model = 5\n",
        "json = \"yes\"\n",
        "prompt = [1]\n",
        "batch-size = 0\n",
        "on-error = \"stop\"\n",
        "keep_rows = 1\nkeep-rows = 2\n",
        "keep = 0.1\nkeep-rows = 2\n",
        "recipe = \"list\"\n",
        "paths = [\"in.parquet\"]\n",
        "sql = 1\n",
        "[score]\nkeep = 0.2\n",
        "[score]\nscors = \"s\"\n",
        "[scoer]\n",
        "config = \"other.toml\"\n",
    ] {
        let place = place(config);
        let ran = run(&place, "in.parquet out.parquet --config run.toml", &[]);
        all.push_str(&format!(
            "{config}{}-> {}\n\n",
            ran.stderr,
            ran.code.unwrap()
        ));
        assert_eq!(place.names(), ["in.parquet", "run.toml"], "{config}");
    }
    let ran = run(&place(""), "in.parquet out.parquet --config no.toml", &[]);
    all.push_str(&format!("{}-> {}\n", ran.stderr, ran.code.unwrap()));
    insta::assert_snapshot!(all);
}

#[test]
fn values_of_a_file_are_not_repeated_in_errors() {
    for config in [
        "token = \"s3cret\"\n",
        "model = [\"s3cret\"]\n",
        "json = \"s3cret\"\n",
        "model = \"s3cret\n",
        "keep = \"s3cret\"\n",
        "on-error = \"s3cret\"\n",
    ] {
        let ran = run(
            &place(config),
            "in.parquet out.parquet --config run.toml",
            &[],
        )
        .exits(2);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        ran.says(&["run.toml", "line: 1"]);
    }
}

#[test]
fn help_needs_no_file() {
    let place = place("kep = 1\n");
    let help = run(&place, "--help --config run.toml", &[]).exits(0);
    assert!(help.stdout.contains("--config <FILE>"));
}

#[test]
fn a_shell_is_taught_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&Place::new(), &format!("completions {shell}"), &[])
            .exits(0)
            .stdout;
        for word in ["explain", "keep-rows", "config", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run(&Place::new(), "completions tcsh", &[]).exits(2);
}

#[test]
fn the_version_is_told_to_programs() {
    let place = Place::new();
    for args in ["--version --json", "--json -V"] {
        let version = run(&place, args, &[]).exits(0).json();
        assert_eq!(version["name"], "clip-filter");
        assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
        let features = version["features"].as_array().unwrap();
        // A build of the tests has every feature that the program has by default.
        let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
        let default = manifest.split_once("\ndefault = [").unwrap().1;
        let default: Vec<&str> = default.split_once(']').unwrap().0.split(", ").collect();
        for feature in default {
            let feature = feature.trim_matches('"');
            assert!(features.contains(&feature.into()), "{feature}: {version}");
        }
        assert_eq!(version["onnxruntime_api"], 24);
    }
    let said = run(&place, "--version", &[]).exits(0).stdout;
    assert_eq!(
        said,
        concat!("clip-filter ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
