//! Workers write one output in parts, which becomes visible when all are there.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use arrow::compute::concat_batches;

use crate::{
    program::{Place, Ran, program},
    shards,
};

const SHARDS: u32 = 7;
const ROWS: u32 = 1500;
const ARGS: &str = "in kept --scores scores --keep 0.4 --add width";
const PARTS: &str = ".kept.clip-filter-parts";

/// Shards, and their scores.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..SHARDS {
        let mut pairs = shards::mixed_pairs(ROWS);
        pairs.rotate_left(shard as usize);
        shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), &pairs, 400);
    }
    place.mock("score in --scores scores").exits(0);
    // What rows are ordered by is computed once, over all of them.
    let early = place.mock(&format!("{ARGS} --part 0/2")).exits(2);
    early.says(&["s_cliploss", "--dry-run"]);
    place
        .mock("in --scores scores --keep 0.4 --dry-run")
        .exits(0);
    place
}

fn worker(place: &Place, part: &str) -> Command {
    let mut command = program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "1")
        .args(ARGS.split_whitespace())
        .args(["--part", part])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn ended(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

/// Files of a directory, by their names.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let named = paths.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    });
    named.collect()
}

/// What one worker that writes all makes, and its rows.
fn alone() -> (BTreeMap<String, Vec<u8>>, usize) {
    let place = place();
    ended(worker(&place, "0/1").spawn().unwrap()).exits(0);
    place.mock("merge --output kept").exits(0);
    let whole = files(&place.path("kept"));
    place
        .mock("in whole.parquet --scores scores --keep 0.4 --add width")
        .exits(0);
    let parts = whole.keys().filter(|name| name.starts_with("part-"));
    let read: Vec<_> = parts
        .map(|name| shards::read(&place.path(&format!("kept/{name}"))))
        .collect();
    let rows = concat_batches(&read[0].schema(), &read).unwrap();
    let expected = shards::read(&place.path("whole.parquet"));
    assert_eq!(rows.columns(), expected.columns());
    (whole, rows.num_rows())
}

/// The directory of a worker's files, and whether it is noted that they are whole.
fn share(place: &Place, index: u32) -> Option<(PathBuf, bool)> {
    let mut runs = std::fs::read_dir(place.path(PARTS)).ok()?;
    let run = runs.next()?.unwrap().path();
    let noted = run.join(format!("{index:05}.json")).exists();
    let files = run.join(index.to_string());
    files.exists().then_some((files, noted))
}

