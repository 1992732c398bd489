//! Delta tables: what their logs say is what is read.

mod iceberg;
pub(crate) mod log;
mod out;
mod since;
pub(crate) mod tools;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Int32Type},
};
use serde_json::json;

use crate::{
    program::Place,
    shards::{self, strings},
};
use log::{Table, column, features, mapped, metadata, pair_columns, protocol};

/// Rows that a dry run counts.
#[track_caller]
fn rows_in(place: &Place, args: &str) -> u64 {
    let ran = place.mock(&format!("{args} --dry-run --json --keep 1"));
    ran.exits(0).json()["rows_in"].as_u64().unwrap()
}

#[test]
fn a_table_is_the_files_of_its_version() {
    let place = Place::new();
    let mut table = Table::plain(&place, "t");
    let (first, second) = (table.pairs("a.parquet", 10), table.pairs("b.parquet", 7));
    table.commit(&[first]);
    table.commit(&[second]);
    let remove =
        json!({"remove": {"path": "a.parquet", "dataChange": true, "deletionTimestamp": 0}});
    table.commit(&[remove]);
    assert_eq!(rows_in(&place, "t"), 7);
    assert_eq!(rows_in(&place, "t/ --version 2"), 17);
    assert_eq!(rows_in(&place, "t --version=1"), 10);
    assert_eq!(rows_in(&place, "t --table-version 1"), 10);
    place
        .mock("t --dry-run --version 9")
        .exits(1)
        .says(&["version: 9", "the newest version is 3"]);
    let loose = place
        .mock("t --dry-run --keep 1 --no-table --json")
        .exits(0);
    assert_eq!(loose.json()["rows_in"], 17);
    assert!(
        loose.json()["warnings"]
            .to_string()
            .contains("a Delta table")
    );
    place
        .mock("t/b.parquet --dry-run")
        .exits(2)
        .says(&["name the table's own folder"]);
    let plain = table.path("../plain");
    std::fs::create_dir(&plain).unwrap();
    shards::write_pairs(&plain.join("a.parquet"), &shards::good_pairs(3), 10);
    place
        .mock("plain --dry-run --version 1")
        .exits(2)
        .says(&["no input is a table"]);
    assert_eq!(rows_in(&place, "t plain out.parquet"), 10);
    let facts = place.mock("inspect t --json --version 2").exits(0).json();
    assert_eq!((&facts["files"], &facts["rows"]), (&2.into(), &17.into()));
}

#[test]
fn a_time_names_the_version_that_was_there() {
    let place = Place::new();
    let mut table = Table::plain(&place, "t");
    for (number, rows) in [(1, 10), (2, 7)] {
        let file = table.pairs(&format!("{number}.parquet"), rows);
        table.commit(&[file]);
    }
    let day = 86_400;
    for version in 0..3 {
        let path = table.path(&format!("_delta_log/{version:020}.json"));
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(day * (10 + version));
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(at)
            .unwrap();
    }
    assert_eq!(rows_in(&place, "t --timestamp 1970-01-12T12:00:00Z"), 10);
    assert_eq!(rows_in(&place, "t --timestamp 1970-01-14"), 17);
    place
        .mock("t --dry-run --timestamp 1970-01-02")
        .exits(1)
        .says(&["--timestamp"]);
    place.mock("t --dry-run --timestamp soon").exits(2);
    place
        .mock("t --dry-run --timestamp 1970-01-14 --version 1")
        .exits(2);
}

