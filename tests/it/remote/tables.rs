//! Tables in object stores.

use serde_json::json;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{
    between::{Passed, between},
    s3::S3,
};
use crate::{
    delta::{
        log::{Table, column, metadata, pair_columns, protocol},
        tools::python_with,
    },
    program::{Place, Ran},
    shards,
};

#[test]
fn a_table_in_a_bucket_is_read_as_on_a_disk() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    let mut table = Table::new(&place, "t");
    let mut columns = pair_columns();
    columns.push(column("kind", json!("string")));
    table.commit(&[protocol(1, 2), metadata(&columns, &["kind"], json!({}))]);
    for (file, path) in [
        ("kind=a%20b/x.parquet", "kind=a%2520b/x.parquet"),
        ("kind=c d/x.parquet", "kind=c%20d/x.parquet"),
        ("gone.parquet", "gone.parquet"),
    ] {
        table.pairs(file, 5);
        let add = table.add(file, path, json!({"kind": path.len().to_string()}));
        table.commit(&[add]);
    }
    let remove =
        json!({"remove": {"path": "gone.parquet", "dataChange": true, "deletionTimestamp": 0}});
    table.commit(&[remove]);
    for file in [
        "_delta_log/00000000000000000000.json",
        "_delta_log/00000000000000000001.json",
        "_delta_log/00000000000000000002.json",
        "_delta_log/00000000000000000003.json",
        "_delta_log/00000000000000000004.json",
        "kind=a%20b/x.parquet",
        "kind=c d/x.parquet",
        "gone.parquet",
    ] {
        s3.put(&format!("lake/t/{file}"), &table.path(file));
    }
    let rows = |args: &str| {
        let ran = s3.run(&place, &format!("{args} --dry-run --json --keep 1"));
        ran.exits(0).json()["rows_in"].as_u64().unwrap()
    };
    assert_eq!(rows("s3://data/lake/t"), 10);
    assert_eq!(rows("s3://data/lake/t/ --version 3"), 15);
    assert_eq!(rows("t --version 3"), 15);
    s3.run(&place, "s3://data/lake/t/gone.parquet --dry-run")
        .exits(2)
        .says(&["name the table's own folder"]);
}

/// A shard of this many good pairs at `name`.
fn shard(place: &Place, name: &str, rows: u32) {
    shards::write_pairs(&place.path(name), &shards::good_pairs(rows), 8);
}

fn rows(s3: &S3, place: &Place, args: &str) -> u64 {
    let ran = s3.run(
        place,
        &format!("{args} --dry-run --json --keep 1 --prefix new_"),
    );
    ran.exits(0).json()["rows_in"].as_u64().unwrap()
}

#[test]
fn a_table_in_a_bucket_is_made_added_to_and_replaced() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "a.parquet", 20);
    shard(&place, "b.parquet", 30);
    let run = |args: &str| s3.run(&place, &format!("{args} --format delta --keep 1"));
    run("a.parquet s3://data/lake/t").exits(0);
    assert_eq!(rows(&s3, &place, "s3://data/lake/t"), 20);
    run("b.parquet s3://data/lake/t")
        .exits(1)
        .says(&["it is there", "--mode append"]);
    for _ in 0..2 {
        run("b.parquet s3://data/lake/t --mode append").exits(0);
        assert_eq!(rows(&s3, &place, "s3://data/lake/t"), 50);
    }
    run("a.parquet s3://data/lake/t --mode overwrite").exits(0);
    assert_eq!(rows(&s3, &place, "s3://data/lake/t"), 20);
    assert_eq!(rows(&s3, &place, "s3://data/lake/t --version 1"), 50);
    let is_left = |key: &String| key.contains("probe");
    assert!(
        s3.uploads().is_empty() && !s3.list().iter().any(is_left),
        "{:?}",
        s3.list()
    );
    run("s3://data/lake/t s3://data/lake/t/inner").exits(2);
    run("a.parquet s3://data/lake")
        .exits(1)
        .says(&["holds other files"]);
    // The same files as on a disk, but for where they lie.
    place
        .mock("a.parquet local --format delta --keep 1")
        .exits(0);
    for key in s3.list().iter().filter(|key| key.starts_with("lake/t/")) {
        let file = place.path(&format!("copy/{}", &key["lake/t/".len()..]));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        s3.get(key, &file);
    }
    let ran = place
        .mock("copy --dry-run --json --keep 1 --prefix new_")
        .exits(0)
        .json();
    assert_eq!(ran["rows_in"], 20);
}