/// Kills a worker while it writes.
fn killed(place: &Place, index: u32, random: &mut u64) {
    for _ in 0..50 {
        let mut child = worker(place, &format!("{index}/3")).spawn().unwrap();
        while share(place, index).is_none() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_micros((*random >> 33) % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        match share(place, index) {
            Some((_, false)) => return,
            Some((files, true)) => {
                let record = files.with_file_name(format!("{index:05}.json"));
                std::fs::remove_file(record).unwrap();
                std::fs::remove_dir_all(files).unwrap();
            }
            None => {}
        }
    }
    panic!("no worker was killed while it wrote");
}

#[test]
fn workers_of_which_two_are_killed_write_what_one_writes() {
    let (expected, rows) = alone();
    let place = place();
    let mut random = 0x5eed;
    let first = worker(&place, "1/3").spawn().unwrap();
    killed(&place, 0, &mut random);
    killed(&place, 2, &mut random);
    ended(first).exits(0).says(&["1/3", "merge --output"]);
    assert!(!place.path("kept").exists());
    let missing = ["2 of 3", "0/3, 2/3"];
    place.mock("merge --output kept").exits(1).says(&missing);
    ended(worker(&place, "0/3").spawn().unwrap()).exits(0);
    let (written, _) = share(&place, 0).unwrap();
    let before = files(&written);
    let changed = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let when = changed(&written);
    ended(worker(&place, "0/3").spawn().unwrap())
        .exits(0)
        .says(&["written before"]);
    assert!(files(&written) == before && changed(&written) == when);
    place.mock("merge --output kept").exits(1).says(&["2/3"]);
    ended(worker(&place, "2/3").spawn().unwrap()).exits(0);
    assert!(!place.path("kept").exists());
    let merged = place.mock("merge --output kept --json").exits(0).json();
    assert_eq!(
        (&merged["parts"], &merged["rows"]),
        (&3.into(), &rows.into())
    );
    let found = files(&place.path("kept"));
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    for (name, bytes) in &found {
        assert!(bytes == &expected[name], "{name} differs");
    }
    assert_eq!(place.names(), ["in", "kept", "scores"]);
    // Again, by whoever tries.
    place
        .mock("merge --output kept")
        .exits(0)
        .says(&["whole already"]);
    ended(worker(&place, "0/3").spawn().unwrap())
        .exits(1)
        .says(&["it exists"]);
}

#[test]
fn a_merge_that_was_killed_is_finished_by_the_next() {
    let place = place();
    for part in ["0/2", "1/2"] {
        ended(worker(&place, part).spawn().unwrap()).exits(0);
    }
    // Killed among the files.
    let (first, _) = share(&place, 0).unwrap();
    let (second, _) = share(&place, 1).unwrap();
    let merged = first.with_file_name("merged");
    std::fs::create_dir(&merged).unwrap();
    let files_of = |directory: &Path| files(directory).into_keys().collect::<Vec<_>>();
    let names = [files_of(&first), files_of(&second)].concat();
    let moved = &files_of(&first)[0];
    std::fs::rename(first.join(moved), merged.join(moved)).unwrap();
    std::fs::write(merged.join("part-00099.parquet"), "of another selection").unwrap();
    // Killed when all was visible, and the parts not forgotten.
    let records = place.path("records");
    std::fs::create_dir(&records).unwrap();
    let run = first.parent().unwrap().to_path_buf();
    for name in ["00000.json", "00001.json"] {
        std::fs::copy(run.join(name), records.join(name)).unwrap();
    }
    place.mock("merge --output kept").exits(0);
    let whole = files(&place.path("kept"));
    assert_eq!(whole.len(), names.len() + 1);
    std::fs::create_dir_all(&run).unwrap();
    for name in ["00000.json", "00001.json"] {
        std::fs::copy(records.join(name), run.join(name)).unwrap();
    }
    place.mock("merge --output kept").exits(0);
    assert!(files(&place.path("kept")) == whole && !place.path(PARTS).exists());
}

#[test]
fn parts_of_another_run_make_no_output() {
    let place = place();
    ended(worker(&place, "0/2").spawn().unwrap()).exits(0);
    // What has other options takes its place.
    for part in ["0/2", "1/2"] {
        place
            .mock(&format!("in kept --scores scores --keep 0.1 --part {part}"))
            .exits(0);
    }
    // Or the same and another selection, as after the scores were changed.
    let (_, noted) = share(&place, 1).unwrap();
    let (directory, _) = share(&place, 1).unwrap();
    let record = directory.with_file_name("00001.json");
    let whole = std::fs::read_to_string(&record).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let selection = facts["facts"]["selection"].as_str().unwrap();
    std::fs::write(&record, whole.replace(selection, "other")).unwrap();
    place
        .mock("merge --output kept")
        .exits(1)
        .says(&["not all parts are of one selection", "0/2, 1/2"]);
    assert!(noted && !place.path("kept").exists());
    // That part is written again, since it is not what it says.
    let args = "in kept --scores scores --keep 0.1";
    place.mock(&format!("{args} --part 1/2")).exits(0);
    place.mock("merge --output kept").exits(0);
    // What replaces it is there whole, or what was there before.
    let before = files(&place.path("kept"));
    for part in ["0/2", "1/2"] {
        place
            .mock(&format!("{args} --part {part} --where width>0 --overwrite"))
            .exits(0);
    }
    assert!(files(&place.path("kept")) == before);
    place.mock("merge --output kept").exits(0);
    let command = |name: &str| shards::file_value(&place.path(name), "clip_filter.command");
    let said = command("kept/part-00000.parquet").unwrap();
    assert!(
        said.contains("width>0") && !said.contains("--part"),
        "{said}"
    );
}

#[test]
fn an_output_without_rows_has_columns_and_what_is_no_directory_has_no_parts() {
    let place = place();
    let none = "in none --scores scores --min-score 2 --part auto";
    for rank in ["0", "1"] {
        let mut command = program();
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .env("RANK", rank)
            .env("WORLD_SIZE", "2")
            .args(none.split_whitespace());
        Ran::from(command.output().unwrap()).exits(0);
    }
    place.mock("merge --output none").exits(0);
    let names: Vec<String> = files(&place.path("none")).into_keys().collect();
    assert_eq!(names, ["_SUCCESS", "part-00000.parquet"]);
    let read = shards::read(&place.path("none/part-00000.parquet"));
    assert_eq!(read.num_rows(), 0);
    assert!(shards::names(&read).contains(&"clip_score".to_owned()));

    for (args, code, says) in [
        ("in kept --part 0/2", 2, "--scores"),
        ("in kept.parquet --scores scores --part 0/2", 2, "directory"),
        ("in kept.tar --scores scores --part 0/2", 2, "directory"),
        (
            "in kept --scores scores --part 0/2 --rejects bad.parquet",
            2,
            "--rejects",
        ),
        (
            "in kept --scores scores --part 0/2 --partition-by width",
            2,
            "--partition-by",
        ),
        (
            "in kept --scores scores --part 0/2 --dry-run",
            2,
            "--dry-run",
        ),
        ("in kept --scores scores --part 2/2", 2, "I/N"),
        ("in kept --scores empty --part 0/2", 1, "not scored yet"),
        ("merge --output kept", 1, "no part of it"),
        (
            "merge --output kept --scores scores",
            2,
            "cannot be used with",
        ),
        ("merge", 2, "--scores"),
    ] {
        place.mock(args).exits(code).says(&[says]);
    }
    assert_eq!(place.names(), ["in", "none", "scores"]);
}
