//! Where the result goes, and that nothing half-written is ever there.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    pictures,
    program::{Place, clean, is_root, program},
    shards,
};

fn place(rows: u32) -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(rows), 8);
    place
}

#[test]
fn a_dry_run_decides_and_writes_nothing() {
    let place = place(30);
    let wet = place.mock("in.parquet out.parquet --json").exits(0).json();
    std::fs::remove_file(place.path("out.parquet")).unwrap();
    for args in [
        "in.parquet --dry-run",
        "in.parquet out.parquet --dry-run",
        "in.parquet no/such/out --dry-run --rejects bad.parquet",
    ] {
        let dry = place.mock(&format!("{args} --json")).exits(0).json();
        for name in [
            "rows_in",
            "rows_kept",
            "rows_cut",
            "rows_bad",
            "bad",
            "lowest_kept_score",
            "selection",
        ] {
            assert_eq!(dry[name], wet[name], "{name}");
        }
        assert_eq!(
            (&dry["outputs"], &dry["rows_written"]),
            (&serde_json::json!([]), &0.into())
        );
        assert_eq!(place.names(), ["in.parquet"], "{args}");
    }
}

#[test]
fn an_output_that_exists_is_refused_before_any_work_and_replaced_when_asked() {
    let place = place(30);
    std::fs::write(place.path("out.parquet"), b"old").unwrap();
    place
        .mock("in.parquet out.parquet --model no/such/model")
        .exits(1)
        .says(&["it exists", "out.parquet", "--overwrite"]);
    assert_eq!(std::fs::read(place.path("out.parquet")).unwrap(), b"old");
    place.mock("in.parquet out.parquet --overwrite").exits(0);
    assert!(shards::read(&place.path("out.parquet")).num_rows() > 0);
    assert_eq!(place.names(), ["in.parquet", "out.parquet"]);
}

#[test]
fn an_input_is_never_the_output() {
    let place = place(10);
    symlink("in.parquet", place.path("link.parquet")).unwrap();
    std::fs::create_dir(place.path("data")).unwrap();
    std::fs::copy(
        place.path("in.parquet"),
        place.path("data/part-00000.parquet"),
    )
    .unwrap();
    let before = std::fs::read(place.path("in.parquet")).unwrap();
    for args in [
        "in.parquet in.parquet",
        "in.parquet ./in.parquet",
        "link.parquet in.parquet",
        "in.parquet link.parquet",
        "data data",
        "data/part-00000.parquet data",
    ] {
        place
            .mock(&format!("{args} --overwrite"))
            .exits(2)
            .says(&["over an input"]);
    }
    assert_eq!(std::fs::read(place.path("in.parquet")).unwrap(), before);
    assert_eq!(place.names(), ["data", "in.parquet", "link.parquet"]);
}

