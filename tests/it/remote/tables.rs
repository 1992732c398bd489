//! Tables in object stores.

use serde_json::json;

use super::s3::S3;
use crate::{
    delta::log::{Table, column, metadata, pair_columns, protocol},
    program::Place,
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
    s3.run(&place, "t s3://data/new --format delta")
        .exits(2)
        .says(&["object store"]);
}
