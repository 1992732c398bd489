//! Folders that are named as values: columns of the shards in them, and of outputs.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Int64Type},
};
use serde_json::Value;

use crate::{
    program::{Place, ROOT, program},
    shards,
};

const ROWS: u32 = 10;

/// Ten pairs in each of these folders of `in/`.
fn place(folders: &[&str]) -> Place {
    let place = Place::new();
    for folder in folders {
        std::fs::create_dir_all(place.path("in").join(folder)).unwrap();
        let rows = shards::hf_batch(&shards::good_pairs(ROWS));
        shards::write(&place.path("in").join(folder).join("a.parquet"), &rows);
    }
    place
}

fn labels(rows: &RecordBatch) -> Vec<Option<i64>> {
    let labels = rows.column_by_name("label").unwrap();
    labels.as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn values_of_folders_are_columns_of_the_output() {
    let place = place(&["label=3", "label=4", "label=__HIVE_DEFAULT_PARTITION__"]);
    for inputs in [
        "in",
        "in/*",
        "in/**/*.parquet",
        "in/label={3,4,__HIVE_DEFAULT_PARTITION__}/a.parquet",
    ] {
        let args = format!("{inputs} out.parquet --keep 1 --overwrite");
        place.mock(&args).exits(0);
        let rows = shards::read(&place.path("out.parquet"));
        let mut found = labels(&rows);
        found.sort_unstable();
        let expected = [None, Some(3), Some(4)].map(|label| [label; ROWS as usize]);
        assert_eq!(found, expected.concat(), "{inputs}");
    }
    let features = shards::file_value(&place.path("out.parquet"), "huggingface").unwrap();
    let features: Value = serde_json::from_str(&features).unwrap();
    assert_eq!(features["info"]["features"]["label"]["dtype"], "int64");
}

#[test]
fn values_of_folders_decide_in_conditions_budgets_and_queries() {
    let place = place(&["label=3", "label=4"]);
    let summary = |args: &str, more: &[&str]| place.mock_with(args, more).exits(0).json();
    let balanced = summary("in --dry-run --json --keep-rows 4 --balance label", &[]);
    assert_eq!(balanced["rows_kept"], 4);
    place
        .mock("in out.parquet --keep-rows 4 --balance label")
        .exits(0);
    let found = labels(&shards::read(&place.path("out.parquet")));
    assert_eq!(found, [Some(3), Some(3), Some(4), Some(4)]);
    let names = ["a", "b", "c", "d", "e"].join("\n");
    std::fs::write(place.path("names.txt"), names).unwrap();
    let labelled = "in --dry-run --json --keep 1 --label-column label --class-names names.txt";
    // Scores of labels are found by the content of a shard: these two have one.
    place.mock(labelled).exits(2).says(&["same content"]);
    let pairs = &shards::good_pairs(2 * ROWS)[..];
    let other = shards::hf_batch(&pairs[pairs.len() - 7..]);
    shards::write(&place.path("in/label=4/a.parquet"), &other);
    assert_eq!(summary(labelled, &[])["rows_kept"], 17);
    place
        .mock(&format!("{labelled} --scores scores"))
        .exits(2)
        .says(&["score store", "label"]);
    let other = shards::hf_batch(&shards::good_pairs(ROWS));
    shards::write(&place.path("in/label=4/a.parquet"), &other);
    let query = "SELECT label, count(*) AS n FROM pairs GROUP BY label ORDER BY label";
    let ran = place.mock_with("sql --input in --format csv", &[query]);
    assert_eq!(ran.exits(0).stdout, "label,n\n3,10\n4,10\n");
    // Its rows are a stream, and no text.
    let mut online = program();
    online
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .args(["in", "-", "--online", "--keep", "1", "--where", "label = 4"])
        .stdout(Stdio::null());
    assert!(online.status().unwrap().success());
}

#[test]
fn shards_whose_folders_fail_the_condition_are_not_opened() {
    let place = place(&["label=3", "label=4"]);
    let broken = place.path("in/label=5");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("a.parquet"), "no Parquet").unwrap();
    place.mock("in --dry-run").exits(1);
    let ran = place.mock_with(
        "in out.parquet --json",
        &["--where", "label = 4 AND clip_score > -2"],
    );
    let summary = ran.exits(0).json();
    assert_eq!(
        (&summary["rows_in"], &summary["rows_kept"]),
        (&ROWS.into(), &ROWS.into())
    );
    assert!(
        summary["warnings"].to_string().contains("2 of 3 shards"),
        "{summary}"
    );
    assert_eq!(
        labels(&shards::read(&place.path("out.parquet"))),
        [Some(4); ROWS as usize]
    );
    // Nothing passes: an output without rows, with its columns.
    place
        .mock_with("in none.parquet", &["--where", "label = 9"])
        .exits(0);
    let none = shards::read(&place.path("none.parquet"));
    assert_eq!(none.num_rows(), 0);
    assert!(none.column_by_name("label").is_some());
    // What the folders do not decide needs all of them.
    place
        .mock_with(
            "in other.parquet",
            &["--where", "label = 4 OR clip_score > 2"],
        )
        .exits(1);
}