#[test]
fn a_directory_gets_parts_and_a_marker() {
    let place = place(30);
    let report = place
        .mock("in.parquet kept --json --keep 1")
        .exits(0)
        .json();
    let names: Vec<_> = std::fs::read_dir(place.path("kept"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(place.path("kept/_SUCCESS").exists());
    assert_eq!(
        report["outputs"],
        serde_json::json!(["kept/part-00000.parquet"])
    );
    assert_eq!(
        shards::read(&place.path("kept/part-00000.parquet")).num_rows(),
        26
    );
    place.mock("in.parquet kept").exits(1).says(&["it exists"]);
    place
        .mock("in.parquet kept/ --overwrite --keep-rows 2")
        .exits(0);
    assert_eq!(
        shards::read(&place.path("kept/part-00000.parquet")).num_rows(),
        2
    );
    assert_eq!(place.names(), ["in.parquet", "kept"]);
    place.mock("kept again.parquet --prefix second_").exits(0);
    std::fs::write(place.path("kept/thesis.txt"), b"mine").unwrap();
    place
        .mock("in.parquet kept --overwrite")
        .exits(1)
        .says(&["thesis.txt"]);
    assert_eq!(
        std::fs::read(place.path("kept/thesis.txt")).unwrap(),
        b"mine"
    );
}

#[test]
fn an_empty_directory_is_filled() {
    let place = place(10);
    std::fs::create_dir(place.path("kept")).unwrap();
    place.mock("in.parquet kept").exits(0);
    assert!(place.path("kept/part-00000.parquet").exists());
}

#[test]
fn an_output_without_a_name_is_refused_before_any_work() {
    let place = place(10);
    std::fs::create_dir(place.path("empty")).unwrap();
    for output in [".", "empty/..", "/", "out.parquet/"] {
        let ran = place.mock(&format!("in.parquet {output}"));
        assert_eq!(ran.code, Some(2), "{output}: {}", ran.stderr);
    }
    place
        .mock_with("in.parquet", &[""])
        .exits(2)
        .says(&["without a name"]);
    assert_eq!(place.names(), ["empty", "in.parquet"]);
}

#[test]
fn a_missing_parent_directory_is_said_before_any_work() {
    let place = place(10);
    place
        .mock("in.parquet no/such/out.parquet --model no/such/model")
        .exits(1)
        .says(&["no/such", "make the directory"]);
    assert_eq!(place.names(), ["in.parquet"]);
}

#[test]
fn a_read_only_directory_is_an_error() {
    if is_root() {
        eprintln!("skipped: permissions do not bind root");
        return;
    }
    let place = place(10);
    let locked = place.path("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o555)).unwrap();
    place
        .mock("in.parquet locked/out.parquet")
        .exits(1)
        .says(&["locked", "Permission denied"]);
    assert_eq!(std::fs::read_dir(&locked).unwrap().count(), 0);
}

/// Runs with files limited to `kib`, as a full disk would, the signal ignored.
fn limited(place: &Place, kib: u32, args: &str) -> crate::program::Ran {
    let script =
        format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" --model mock --threads 2 {args}");
    let mut command = clean(Command::new("bash"));
    command
        .current_dir(place.dir())
        .args(["-c", &script, env!("CARGO_BIN_EXE_clip-filter")]);
    command.output().unwrap().into()
}

/// 60 pairs of 30 kB each.
fn large_place() -> Place {
    let place = Place::new();
    let pairs: Vec<shards::Pair> = (0..60)
        .map(|row| shards::Pair::new(pictures::bmp_of(100, 100, row), &format!("picture {row}")))
        .collect();
    shards::write_pairs(&place.path("in.parquet"), &pairs, 16);
    place
}

#[test]
fn a_full_disk_is_an_error_that_leaves_the_scores_to_the_next_run() {
    let place = large_place();
    for (output, old) in [
        ("out.parquet", false),
        ("out.parquet", true),
        ("kept", false),
    ] {
        if old {
            std::fs::write(place.path(output), b"old").unwrap();
        }
        let ran = limited(
            &place,
            256,
            &format!("in.parquet {output} --keep 1 --overwrite --rejects bad.parquet"),
        );
        ran.exits(1)
            .says(&["failed to write the output", "File too large", "free space"]);
        if old {
            assert_eq!(std::fs::read(place.path(output)).unwrap(), b"old");
            std::fs::remove_file(place.path(output)).unwrap();
        }
        let work = format!(".{output}.clip-filter");
        assert_eq!(place.names(), [work.as_str(), "in.parquet"], "{output}");
        // With room, the same command goes on from the scores.
        let ran = place.mock(&format!("in.parquet {output} --keep 1 --json"));
        assert_eq!(ran.exits(0).json()["rows_scored"], 0);
        assert_eq!(place.names(), ["in.parquet", output]);
        let path = place.path(output);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_disk_too_full_for_the_scores_is_an_error_that_leaves_nothing() {
    let place = large_place();
    let ran = limited(
        &place,
        1,
        "in.parquet out.parquet --keep 1 --add image_embedding,text_embedding",
    );
    ran.exits(1)
        .says(&["write to the score store", "free space"]);
    assert_eq!(place.names(), ["in.parquet"]);
}

#[test]
fn a_full_file_system_is_an_error_that_leaves_the_scores() {
    let place = large_place();
    let disk = place.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        Command::new("mount")
            .args(arguments)
            .arg(&disk)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=512k", "tmpfs"]) {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    }
    let ran = place.mock("in.parquet disk/out.parquet --keep 1");
    let entries = std::fs::read_dir(&disk).unwrap().flatten();
    let left: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    let unmounted = Command::new("umount")
        .arg(&disk)
        .status()
        .unwrap()
        .success();
    ran.exits(1).says(&["disk", "No space left", "free space"]);
    assert!(
        unmounted && left == [".out.parquet.clip-filter"],
        "{left:?}"
    );
}

/// Many links to one shard: seconds of work for the mock.
fn long_place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    let pairs: Vec<shards::Pair> = (0..100)
        .map(|row| {
            shards::Pair::new(
                pictures::bmp_of(800, 600, row % 3),
                &format!("picture {row}"),
            )
        })
        .collect();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()));
    shards::write_with(
        &place.path("one.parquet"),
        &shards::hf_batch(&pairs),
        properties.build(),
    );
    for number in 0..200 {
        symlink(
            place.path("one.parquet"),
            place.path(&format!("data/{number:03}.parquet")),
        )
        .unwrap();
    }
    place
}

#[test]
fn an_interrupt_ends_the_run_with_130_and_leaves_no_partial_output() {
    for output in ["out.parquet", "kept"] {
        let place = long_place();
        let mut child = program()
            .current_dir(place.dir())
            .args([
                "--model",
                "mock",
                "--threads",
                "2",
                "-vv",
                "--rejects",
                "bad.parquet",
                "data",
                output,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert!(
            lines.any(|line| line.contains("ShardScanExec")),
            "the plan is told when the run begins"
        );
        std::thread::sleep(Duration::from_millis(200));
        let asked = Instant::now();
        assert!(
            Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let rest: Vec<String> = lines.collect();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{rest:?}");
        assert!(
            rest.iter().any(|line| line.contains("interrupted")),
            "{rest:?}"
        );
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        let visible: Vec<String> = place
            .names()
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert_eq!(visible, ["data", "one.parquet"]);
    }
}

#[test]
fn a_killed_run_leaves_nothing_under_the_output_name_and_the_next_one_works() {
    let place = long_place();
    let mut child = program()
        .current_dir(place.dir())
        .args([
            "--model",
            "mock",
            "--threads",
            "2",
            "-vv",
            "--rejects",
            "bad.parquet",
            "data",
            "out.parquet",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.contains("ShardScanExec")));
    child.kill().unwrap();
    child.wait().unwrap();
    let visible: Vec<String> = place
        .names()
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(visible, ["data", "one.parquet"]);
    place
        .mock("one.parquet out.parquet --rejects bad.parquet")
        .exits(0);
}

#[test]
fn what_a_killed_query_has_left_goes_with_the_next_one() {
    let place = Place::new();
    let sql = |query: &str| {
        let mut command = program();
        command
            .current_dir(place.dir())
            .args(["sql", query, "--output", "out.parquet"]);
        command
    };
    let mut child = sql("SELECT * FROM range(0, 1000000000000)")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while place.names().is_empty() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let another = sql("SELECT 1 AS one").status().unwrap();
    assert!(another.success());
    assert_eq!(place.names().len(), 2, "one that lives keeps its own");
    child.kill().unwrap();
    child.wait().unwrap();
    let next = sql("SELECT 2 AS two").arg("--overwrite").status().unwrap();
    assert!(next.success());
    assert_eq!(place.names(), ["out.parquet"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = place(10);
    let script =
        "\"$0\" --model mock --json in.parquet out.parquet 2>err.txt | true; echo ${PIPESTATUS[0]}";
    let mut command = clean(Command::new("bash"));
    let output = command
        .current_dir(place.dir())
        .args(["-c", script, env!("CARGO_BIN_EXE_clip-filter")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0");
    assert!(Path::new(&place.path("out.parquet")).exists());
}

#[test]
fn a_url_is_refused_before_any_work() {
    let place = place(10);
    for args in [
        "in.parquet ftp://host/out.parquet",
        "in.parquet out.parquet --rejects ftp://host/out.parquet",
        "in.parquet out.parquet --report ftp://host/out.parquet",
        "in.parquet out.parquet --trace ftp://host/out.parquet",
        "in.parquet out.parquet --scores scores --changes ftp://host/out.parquet",
        "sql SELECT(1) -o ftp://host/out.parquet",
        "adapt --scores scores -o ftp://host/out.parquet",
    ] {
        let ran = place.mock(args);
        ran.exits(2).says(&["ftp://host/out.parquet", "local path"]);
        assert_eq!(place.names(), ["in.parquet"], "{args}");
    }
}
