//! Folders: files of several names, other endings, tables, shards that cannot be read, and outputs within inputs.

use std::{
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use parquet::{basic::Compression, file::properties::WriterProperties};

use crate::{
    program::{Place, Ran},
    shards,
};

const ROWS: u32 = 10;

/// `in/a.parquet` of ten rows in row groups of four.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    add(&place, "in/a.parquet");
    place
}

fn add(place: &Place, name: &str) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(4))
        .set_compression(Compression::ZSTD(Default::default()));
    let rows = shards::hf_batch(&shards::good_pairs(ROWS));
    shards::write_with(&place.path(name), &rows, properties.build());
}

/// Damages the pages of a column in the second row group.
fn damage(place: &Place, name: &str, column: &str) {
    let path = place.path(name);
    let footer = shards::footer(&path);
    let chunks = footer.row_group(1).columns();
    let chunk = chunks
        .iter()
        .find(|chunk| chunk.column_path().string() == column);
    let (start, length) = chunk.unwrap().byte_range();
    let (start, length) = (
        usize::try_from(start).unwrap(),
        usize::try_from(length).unwrap(),
    );
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[start..start + length] {
        *byte ^= 0xff;
    }
    std::fs::write(path, bytes).unwrap();
}

#[track_caller]
fn rows_in(ran: Ran) -> u64 {
    ran.exits(0).json()["rows_in"].as_u64().unwrap()
}

#[test]
fn links_to_folders_and_files_count_no_row_twice() {
    let place = place();
    symlink(place.path("in"), place.path("in/again")).unwrap();
    assert_eq!(rows_in(place.mock("in --dry-run --json")), 10);
    symlink("a.parquet", place.path("in/b.parquet")).unwrap();
    let ran = place.mock("in --dry-run --json").exits(0);
    let summary = ran.json();
    assert_eq!(summary["rows_in"], 10);
    let notes = summary["warnings"].to_string();
    assert!(
        notes.contains("left out 1 file") && notes.contains("in/b.parquet is in/a.parquet"),
        "{notes}"
    );
    std::fs::hard_link(place.path("in/a.parquet"), place.path("in/c.parquet")).unwrap();
    place
        .mock("in --dry-run")
        .exits(0)
        .says(&["left out 2 files"]);
    assert_eq!(
        rows_in(place.mock("in/c.parquet in/a.parquet --dry-run --json")),
        10
    );
}

#[test]
fn parquet_under_other_endings_is_read_or_named() {
    let place = place();
    for name in ["b.pq", "c.PARQUET", "d.parquet.zstd", "e.bak"] {
        add(&place, &format!("in/{name}"));
    }
    std::fs::write(place.path("in/notes.md"), "none").unwrap();
    let summary = place.mock("in --dry-run --json").exits(0).json();
    assert_eq!(summary["rows_in"], 40);
    assert!(summary["warnings"].to_string().contains("in/e.bak"));
    let facts = place.mock("inspect in --json").exits(0).json();
    assert_eq!(facts["rows"], 40);
    assert!(facts["notes"].to_string().contains("in/e.bak"));
    assert_eq!(rows_in(place.mock("in/e.bak --dry-run --json")), 10);
}

#[test]
fn the_folder_of_a_table_is_refused_by_every_command_unless_insisted() {
    for (log, name) in [
        ("_delta_log/00000000000000000000.json", "Delta"),
        ("metadata/v1.metadata.json", "Iceberg"),
        (".hoodie/hoodie.properties", "Hudi"),
    ] {
        let place = place();
        let log = place.path("in").join(log);
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        std::fs::write(&log, "{}").unwrap();
        for args in [
            "in out.parquet",
            "in/*.parquet out.parquet",
            "in/a.parquet --dry-run",
            "in - --online --keep 1",
            "score in --scores scores",
            "sql --input in SELECT",
            "inspect in",
        ] {
            let ran = place.mock(args);
            match name == "Delta" && !args.starts_with("in/") {
                // That is read, as far as its log says what it is.
                true => ran
                    .exits(1)
                    .says(&["the log of a Delta table", "table: in"]),
                false => ran.exits(2).says(&[name, "in", "--no-table", "deleted"]),
            };
        }
        let insisted = place.mock("in --dry-run --no-table --json");
        let summary = insisted.exits(0).json();
        assert_eq!(summary["rows_in"], 10);
        assert!(summary["warnings"].to_string().contains(name));
        place.mock("inspect in --no-table").exits(0);
        let query = ["SELECT count(*) FROM pairs"];
        place
            .mock_with("sql --input in --no-table", &query)
            .exits(0)
            .says(&[name]);
    }
}