#[test]
fn writers_of_a_table_in_a_bucket_add_their_rows_once_each() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "0.parquet", 10);
    s3.run(&place, "0.parquet s3://data/t --format delta --keep 1")
        .exits(0);
    let mut writers: Vec<_> = (1..4u32)
        .map(|number| {
            // Each on a machine of its own.
            let place = Place::new();
            shard(&place, "in.parquet", 10 + number);
            let args = "in.parquet s3://data/t --format delta --mode append --keep 1 --quiet";
            let writer = s3.program(&place).args(args.split(' ')).spawn().unwrap();
            (place, writer)
        })
        .collect();
    for (_, writer) in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    assert_eq!(rows(&s3, &place, "s3://data/t"), 10 + 11 + 12 + 13);
    let log = s3
        .list()
        .into_iter()
        .filter(|key| key.starts_with("t/_delta_log/"));
    assert_eq!(log.count(), 4);
}

#[test]
fn a_killed_writer_of_a_table_in_a_bucket_is_finished_by_the_next() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "in.parquet", 64);
    let args = |moment: u64| {
        format!("in.parquet s3://data/t{moment} --format delta --keep 1 --batch-size 4")
    };
    for moment in 0..8u64 {
        let args = args(moment);
        let mut writer = s3.program(&place).args(args.split(' ')).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40 + 45 * moment));
        let _ = writer.kill();
        writer.wait().unwrap();
        s3.run(&place, &args).exits(0);
        assert_eq!(
            rows(&s3, &place, &format!("s3://data/t{moment}")),
            64,
            "{moment}"
        );
        let named = |part: &str| {
            let keys = s3.list().into_iter();
            keys.filter(|key| key.starts_with(&format!("t{moment}/{part}")))
                .count()
        };
        assert_eq!(
            (named("part-"), named("_delta_log/"), named("")),
            (1, 1, 2),
            "{moment}"
        );
    }
    // One that a store has begun when the program is killed before it knows the name is found by nobody. It has no parts.
    let left = s3.uploads();
    assert!(left.len() <= 1, "{left:?}");
}

/// Puts of the log at `version`.
fn is_put_of(version: u64, request: &str) -> bool {
    request.starts_with("PUT ") && request.contains(&format!("_delta_log/{version:020}.json"))
}

fn run_through(address: &str, s3: &S3, place: &Place, args: &str) -> Ran {
    let mut command = s3.program(place);
    let command = command.env("AWS_ENDPOINT_URL", address);
    command.args(args.split(' ')).output().unwrap().into()
}

/// Entries of the log of `t`.
fn entries(s3: &S3) -> usize {
    let keys = s3.list().into_iter();
    keys.filter(|key| key.starts_with("t/_delta_log/")).count()
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_in_the_log() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "0.parquet", 10);
    shard(&place, "1.parquet", 20);
    // The store is asked again: it has the entry, or does not hear.
    for (version, input) in [(0, "0.parquet"), (1, "1.parquet")] {
        let asked = AtomicU32::new(0);
        let address = between(s3.address(), move |request| {
            match (is_put_of(version, request), version) {
                (false, _) => Passed::On,
                (true, 0) => Passed::AnswerLost,
                (true, _) if asked.fetch_add(1, Relaxed) == 0 => Passed::AnswerLost,
                (true, _) => Passed::Lost,
            }
        });
        let args = format!("{input} s3://data/t --format delta --mode append --keep 1");
        run_through(&address, &s3, &place, &args).exits(0);
        assert_eq!(entries(&s3) as u64, version + 1);
        assert_eq!(
            rows(&s3, &place, "s3://data/t"),
            [10, 30][usize::try_from(version).unwrap()]
        );
    }
    assert!(s3.uploads().is_empty());
}