#[test]
fn partition_values_are_columns_of_their_types() {
    let place = Place::new();
    let mut table = Table::new(&place, "t");
    let mut columns = vec![column("kind", json!("string"))];
    columns.extend(pair_columns());
    columns.extend([
        column("day", json!("date")),
        column("number", json!("integer")),
    ]);
    let partitions = ["kind", "day", "number"];
    table.commit(&[protocol(1, 2), metadata(&columns, &partitions, json!({}))]);
    // Folders have escapes of their own, which the log escapes again.
    table.pairs("kind=a%2Fb c/x.parquet", 4);
    table.pairs("y.parquet", 3);
    let values = json!({"kind": "a/b c", "day": "2026-01-31", "number": "7"});
    let first = table.add(
        "kind=a%2Fb c/x.parquet",
        "kind=a%252Fb%20c/x.parquet",
        values,
    );
    let second = table.add(
        "y.parquet",
        "y.parquet",
        json!({"kind": null, "day": "", "number": "-1"}),
    );
    table.commit(&[first, second]);
    place.mock("t out.parquet --keep 1").exits(0);
    let rows = shards::read(&place.path("out.parquet"));
    let names = shards::names(&rows);
    assert_eq!(
        names[..7],
        ["kind", "uid", "image", "text", "rank", "day", "number"]
    );
    let kinds = strings(&rows, "kind");
    assert_eq!(kinds.iter().flatten().count(), 4);
    assert_eq!(kinds[0].as_deref(), Some("a/b c"));
    let days = rows
        .column_by_name("day")
        .unwrap()
        .as_primitive::<Date32Type>();
    assert_eq!((days.value(0), days.null_count()), (20_484, 3));
    let numbers = rows.column_by_name("number").unwrap();
    assert_eq!(numbers.data_type(), &DataType::Int32);
    assert_eq!(numbers.as_primitive::<Int32Type>().values()[3..5], [7, -1]);
    let some = place.mock_with(
        "t --dry-run --json",
        &["--where", "kind = 'a/b c' AND number = 7"],
    );
    assert_eq!(some.exits(0).json()["rows_kept"], 4);
}

#[test]
fn rows_of_deletion_vectors_are_never_scored_counted_or_written() {
    let place = Place::new();
    let mut table = Table::new(&place, "t");
    let columns = pair_columns();
    let protocol = features(&["deletionVectors"]);
    table.commit(&[
        protocol,
        metadata(
            &columns,
            &[],
            json!({"delta.enableDeletionVectors": "true"}),
        ),
    ]);
    let plain = table.pairs("a.parquet", 10);
    table.commit(std::slice::from_ref(&plain));
    let mut some = plain;
    some["add"]["deletionVector"] = table.vector("v.bin", &[0, 3, 4, 9]);
    let remove =
        json!({"remove": {"path": "a.parquet", "dataChange": true, "deletionTimestamp": 0}});
    table.commit(&[remove, some]);
    let mut summary = place
        .mock("t out.parquet --keep 1 --scores s --json")
        .exits(0)
        .json();
    assert_eq!(
        (&summary["rows_in"], &summary["rows_kept"]),
        (&6.into(), &6.into())
    );
    let rows = shards::read(&place.path("out.parquet"));
    let ranks = rows.column_by_name("rank").unwrap();
    let ranks = ranks.as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(ranks.values()[..], [1, 2, 5, 6, 7, 8]);
    let query = ["SELECT count(*) AS n FROM pairs"];
    let counted = place.mock_with("sql --input t --format csv", &query);
    assert_eq!(counted.exits(0).stdout, "n\n6\n");
    let facts = place.mock("inspect t --json").exits(0).json();
    assert_eq!(facts["rows"], 6);
    let scored = place.mock("score t --scores whole --json").exits(0).json();
    assert_eq!(scored["rows_in"], 6);
    let merged = place.mock("merge --scores whole --json").exits(0).json();
    assert_eq!(merged["missing"], json!([]));
    // A store alone knows which rows they were, where the files are still there and where not.
    let reported = || {
        place
            .mock("report --scores whole --keep 1 --json")
            .exits(0)
            .json()
    };
    let report = reported();
    assert_eq!(
        (
            &report["rows_in"],
            &report["rows_kept"],
            &report["rows_cut"]
        ),
        (&6.into(), &6.into(), &0.into())
    );
    assert_eq!(report["subject"]["kind"], "shards", "{}", report["notes"]);
    let hidden = table.path("../a-hidden");
    std::fs::rename(table.path("a.parquet"), &hidden).unwrap();
    let report = reported();
    assert_eq!(
        (
            &report["rows_in"],
            &report["rows_kept"],
            &report["rows_cut"]
        ),
        (&6.into(), &6.into(), &0.into())
    );
    assert!(report["notes"].to_string().contains("not there any more"));
    std::fs::rename(hidden, table.path("a.parquet")).unwrap();
    // The version before has them: for a store it is another shard.
    place
        .mock("t all.parquet --keep 1 --scores s --version 1")
        .exits(1)
        .says(&["--only-new"]);
    summary = place
        .mock("t all.parquet --keep 1 --scores s --json --version 1 --only-new")
        .exits(0)
        .json();
    assert_eq!(
        (&summary["rows_in"], &summary["rows_kept"]),
        (&10.into(), &10.into())
    );
}