#[test]
fn shards_of_no_bytes_or_cut_off_are_left_out_on_request_and_listed() {
    let place = place();
    add(&place, "in/c.parquet");
    std::fs::write(place.path("in/b.parquet"), b"").unwrap();
    let whole = std::fs::read(place.path("in/a.parquet")).unwrap();
    std::fs::write(place.path("in/d.parquet"), &whole[..whole.len() / 2]).unwrap();
    place
        .mock("in out.parquet")
        .exits(1)
        .says(&["in/b.parquet", "--on-bad-shard skip"]);
    let ran = place.mock("in out.parquet --keep 1 --on-bad-shard skip --json");
    let summary = ran.exits(0).json();
    assert_eq!(
        (&summary["rows_in"], &summary["rows_kept"]),
        (&20.into(), &20.into())
    );
    let bad = summary["bad_shards"].as_array().unwrap();
    let names: Vec<_> = bad
        .iter()
        .map(|bad| bad["shard"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["in/b.parquet", "in/d.parquet"]);
    assert!(bad.iter().all(|bad| bad["rows"].is_null()));
    assert_eq!(shards::read(&place.path("out.parquet")).num_rows(), 20);
    place
        .mock("score in --scores scores --on-bad-shard skip")
        .exits(0)
        .says(&["left out   in/b.parquet (rows unknown)", "in/d.parquet"]);
    place
        .mock("sql --input in --on-bad-shard skip SELECT")
        .says(&["left out the shard in/b.parquet"]);
    place
        .mock("in/b.parquet in/d.parquet --dry-run --on-bad-shard skip")
        .exits(1)
        .says(&["in/b.parquet"]);
    std::fs::write(place.path("run.toml"), "on-bad-shard = \"skip\"").unwrap();
    assert_eq!(
        rows_in(place.mock("in --dry-run --json --config run.toml")),
        20
    );
}

/// The first is met while rows are scored, the second only when they are written.
#[test]
fn a_shard_that_turns_out_to_be_damaged_is_left_out_with_all_its_rows() {
    for column in ["image.bytes", "rank"] {
        let place = place();
        add(&place, "in/b.parquet");
        add(&place, "in/c.parquet");
        damage(&place, "in/b.parquet", column);
        let args = "in out.parquet --keep 0.5 --rejects bad.parquet";
        place
            .mock(args)
            .exits(1)
            .says(&["in/b.parquet", "--on-bad-shard skip"]);
        let ran = place.mock(&format!("{args} --on-bad-shard skip --json"));
        let summary = ran.exits(0).says(&["left out a shard"]).json();
        assert_eq!(
            (&summary["rows_in"], &summary["rows_kept"]),
            (&20.into(), &10.into()),
            "{column}"
        );
        let bad = &summary["bad_shards"];
        assert_eq!(bad[0]["shard"], "in/b.parquet");
        assert_eq!(bad[0]["rows"], 10);
        assert_eq!(bad.as_array().unwrap().len(), 1);
        let written = shards::read(&place.path("out.parquet"));
        std::fs::remove_file(place.path("in/b.parquet")).unwrap();
        place
            .mock("in alone.parquet --keep 0.5 --rejects alone-bad.parquet")
            .exits(0);
        assert_eq!(
            written,
            shards::read(&place.path("alone.parquet")),
            "{column}"
        );
        let left = place.names();
        assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
    }
}

#[test]
fn a_score_store_goes_on_without_a_damaged_shard() {
    let place = place();
    add(&place, "in/b.parquet");
    damage(&place, "in/b.parquet", "image.bytes");
    place.mock("score in --scores scores").exits(1);
    let ran = place.mock("score in --scores scores --on-bad-shard skip --json");
    let summary = ran.exits(0).json();
    assert_eq!(
        (&summary["rows_in"], &summary["rows_kept"]),
        (&10.into(), &10.into())
    );
    assert_eq!(summary["bad_shards"][0]["rows"], 10);
}

#[test]
fn what_cannot_be_opened_is_no_bad_shard() {
    let place = place();
    symlink("nowhere.parquet", place.path("in/b.parquet")).unwrap();
    place
        .mock("in --dry-run --on-bad-shard skip")
        .exits(1)
        .says(&["in/b.parquet", "No such file"]);
}

#[test]
fn a_named_pipe_is_refused_at_once() {
    let place = place();
    let made = Command::new("mkfifo")
        .arg(place.path("in/p.parquet"))
        .status();
    assert!(made.unwrap().success());
    let asked = Instant::now();
    for args in [
        "in/p.parquet out.parquet",
        "in out.parquet",
        "sql --input in/p.parquet SELECT",
        "inspect in/p.parquet",
        "inspect in",
    ] {
        place
            .mock(args)
            .exits(2)
            .says(&["in/p.parquet", "no regular file"]);
    }
    assert!(asked.elapsed() < Duration::from_secs(60));
}

#[test]
fn what_the_next_run_would_read_as_a_shard_is_not_written() {
    let place = place();
    for args in [
        "in in/out/",
        "in in/out.parquet",
        "in/*.parquet in/out.parquet",
        "in/** in/deep/out/",
        "in out.parquet --rejects in/bad.parquet",
        "in out.parquet --scores in/scores",
        "score in --scores in/scores",
        "score in --scores in",
    ] {
        place
            .mock(args)
            .exits(2)
            .says(&["within an input", "begins with _"]);
    }
    let mut sql = ["sql", "--input", "in", "SELECT 1", "--output"].to_vec();
    sql.push("in/out.parquet");
    place
        .mock_with("", &sql)
        .exits(2)
        .says(&["within an input"]);
    assert_eq!(std::fs::read_dir(place.path("in")).unwrap().count(), 1);
    for _ in 0..2 {
        let ran = place.mock("in in/_out/ --keep 1 --overwrite --scores in/_scores --json");
        assert_eq!(rows_in(ran), 10);
    }
    place.mock("in/a.parquet in/kept.parquet").exits(0);
}

#[test]
fn outputs_named_as_other_files_are_refused() {
    let place = place();
    for (args, ending) in [
        ("in kept.csv", ".csv"),
        ("in kept.zip", ".zip"),
        ("in out.parquet --rejects bad.json", ".json"),
    ] {
        place
            .mock(args)
            .exits(2)
            .says(&["ends in", ending, ".parquet"]);
    }
    assert_eq!(place.names(), ["in"]);
    place.mock("in kept.csv/").exits(0);
    place.mock("in kept-0.3").exits(0);
    place.mock("in kept.pq").exits(0);
    assert!(place.path("kept.csv").is_dir() && place.path("kept-0.3").is_dir());
    assert_eq!(shards::read(&place.path("kept.pq")).num_rows(), 3);
}

#[test]
fn a_file_that_is_compressed_as_a_whole_is_told_so() {
    let place = place();
    std::fs::write(place.path("in/b.parquet.gz"), b"\x1f\x8b\x08 and more").unwrap();
    place
        .mock("in out.parquet")
        .exits(1)
        .says(&["in/b.parquet.gz", "compressed as a whole"]);
}
