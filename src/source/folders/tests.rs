//! Values of folders, by what DuckDB 2.0 makes of the same names.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, TimeUnit},
};

use super::*;
use crate::source::{Listed, Places, memory::MemoryPlace};

fn shards(names: &[&str]) -> Result<Vec<TableShard>> {
    with_folders(names.iter().map(Location::local).collect())
}

/// Columns of a file: names, types and values.
fn told(shard: &TableShard) -> Vec<(String, DataType, Option<String>)> {
    let of = |constant: &Constant| {
        let value = cast(&constant.rows(1).unwrap(), &DataType::Utf8).unwrap();
        let text = value.as_string::<i32>();
        let value = text.is_valid(0).then(|| text.value(0).to_owned());
        let field = constant.field();
        (field.name().clone(), field.data_type().clone(), value)
    };
    shard.constants.iter().map(of).collect()
}

#[track_caller]
fn values(written: &[&str], data_type: &DataType, expected: &[Option<&str>]) {
    let names: Vec<String> = written
        .iter()
        .map(|value| format!("t/v={value}/a.parquet"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (shard, expected) in shards(&names).unwrap().iter().zip(expected) {
        let expected = expected.map(str::to_owned);
        assert_eq!(
            told(shard),
            [("v".to_owned(), data_type.clone(), expected)],
            "{written:?}"
        );
    }
}

#[test]
fn types_are_those_of_all_values() {
    let (int, date, text) = (&DataType::Int64, &DataType::Date32, &DataType::Utf8);
    values(
        &["1", "-5", " 7", "0 "],
        int,
        &[Some("1"), Some("-5"), Some("7"), Some("0")],
    );
    values(
        &["-01", "-0", "0x10", "0B11"],
        int,
        &[Some("-1"), Some("0"), Some("16"), Some("3")],
    );
    values(
        &["9223372036854775807"],
        int,
        &[Some("9223372036854775807")],
    );
    for written in [
        "007",
        "00",
        "+1",
        "1.5",
        "1e3",
        "1_0",
        "true",
        "--1",
        "-",
        "0x",
        "0x-1",
        "-0x10",
        "9223372036854775808",
        "2024-13-01",
        "2024-02-30",
        "2023-02-29",
        "2024-01",
        "2024-01-02-03",
        "2024-01-02 03",
        "12:00:00",
        "2024-01-02 03:04:60",
        "2024-01-02t03:04:05",
        "today",
        "__hive_default_partition__",
        // DuckDB has these as dates and times, and loses what they say.
        "inf",
        "2024-01-02 03:04:05+02",
        "2024-01-02T03:04:05Z",
        "2024-01-02 03:04:05.1234567",
    ] {
        values(&[written, "1"], text, &[Some(written), Some("1")]);
        values(&[written], text, &[Some(written)]);
    }
    values(
        &["2024-01-02", "2024-1-2", "2024-02-29"],
        date,
        &[Some("2024-01-02"), Some("2024-01-02"), Some("2024-02-29")],
    );
    values(
        &["1969-12-31", "0024-01-02", "2024 01 02"],
        date,
        &[Some("1969-12-31"), Some("0024-01-02"), Some("2024-01-02")],
    );
    values(&["2024-01-02", "3"], text, &[Some("2024-01-02"), Some("3")]);
    let time = &DataType::Timestamp(TimeUnit::Microsecond, None);
    let second = Some("2024-01-02T03:04:05");
    values(
        &[
            "2024-01-02 03:04:05",
            "2024-01-02T03:04:05",
            "2024-01-02  03:04:05",
        ],
        time,
        &[second; 3],
    );
    values(
        &["2024-01-02 3:4", "1969-12-31 23:59:59.5"],
        time,
        &[Some("2024-01-02T03:04:00"), Some("1969-12-31T23:59:59.500")],
    );
    values(
        &["2024-01-02", "2024-01-02 03:04:05"],
        text,
        &[Some("2024-01-02"), Some("2024-01-02 03:04:05")],
    );
}

#[test]
fn nulls_are_of_the_type_of_the_others() {
    let (int, date, text) = (&DataType::Int64, &DataType::Date32, &DataType::Utf8);
    values(&[NULL, "3"], int, &[None, Some("3")]);
    values(&["NULL", "null", "3"], int, &[None, None, Some("3")]);
    values(&["null"], text, &[Some("null")]);
    values(&[NULL, "2024-01-01"], date, &[None, Some("2024-01-01")]);
    values(
        &[NULL, "a", "NULL", ""],
        text,
        &[None, Some("a"), Some("NULL"), Some("")],
    );
    values(&[NULL], text, &[None]);
}

#[test]
fn values_are_unescaped_once() {
    let text = &DataType::Utf8;
    values(
        &[
            "a%2Fb",
            "a%3Db",
            "%2541",
            "%zz",
            "%",
            "%4",
            "x y",
            "a+b",
            "..",
            "%C3%A9",
            "2024%2F01%2F02",
        ],
        text,
        &[
            "a/b",
            "a=b",
            "%41",
            "%zz",
            "%",
            "%4",
            "x y",
            "a+b",
            "..",
            "é",
            "2024/01/02",
        ]
        .map(Some),
    );
    // DuckDB decides on types before it unescapes.
    values(
        &["2024-01-02%2003%3A04%3A05"],
        text,
        &[Some("2024-01-02 03:04:05")],
    );
    values(&["%31"], text, &[Some("1")]);
    let error = shards(&["v=%FF/a.parquet"]).unwrap_err().report();
    assert!(
        error.contains("v=%FF") && error.contains("--no-hive"),
        "{error}"
    );
}

#[test]
fn folders_count_wherever_they_are_in_the_path() {
    let names = |name: &str| {
        let shards = shards(&[name]).unwrap();
        told(&shards[0])
            .into_iter()
            .map(|(name, _, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("/r=1/x/a=1/z/b=2/c=3.parquet"), ["r", "a", "b"]);
    assert_eq!(names("x/=1/v=a=b/a%20b=1/p.parquet"), ["a%20b"]);
    assert_eq!(names("a=1/a=1/p.parquet"), ["a"]);
    let report = shards(&["a=1/a=2/p.parquet"]).unwrap_err().report();
    assert!(report.contains("1 and 2"), "{report}");
}

#[test]
fn urls_have_folders_too() {
    let told_of = |url: &str| {
        let place = Arc::new(MemoryPlace::default());
        let file = Location::new(Listed::named(url), place);
        told(&with_folders(vec![file]).unwrap()[0])
    };
    let one = |value: &str| vec![("v".to_owned(), DataType::Utf8, Some(value.to_owned()))];
    assert_eq!(told_of("s3://b=1/v=a%2Fb/p.parquet"), one("a/b"));
    assert_eq!(told_of("s3://b/v=a?b/p.parquet"), one("a?b"));
    assert_eq!(
        told_of("https://u=1/v=a%252Fb/p.parquet?x=1/y=2/z"),
        one("a/b")
    );
    assert!(told_of("s3://b=1/p.parquet").is_empty());
}

#[test]
fn all_shards_have_the_same_columns_in_any_order() {
    let both = shards(&["a=1/b=2/x.parquet", "b=1/a=2/y.parquet"]).unwrap();
    let values: Vec<_> = both
        .iter()
        .map(|shard| {
            told(shard)
                .into_iter()
                .map(|(name, _, value)| (name, value.unwrap()))
                .collect::<Vec<_>>()
        })
        .collect();
    let pair = |a: &str, b: &str| {
        vec![
            ("a".to_owned(), a.to_owned()),
            ("b".to_owned(), b.to_owned()),
        ]
    };
    assert_eq!(values, [pair("1", "2"), pair("2", "1")]);
    for others in [
        ["a=1/x.parquet", "y.parquet"],
        ["y.parquet", "a=1/x.parquet"],
        ["a=1/x.parquet", "b=1/y.parquet"],
    ] {
        let report = shards(&others).unwrap_err().report();
        for text in [others[0], others[1], "'a='", "--no-hive"] {
            assert!(report.contains(text), "{report}");
        }
    }
}

#[test]
fn folders_are_not_read_where_that_is_asked_for() {
    let memory = Arc::new(MemoryPlace::default());
    for name in ["mem://t/a=1/x.parquet", "mem://t/y.parquet"] {
        memory.put(name, Vec::new());
    }
    let places = Places::default().with_place("mem", memory);
    let inputs = ["mem://t".to_owned()];
    assert!(places.find(&inputs).unwrap().table().is_err());
    let table = places
        .without_folders()
        .find(&inputs)
        .unwrap()
        .table()
        .unwrap();
    assert_eq!(table.shards.len(), 2);
    assert!(table.shards.iter().all(|shard| shard.constants.is_empty()));
}

#[test]
fn a_column_of_the_file_keeps_its_type() {
    let value = |array: ArrayRef| array.data_type().clone();
    let constant = &shards(&["v=3/a.parquet"]).unwrap()[0].constants[0];
    assert_eq!(value(constant.rows(2).unwrap()), DataType::Int64);
    assert_eq!(constant.said().map(|said| &**said), Some("3"));
}