#[test]
fn columns_go_by_the_names_of_the_table() {
    for mode in ["name", "id"] {
        let place = Place::new();
        let mut table = Table::new(&place, "t");
        let fields = [
            mapped("bytes", "col-11", 11, json!("binary")),
            mapped("path", "col-12", 12, json!("string")),
        ];
        let columns = [
            mapped("text", "col-2", 2, json!("string")),
            mapped(
                "image",
                "col-1",
                1,
                json!({"type": "struct", "fields": fields}),
            ),
            mapped("added", "col-9", 9, json!("double")),
        ];
        let configuration =
            json!({"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "12"});
        table.commit(&[protocol(2, 5), metadata(&columns, &[], configuration)]);
        let pairs = shards::good_pairs(9);
        let image = shards::image_column(&pairs);
        let stored = arrow::array::StructArray::from(vec![
            (
                std::sync::Arc::new(arrow::datatypes::Field::new("col-12", DataType::Utf8, true)),
                std::sync::Arc::clone(image.as_struct().column(1)),
            ),
            (
                std::sync::Arc::new(arrow::datatypes::Field::new(
                    "col-11",
                    DataType::Binary,
                    true,
                )),
                std::sync::Arc::clone(image.as_struct().column(0)),
            ),
        ]);
        let batch = shards::batch(vec![
            ("col-1", std::sync::Arc::new(stored)),
            ("dropped", shards::text_column(&pairs)),
            ("col-2", shards::text_column(&pairs)),
        ]);
        shards::write(&table.path("a.parquet"), &batch);
        let add = table.add("a.parquet", "a.parquet", json!({}));
        table.commit(&[add]);
        place
            .mock_with(
                "t out.parquet",
                &["--where", "text LIKE '%thing%' AND clip_score > -2"],
            )
            .exits(0);
        let rows = shards::read(&place.path("out.parquet"));
        assert_eq!(shards::names(&rows)[..3], ["text", "image", "added"]);
        let expected: Vec<Option<String>> = pairs.iter().map(|pair| pair.text.clone()).collect();
        assert_eq!(strings(&rows, "text"), expected);
        let images = rows.column_by_name("image").unwrap().as_struct();
        assert_eq!(images.column_by_name("bytes").unwrap().len(), 9);
        assert_eq!(rows.column_by_name("added").unwrap().null_count(), 9);
        let facts = place.mock("inspect t --json").exits(0).json();
        assert_eq!(facts["pairs"]["image"]["column"], "image", "{facts}");
    }
}

#[test]
fn logs_that_lead_out_of_the_table_are_refused_unless_allowed() {
    let place = Place::new();
    std::fs::create_dir(place.path("else")).unwrap();
    shards::write_pairs(&place.path("else/x.parquet"), &shards::good_pairs(5), 10);
    let full = place.path("else/x.parquet").display().to_string();
    for (number, path) in [
        "../else/x.parquet",
        "%2e%2e/else/x.parquet",
        &full,
        &format!("file://{full}"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("t{number}");
        let mut table = Table::plain(&place, &name);
        let add = table.add("../else/x.parquet", path, json!({}));
        table.commit(&[add]);
        place
            .mock(&format!("{name} --dry-run"))
            .exits(1)
            .says(&["out of its folder", "--allow-external-paths"]);
        assert_eq!(
            rows_in(&place, &format!("{name} --allow-external-paths")),
            5,
            "{path}"
        );
    }
    let mut table = Table::plain(&place, "s3");
    let add = table.add("../else/x.parquet", "s3://else/x.parquet", json!({}));
    table.commit(&[add]);
    place
        .mock("s3 --dry-run")
        .exits(1)
        .says(&["s3://else/x.parquet"]);
    let mut table = Table::new(&place, "v");
    let columns = pair_columns();
    table.commit(&[
        features(&["deletionVectors"]),
        metadata(&columns, &[], json!({})),
    ]);
    let mut add = table.pairs("a.parquet", 4);
    add["add"]["deletionVector"] = table.vector("../v.bin", &[0]);
    table.commit(&[add]);
    place
        .mock("v --dry-run")
        .exits(1)
        .says(&["out of its folder"]);
    assert_eq!(rows_in(&place, "v --allow-external-paths"), 3);
}

#[test]
fn what_a_reader_does_not_know_is_refused_by_name() {
    let place = Place::new();
    let mut table = Table::new(&place, "t");
    let columns = pair_columns();
    table.commit(&[features(&["fancyRows"]), metadata(&columns, &[], json!({}))]);
    let add = table.pairs("a.parquet", 4);
    table.commit(&[add]);
    place.mock("t --dry-run").exits(1).says(&["fancyRows"]);
}

#[test]
fn broken_logs_are_errors_that_name_the_table() {
    let place = Place::new();
    for (name, log) in [
        ("empty", ""),
        ("text", "no JSON"),
        ("half", r#"{"add": {"path": "a.parquet""#),
        (
            "lone",
            r#"{"add": {"path": "a.parquet", "partitionValues": {}, "size": 3, "modificationTime": 0, "dataChange": true}}"#,
        ),
    ] {
        let table = Table::new(&place, name);
        std::fs::write(table.path(&format!("_delta_log/{:020}.json", 0)), log).unwrap();
        place
            .mock(&format!("{name} --dry-run"))
            .exits(1)
            .says(&["table: "]);
    }
    let mut table = Table::plain(&place, "gone");
    let add = table.pairs("a.parquet", 4);
    table.commit(&[add]);
    std::fs::remove_file(table.path("a.parquet")).unwrap();
    place.mock("gone --dry-run").exits(1).says(&["a.parquet"]);
    let mut table = Table::new(&place, "vector");
    let columns = pair_columns();
    table.commit(&[
        features(&["deletionVectors"]),
        metadata(&columns, &[], json!({})),
    ]);
    let mut add = table.pairs("a.parquet", 4);
    add["add"]["deletionVector"] = table.vector("v.bin", &[900]);
    table.commit(&[add]);
    place.mock("vector --dry-run").exits(1).says(&["row: 900"]);
    std::fs::write(table.path("v.bin"), [1, 2, 3]).unwrap();
    place
        .mock("vector --dry-run")
        .exits(1)
        .says(&["file: a.parquet"]);
    // Without an entry that removes the one before.
    let plain = table.pairs("b.parquet", 4);
    let mut again = plain.clone();
    again["add"]["deletionVector"] = table.vector("v.bin", &[0]);
    table.commit(&[plain, again]);
    place
        .mock("vector --dry-run")
        .exits(1)
        .says(&["one file twice"]);
    Table::plain(&place, "none");
    place.mock("none --dry-run").exits(1).says(&["no file"]);
}

#[test]
fn a_list_of_files_is_a_table_of_any_format() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    for (name, rows) in [("a", 10), ("b", 6)] {
        let path = place.path(&format!("data/{name}.parquet"));
        shards::write_pairs(&path, &shards::good_pairs(rows), 4);
    }
    let lines = [
        json!({"path": "data/a.parquet", "partition": {"label": 3}, "left_out": [9, 0, 4]}),
        json!({"path": place.path("data/b.parquet"), "partition": {"label": null}}),
    ];
    std::fs::write(
        place.path("l.jsonl"),
        lines.map(|line| line.to_string()).join("\n"),
    )
    .unwrap();
    place.mock("out.parquet --files l.jsonl --keep 1").exits(0);
    let rows = shards::read(&place.path("out.parquet"));
    assert_eq!(rows.num_rows(), 13);
    assert_eq!(rows.column_by_name("label").unwrap().null_count(), 6);
    let query = [
        "SELECT count(*) AS n FROM t WHERE label = 3",
        "--input",
        "t=files:l.jsonl",
    ];
    let counted = place.mock_with("sql --format csv", &query);
    assert_eq!(counted.exits(0).stdout, "n\n7\n");
    let summary = place
        .mock("--files l.jsonl --dry-run --json --keep 1")
        .exits(0)
        .json();
    assert_eq!(summary["rows_in"], 13);
    place.mock("--files l.jsonl").exits(2).says(&["output"]);
    std::fs::write(place.path("bad.jsonl"), "{\"path\": 3}").unwrap();
    place
        .mock("out2.parquet --files bad.jsonl")
        .exits(1)
        .says(&["line: 1"]);
}