#[test]
fn a_commit_that_never_arrives_is_an_error_and_is_made_by_the_next_run() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "0.parquet", 10);
    let args = "0.parquet s3://data/t --format delta --keep 1";
    let address = between(s3.address(), |request| match is_put_of(0, request) {
        true => Passed::Lost,
        false => Passed::On,
    });
    run_through(&address, &s3, &place, args)
        .exits(1)
        .says(&["commit to a Delta table"]);
    assert_eq!(entries(&s3), 0);
    s3.run(&place, args).exits(0);
    assert_eq!((entries(&s3), rows(&s3, &place, "s3://data/t")), (1, 10));
}

#[test]
fn a_writer_that_another_is_ahead_of_by_a_moment_commits_behind_it() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "0.parquet", 10);
    shard(&place, "1.parquet", 11);
    let args =
        |input: u32| format!("{input}.parquet s3://data/t --format delta --mode append --keep 1");
    s3.run(&place, &args(0)).exits(0);
    // The other, on a machine of its own, commits when this one has read the log and asks for its version.
    let there = Place::new();
    shard(&there, "2.parquet", 12);
    let mut other = s3.program(&there);
    other.args(args(2).split(' '));
    let other = std::sync::Mutex::new(other);
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let address = between(s3.address(), move |request| {
        if is_put_of(1, request) && ASKED.fetch_add(1, Relaxed) == 0 {
            assert!(other.lock().unwrap().output().unwrap().status.success());
        }
        Passed::On
    });
    run_through(&address, &s3, &place, &args(1)).exits(0);
    assert_eq!(
        ASKED.load(Relaxed),
        1,
        "it did not ask for a version that is taken"
    );
    assert_eq!((entries(&s3), rows(&s3, &place, "s3://data/t")), (3, 33));
    let of_other = rows(&s3, &place, "s3://data/t --version 1");
    assert_eq!(of_other, 22, "the other was ahead");
    for (input, place) in [(0, &place), (1, &place), (2, &there)] {
        s3.run(place, &args(input)).exits(0);
    }
    assert_eq!((entries(&s3), rows(&s3, &place, "s3://data/t")), (3, 33));
}

#[test]
fn python_reads_a_table_in_a_bucket() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shard(&place, "0.parquet", 10);
    shard(&place, "1.parquet", 20);
    let run = |args: &str| {
        s3.run(
            &place,
            &format!("{args} --format delta --keep 1 --add status"),
        )
    };
    run("0.parquet s3://data/lake/t --partition-by status").exits(0);
    run("1.parquet s3://data/lake/t --partition-by status --mode append").exits(0);
    let Some(read) = python_with(
        &place,
        "delta.py",
        &["bucket", "s3://data/lake/t"],
        &s3.environment(),
    ) else {
        return;
    };
    let rows = (0..20).chain(0..10);
    let mut keys: Vec<String> = rows.map(|row| format!("{row:032x}")).collect();
    keys.sort();
    assert_eq!(read.trim(), format!("1\tok\t{}", keys.join(",")));
}

#[test]
fn of_a_table_in_a_bucket_that_has_grown_only_new_files_are_fetched() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    let mut table = Table::plain(&place, "t");
    let first = [
        table.pairs("a.parquet", 10),
        table.pairs("kind=a b/b.parquet", 7),
    ];
    table.commit(&first);
    let put = |table: &Table<'_>, files: &[&str]| {
        for file in files {
            s3.put(&format!("lake/t/{file}"), &table.path(file));
        }
    };
    let log = |version: u32| format!("_delta_log/{version:020}.json");
    put(
        &table,
        &["a.parquet", "kind=a b/b.parquet", &log(0), &log(1)],
    );
    let score = "score s3://data/lake/t --scores s3://data/scores --only-new --json";
    let rows = |ran: Ran| {
        let summary = ran.exits(0).json();
        ["rows_in", "rows_scored"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(rows(s3.run(&place, score)), [17, 17]);
    s3.remove("lake/t/a.parquet");
    s3.remove("lake/t/kind=a b/b.parquet");
    assert_eq!(rows(s3.run(&place, score)), [0, 0]);
    let third = table.pairs("c.parquet", 4);
    table.commit(&[third]);
    put(&table, &["c.parquet", &log(2)]);
    assert_eq!(rows(s3.run(&place, score)), [4, 4]);
    // From another machine, too.
    assert_eq!(rows(s3.run(&Place::new(), score)), [0, 0]);
}