#[test]
fn a_condition_decides_as_it_does_without_folders_alone() {
    let place = place(&["label=3/day=2024-01-02", "label=12/day=2024-02-01"]);
    for condition in [
        "label < 12",
        "label > '3'",
        "day >= '2024-01-15'",
        "day < DATE '2024-01-15'",
        "day BETWEEN '2024-01-01' AND '2024-01-31'",
    ] {
        let rows = |condition: &str| {
            let ran = place.mock_with("in --dry-run --json --keep 1", &["--where", condition]);
            ran.exits(0).json()["rows_kept"].clone()
        };
        // Of this nothing is known before a row is read.
        let late = format!("({condition}) OR length(text) < 0");
        assert_eq!(rows(condition), rows(&late), "{condition}");
        assert_eq!(rows(condition), 10, "{condition}");
    }
}

#[test]
fn an_inspection_shows_the_columns_of_folders() {
    let place = place(&["label=3/day=2024-01-02", "label=12/day=2024-02-01"]);
    let facts = place.mock("inspect in --json").exits(0).json();
    let columns = facts["columns"].as_array().unwrap();
    let of_folders: Vec<_> = columns
        .iter()
        .filter(|column| column["of_folders"] == true)
        .map(|column| {
            (
                column["name"].as_str().unwrap(),
                column["data_type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(of_folders, [("label", "int64"), ("day", "date32")]);
    let shown = place.mock("inspect in").exits(0).stdout;
    assert_eq!(shown.matches("folder names").count(), 2, "{shown}");
    // What a run would refuse is told, and the rest is shown.
    let mixed = self::place(&["label=3", "other"]);
    let facts = mixed.mock("inspect in --json").exits(0).json();
    assert_eq!(facts["files"], 2);
    assert!(
        facts["notes"][0].as_str().unwrap().contains("label="),
        "{facts}"
    );
}

#[test]
fn folders_that_do_not_fit_are_errors_with_a_way_out() {
    let mixed = place(&["label=3", "other"]);
    mixed.mock("in --dry-run").exits(1).says(&[
        "label=3/a.parquet",
        "other/a.parquet",
        "--no-hive",
    ]);
    let place = place(&["label=3"]);
    let pairs = shards::good_pairs(ROWS);
    let label: ArrayRef = Arc::new(Int32Array::from(vec![4; ROWS as usize]));
    let columns = vec![
        ("image", shards::image_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("label", label),
    ];
    shards::write(&place.path("in/label=3/a.parquet"), &shards::batch(columns));
    place.mock("in --dry-run").exits(1).says(&[
        "'label'",
        "the folder has: 3",
        "the shard has: 4",
        "--no-hive",
    ]);
    place.mock("in out.parquet --no-hive --keep 1").exits(0);
    let rows = shards::read(&place.path("out.parquet"));
    let label = rows.column_by_name("label").unwrap();
    assert_eq!((label.data_type(), label.len()), (&DataType::Int32, 10));
    std::fs::write(place.path("c.toml"), "no-hive = true\n").unwrap();
    place.mock("in --dry-run --config c.toml").exits(0);
}

/// What `folders.py` prints; `None` where there is no Python that can.
fn python(job: &str, directory: &Path) -> Option<String> {
    let interpreter =
        std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(interpreter);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(Path::new(ROOT).join("tests/interop/folders.py"))
        .args([job, directory.to_str().unwrap()]);
    let given = command.output().ok();
    let given = given.filter(|given| given.status.success());
    if given.is_none() {
        eprintln!("skipped: no Python with DuckDB (set CLIP_FILTER_TEST_PYTHON to one)");
    }
    Some(String::from_utf8(given?.stdout).unwrap())
}

fn without_zeros(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').to_owned(),
        false => text.to_owned(),
    }
}

#[test]
fn duckdb_gives_values_of_folders_the_same_types() {
    let place = Place::new();
    let Some(told) = python("types", &place.path("cases")) else {
        return;
    };
    assert!(told.lines().count() > 30, "{told}");
    for line in told.lines() {
        let (number, expected) = line.split_once('\t').unwrap();
        let query = "SELECT arrow_typeof(v) AS t, v FROM pairs ORDER BY n";
        let args = format!("sql --input cases/{number} --format ndjson");
        let ran = place.mock_with(&args, &[query]).exits(0);
        let rows: Vec<Value> = ran
            .stdout
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        let data_type = match rows[0]["t"].as_str().unwrap() {
            "Int64" => "BIGINT",
            "Date32" => "DATE",
            "Utf8View" | "Utf8" => "VARCHAR",
            _ => "TIMESTAMP",
        };
        let mut ours = vec![data_type.to_owned()];
        ours.extend(rows.iter().map(|row| match &row["v"] {
            Value::Null => "null".to_owned(),
            // Times are written with a letter before the hours, and without digits that are none.
            Value::String(text) if data_type == "TIMESTAMP" => {
                without_zeros(&text.replacen('T', " ", 1))
            }
            Value::String(text) if data_type == "DATE" => text.trim_start_matches('+').to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
        let expected: Vec<String> = expected
            .split('\t')
            .map(|text| match data_type {
                "TIMESTAMP" => without_zeros(text),
                _ => text.to_owned(),
            })
            .collect();
        assert_eq!(ours, expected, "{line}");
    }
}

/// `in/a.parquet` of pairs with a text `label`, every value five times in turn.
fn labelled(values: &[Option<&str>]) -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let rows = 5 * values.len();
    let pairs = shards::good_pairs(u32::try_from(rows).unwrap());
    let labels: ArrayRef = Arc::new(
        values
            .iter()
            .cycle()
            .take(rows)
            .copied()
            .collect::<StringArray>(),
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let columns = vec![
        ("n", numbers),
        ("image", shards::image_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("label", labels),
    ];
    shards::write(&place.path("in/a.parquet"), &shards::batch(columns));
    place
}

/// Folders of an output and the numbers of the rows in each.
fn cut(place: &Place) -> Vec<(String, Vec<i64>)> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(place.path("out")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let rows = shards::read(&entry.path().join("part-00000.parquet"));
            assert!(rows.column_by_name("label").is_none());
            let numbers = rows
                .column_by_name("n")
                .unwrap()
                .as_primitive::<Int64Type>();
            folders.push((name, numbers.values().to_vec()));
        } else {
            assert_eq!(name, "_SUCCESS");
        }
    }
    folders.sort();
    folders
}

#[test]
fn an_output_is_cut_by_values_and_read_by_others() {
    let values = [Some("3"), Some("a/../b"), None, Some(""), Some("..")];
    let place = labelled(&values);
    let args = "in out --keep 1 --partition-by label";
    place.mock(args).exits(0);
    let of = |first: i64| (0..5).map(|turn| first + 5 * turn).collect::<Vec<i64>>();
    let expected = [
        ("label=", of(3)),
        ("label=..", of(4)),
        ("label=3", of(0)),
        ("label=__HIVE_DEFAULT_PARTITION__", of(2)),
        ("label=a%2F..%2Fb", of(1)),
    ];
    assert_eq!(
        cut(&place),
        expected.map(|(name, rows)| (name.to_owned(), rows))
    );
    assert_eq!(place.names(), ["in", "out"]);
    // It is read as it was: names of folders are values.
    place
        .mock("out again.parquet --keep 1 --prefix new_")
        .exits(0);
    let again = shards::strings(&shards::read(&place.path("again.parquet")), "label");
    for value in values {
        let rows = again.iter().filter(|label| label.as_deref() == value);
        assert_eq!(rows.count(), 5, "{value:?}");
    }
    // The same once more in its place, and nothing of it lost or left.
    place.mock(args).exits(1).says(&["--overwrite"]);
    place
        .mock_with(
            "in out --overwrite --keep 1 --partition-by label",
            &["--where", "label = '3'"],
        )
        .exits(0);
    assert_eq!(cut(&place), [("label=3".to_owned(), of(0))]);
}

#[test]
fn other_tools_count_the_same_rows_for_each_value() {
    let place = labelled(&[Some("cat"), Some("a/b"), None, Some("é x"), Some("a=b")]);
    place.mock("in out --keep 1 --partition-by label").exits(0);
    let Some(told) = python("read", &place.path("out")) else {
        return;
    };
    let counts = "a/b:5\ta=b:5\tcat:5\tnull:5\té x:5";
    assert_eq!(
        told,
        format!("duckdb\t{counts}\npolars\t{counts}\npyarrow\t{counts}\n")
    );
}

#[test]
fn several_columns_and_more_values_than_parts_are_open() {
    let values: Vec<String> = (0..90).map(|number| format!("v{number}")).collect();
    let values: Vec<Option<&str>> = values.iter().map(|value| Some(value.as_str())).collect();
    let place = labelled(&values);
    place
        .mock("in out --keep 1 --add status --partition-by status,label")
        .exits(0);
    let mut rows = Vec::new();
    for value in &values {
        let folder = place.path(&format!("out/status=ok/label={}", value.unwrap()));
        let mut parts: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|part| part.unwrap().path())
            .collect();
        parts.sort();
        let read = parts.iter().flat_map(|part| {
            let rows = shards::read(part);
            assert!(rows.column_by_name("status").is_none());
            let numbers = rows
                .column_by_name("n")
                .unwrap()
                .as_primitive::<Int64Type>();
            numbers.values().to_vec()
        });
        let read: Vec<i64> = read.collect();
        assert!(read.is_sorted());
        rows.extend(read);
    }
    rows.sort_unstable();
    assert_eq!(rows, (0..450).collect::<Vec<i64>>());
}

#[test]
fn cutting_needs_a_directory_and_columns_that_name_folders() {
    let long = "x".repeat(300);
    let place = labelled(&[Some("3"), Some(&long)]);
    let refused = |args: &str, code: i32, texts: &[&str]| {
        place.mock(args).exits(code).says(texts);
        assert_eq!(place.names(), ["in"], "{args}");
    };
    refused(
        "in out.parquet --partition-by label",
        2,
        &["one file", "directory"],
    );
    refused("in out --partition-by lable", 2, &["'lable'", "label"]);
    refused("in out --partition-by image", 2, &["'image'", "no names"]);
    refused("in out --partition-by label,label", 2, &["twice"]);
    refused("in - --online --partition-by label", 2, &["--partition-by"]);
    place
        .mock("in out --keep 1 --partition-by label")
        .exits(1)
        .says(&["'label'", "too long"]);
    assert!(!place.path("out").exists());
    place
        .mock_with(
            "in out --partition-by label",
            &["--where", "label = 'none'"],
        )
        .exits(0);
    assert_eq!(
        shards::read(&place.path("out/part-00000.parquet")).num_rows(),
        0
    );
}
