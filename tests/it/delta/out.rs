//! Outputs that are Delta tables.

use std::{process::Stdio, time::Duration};

use serde_json::Value;

use super::tools::python;
use crate::{
    program::{Place, program},
    shards,
};

/// Ten pairs in each of these inputs, `n.parquet` with the keys of `n`.
fn place(inputs: u32) -> Place {
    let place = Place::new();
    for input in 0..inputs {
        let pairs = shards::good_pairs(10 * (input + 1));
        let batch = shards::hf_batch(&pairs).slice(10 * input as usize, 10);
        shards::write(&place.path(&format!("{input}.parquet")), &batch);
    }
    place
}

/// How often each key is in a table.
fn keys(place: &Place, table: &str) -> Vec<String> {
    let query = "SELECT uid FROM t ORDER BY uid";
    let ran = place.mock_with(&format!("sql --format csv --input t={table}"), &[query]);
    ran.exits(0)
        .stdout
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect()
}

fn all(inputs: impl Iterator<Item = u32>) -> Vec<String> {
    let rows = inputs.flat_map(|input| 10 * input..10 * (input + 1));
    rows.map(|row| format!("{row:032x}")).collect()
}

/// The actions of one kind in a table's log.
fn actions(place: &Place, table: &str, kind: &str) -> Vec<Value> {
    let log = place.path(table).join("_delta_log");
    let mut paths: Vec<_> = std::fs::read_dir(log)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "json"));
    paths.sort();
    let texts = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    let text: String = texts.collect::<Vec<_>>().join("\n");
    let actions = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    actions
        .filter_map(|action| action.get(kind).cloned())
        .collect()
}

#[test]
fn a_table_is_made_added_to_and_replaced_and_nothing_is_written_twice() {
    let place = place(4);
    let run = |args: &str| place.mock(&format!("{args} --format delta --keep 1"));
    run("0.parquet t --add image_embedding,status,width").exits(0);
    assert_eq!(keys(&place, "t"), all(0..1));
    let table = &actions(&place, "t", "metaData")[0];
    assert!(
        table["configuration"]["huggingface"]
            .as_str()
            .unwrap()
            .contains("Image"),
        "{table}"
    );
    let added = &actions(&place, "t", "add")[0];
    let stats: Value = serde_json::from_str(added["stats"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&stats["numRecords"], &stats["minValues"]["rank"]),
        (&10.into(), &0.into())
    );
    assert_eq!(stats["nullCount"]["text"], 0);
    run("1.parquet t --add image_embedding,status,width")
        .exits(1)
        .says(&["--mode append"]);
    run("1.parquet t").exits(1).says(&["--mode append"]);
    let append = "1.parquet t --add image_embedding,status,width --mode append";
    run(append).exits(0);
    run(append).exits(0);
    assert_eq!(keys(&place, "t"), all(0..2));
    assert_eq!(actions(&place, "t", "txn").len(), 2);
    run("2.parquet t --mode append --add cell")
        .exits(1)
        .says(&["other columns", "column: cell"]);
    assert_eq!(keys(&place, "t"), all(0..2));
    run("3.parquet t --add image_embedding,status,width --mode overwrite").exits(0);
    assert_eq!(keys(&place, "t"), all(3..4));
    assert_eq!(actions(&place, "t", "remove").len(), 2);
    let old = place.mock_with(
        "sql --format csv --version 1 --input t=t",
        &["SELECT count(*) AS n FROM t"],
    );
    assert_eq!(old.exits(0).stdout, "n\n20\n");
    let staged = std::fs::read_dir(place.path("t")).unwrap();
    let staged = staged.filter(|it| {
        it.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("_clip")
    });
    assert_eq!(staged.count(), 0);
}

#[test]
fn one_partition_is_replaced_and_the_others_stay() {
    let place = place(1);
    for (label, value) in [("a b", "a b"), ("c", "c/d")] {
        let query = format!("SELECT *, '{value}' AS kind FROM t_shards");
        let name = format!("{}.parquet", label.replace(' ', ""));
        place
            .mock_with(
                &format!("sql --input t=0.parquet --output {name}"),
                &[&query],
            )
            .exits(0);
    }
    let run = |args: &str, more: &[&str]| {
        let args = format!("{args} t --format delta --partition-by kind");
        place.mock_with(&args, more)
    };
    run("ab.parquet c.parquet --keep 1", &[]).exits(0);
    let query = "SELECT kind, count(*) AS n FROM t GROUP BY kind ORDER BY kind";
    let counted = || {
        place
            .mock_with("sql --format csv --input t=t", &[query])
            .exits(0)
            .stdout
    };
    assert_eq!(counted(), "kind,n\na b,10\nc/d,10\n");
    let values = actions(&place, "t", "add");
    let mut values: Vec<&str> = values
        .iter()
        .map(|it| it["partitionValues"]["kind"].as_str().unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, ["a b", "c/d"]);
    let replace = ["--mode", "replace-where", "--replace-where", "kind=c/d"];
    run("ab.parquet --keep 1", &replace)
        .exits(1)
        .says(&["of another"]);
    run("c.parquet --keep-rows 3", &replace).exits(0);
    assert_eq!(counted(), "kind,n\na b,10\nc/d,3\n");
    let other = ["--mode", "replace-where", "--replace-where", "text=x"];
    run("c.parquet --keep-rows 3", &other)
        .exits(1)
        .says(&["not cut by"]);
    run("c.parquet --keep-rows 3", &["--mode", "replace-where"])
        .exits(2)
        .says(&["--replace-where"]);
}

#[test]
fn writers_at_one_time_are_all_in_the_table() {
    let place = place(5);
    place.mock("0.parquet t --format delta --keep 1").exits(0);
    let writers = (1..5).map(|input| {
        let mut command = program();
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .args([
                &format!("{input}.parquet"),
                "t",
                "--format",
                "delta",
                "--mode",
                "append",
            ])
            .args(["--keep", "1", "--quiet"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    });
    let mut writers: Vec<_> = writers.collect();
    let ended = writers
        .iter_mut()
        .map(|writer| writer.wait().unwrap().success());
    let done = ended.filter(|done| *done).count();
    assert!(done >= 1);
    // Who found the lock taken runs again.
    for input in 1..5 {
        place
            .mock(&format!(
                "{input}.parquet t --format delta --mode append --keep 1 --quiet"
            ))
            .exits(0);
    }
    assert_eq!(keys(&place, "t"), all(0..5));
}

#[test]
fn a_writer_that_is_killed_adds_its_rows_once() {
    let place = place(3);
    place.mock("0.parquet t --format delta --keep 1").exits(0);
    let args = [
        "1.parquet",
        "2.parquet",
        "t",
        "--format",
        "delta",
        "--mode",
        "append",
        "--keep",
        "1",
    ];
    for millis in [30, 60, 90, 120, 150, 180, 220, 260, 320, 400] {
        let mut command = program();
        let mut running = command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .args(args)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        // It may be done.
        let _ = running.kill();
        running.wait().unwrap();
    }
    place.mock(&args.join(" ")).exits(0);
    assert_eq!(keys(&place, "t"), all(0..3));
}

#[test]
fn python_reads_what_is_written() {
    let place = place(2);
    let run = |args: &str| {
        place
            .mock(&format!("{args} --format delta --keep 1"))
            .exits(0)
    };
    run("0.parquet t --add image_embedding,status,width,sas --partition-by status");
    run("1.parquet t --add image_embedding,status,width,sas --partition-by status --mode append");
    let Some(read) = python(&place, "delta.py", &["read", "t"]) else {
        return;
    };
    let expected = all(0..2).join(",");
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines.len(), 3, "{read}");
    for line in lines {
        assert_eq!(line.split_once('\t').unwrap().1, expected, "{line}");
    }
}
