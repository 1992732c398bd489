//! Conditions on times before 1677 and after 2262, which nanoseconds do not reach: the rows that DuckDB gives.

use std::{path::Path, process::Command, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, Date32Array, Date64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    },
    datatypes::Int64Type,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::{
    program::{Place, ROOT, program},
    shards,
    world::{Mock, Opened, Scores, World},
};

/// What is stored, as text; the third is the first midnight whose nanoseconds do not fit, and so is the seventh.
const WORDS: [Option<&str>; 10] = [
    Some("1400-06-01 00:00:00"),
    Some("1600-01-01 00:00:00"),
    Some("1677-09-21 00:00:00"),
    Some("1969-12-31 23:59:59.999999"),
    Some("1970-01-01 00:00:00"),
    Some("2020-02-29 12:30:00.123456"),
    Some("2262-04-12 00:00:00"),
    Some("3000-01-01 00:00:00"),
    Some("9999-12-31 23:59:59"),
    None,
];

/// The same in microseconds since 1970.
const MICROS: [Option<i64>; 10] = [
    Some(-17_974_396_800_000_000),
    Some(-11_676_096_000_000_000),
    Some(-9_223_372_800_000_000),
    Some(-1),
    Some(0),
    Some(1_582_979_400_123_456),
    Some(9_223_372_800_000_000),
    Some(32_503_680_000_000_000),
    Some(253_402_300_799_000_000),
    None,
];

/// Conditions on a column, and the rows that fulfil them where T is in microseconds, in milliseconds and in days.
const CONDITIONS: [(&str, [&str; 3]); 38] = [
    ("{} < timestamp '1600-01-01'", ["0", "0", "0"]),
    ("{} <= timestamp '1600-01-01'", ["0 1", "0 1", "0 1"]),
    ("timestamp '1600-01-01' > {}", ["0", "0", "0"]),
    ("{} = timestamp '3000-01-01'", ["7", "7", "7"]),
    (
        "{} <> timestamp '3000-01-01'",
        ["0 1 2 3 4 5 6 8", "0 1 2 3 4 5 6 8", "0 1 2 3 4 5 6 8"],
    ),
    (
        "{} is distinct from timestamp '3000-01-01'",
        [
            "0 1 2 3 4 5 6 8 9",
            "0 1 2 3 4 5 6 8 9",
            "0 1 2 3 4 5 6 8 9",
        ],
    ),
    (
        "not ({} > timestamp '2262-04-12')",
        ["0 1 2 3 4 5 6", "0 1 2 3 4 5 6", "0 1 2 3 4 5 6"],
    ),
    ("{} < date '1600-01-01'", ["0", "0", "0"]),
    ("{} = date '3000-01-01'", ["7", "7", "7"]),
    ("{} < '1600-01-01'", ["0", "0", "0"]),
    ("{} > timestamp '9999-12-31 23:59:58'", ["8", "8", ""]),
    (
        "{} between timestamp '1500-01-01' and timestamp '2262-04-12'",
        ["1 2 3 4 5 6", "1 2 3 4 5 6", "1 2 3 4 5 6"],
    ),
    (
        "{} not between date '1500-01-01' and date '2500-01-01'",
        ["0 7 8", "0 7 8", "0 7 8"],
    ),
    (
        "{} between '1600-01-01' and '3000-01-01'",
        ["1 2 3 4 5 6 7", "1 2 3 4 5 6 7", "1 2 3 4 5 6 7"],
    ),
    (
        "{} in (timestamp '1600-01-01', timestamp '3000-01-01', null)",
        ["1 7", "1 7", "1 7"],
    ),
    (
        "{} not in (date '1600-01-01', date '1970-01-01')",
        ["0 2 3 5 6 7 8", "0 2 3 5 6 7 8", "0 2 3 5 6 7 8"],
    ),
    ("{} in ('1600-01-01', '1970-01-01')", ["1 4", "1 4", "1 4"]),
    (
        "{} < cast('1600-01-01 00:00:01' as timestamp)",
        ["0 1", "0 1", "0 1"],
    ),
    (
        "{} >= '1600-01-01'::timestamp",
        ["1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7 8"],
    ),
    ("{} = timestamp '2020-02-29 12:30:00.123456'", ["5", "", ""]),
    (
        "{} <= timestamp '1969-12-31 23:59:59.999999'",
        ["0 1 2 3", "0 1 2 3", "0 1 2 3"],
    ),
    ("{} < now()", ["0 1 2 3 4 5", "0 1 2 3 4 5", "0 1 2 3 4 5"]),
    (
        "{} < now() - interval '100 years'",
        ["0 1 2", "0 1 2", "0 1 2"],
    ),
    (
        "{} + interval '1 day' > timestamp '3000-01-01'",
        ["7 8", "7 8", "7 8"],
    ),
    (
        "{} - interval '1' year < timestamp '1599-06-01'",
        ["0 1", "0 1", "0 1"],
    ),
    (
        "{} < timestamp '1600-01-01' + interval '1 month'",
        ["0 1", "0 1", "0 1"],
    ),
    (
        "{} < date '1600-01-01' + interval '1 month'",
        ["0 1", "0 1", "0 1"],
    ),
    ("cast({} as date) = date '3000-01-01'", ["7", "7", "7"]),
    (
        "cast({} as timestamp) < timestamp '1650-01-01'",
        ["0 1", "0 1", "0 1"],
    ),
    ("extract(year from {}) > 2262", ["7 8", "7 8", "7 8"]),
    (
        "case when {} < timestamp '1650-01-01' then true else n = 5 end",
        ["0 1 5", "0 1 5", "0 1 5"],
    ),
    (
        "{} = us",
        ["0 1 2 3 4 5 6 7 8", "0 1 2 4 6 7 8", "0 1 2 4 6 7"],
    ),
    ("{} < ms", ["", "", "3 5 8"]),
    ("{} <> day", ["3 5 8", "3 5 8", ""]),
    (
        "{} >= utc",
        ["0 1 2 3 4 5 6 7 8", "0 1 2 4 6 7 8", "0 1 2 4 6 7"],
    ),
    (
        "{} = cast(words as timestamp)",
        ["0 1 2 3 4 5 6 7 8", "0 1 2 4 6 7 8", "0 1 2 4 6 7"],
    ),
    ("{} > try_cast(words as timestamp)", ["", "", ""]),
    (
        "{} is null or {} > timestamp '2262-04-12'",
        ["7 8 9", "7 8 9", "7 8 9"],
    ),
];

/// Columns of each of the three.
const COLUMNS: [&[&str]; 3] = [&["us", "utc"], &["ms"], &["day", "day64"]];

/// Conditions on columns of nanoseconds, which have rows 3 to 5; those of `fine` are 789 later.
const NANOSECONDS: [(&str, &str); 14] = [
    ("ns < timestamp '1600-01-01'", ""),
    ("not (ns < timestamp '1600-01-01')", "3 4 5"),
    ("ns > date '1600-01-01' and ns < '9000-01-01'", "3 4 5"),
    ("ns in (timestamp '3000-01-01', date '1970-01-01')", "4"),
    ("ns <> timestamp '3000-01-01'", "3 4 5"),
    (
        "ns between timestamp '0001-01-01' and timestamp '1970-01-01'",
        "3 4",
    ),
    ("ns = us and ns > day", "3 5"),
    ("fine = timestamp '2020-02-29 12:30:00.123456789'", "5"),
    ("fine > timestamp '2020-02-29 12:30:00.123456788'", "5"),
    ("fine > '2020-02-29 12:30:00.123456789'", ""),
    (
        "fine = timestamp '2020-02-29 12:30:00.123456' + interval '789 nanoseconds'",
        "5",
    ),
    // Finer than the column: between two of its values.
    (
        "us < timestamp '2020-02-29 12:30:00.123456001' and us > timestamp '2020-02-29 12:30:00.123455999'",
        "5",
    ),
    ("us > timestamp '9999-12-31 23:59:58.999999999'", "8"),
    ("fine > us", "3 4 5"),
];

fn table() -> RecordBatch {
    let parts = |size: i64| MICROS.map(|micros| micros.map(|micros| micros.div_euclid(size)));
    let near = |more: i64| {
        let nanos = MICROS
            .iter()
            .enumerate()
            .map(move |(row, micros)| match row {
                3..=5 => micros.map(|micros| micros * 1_000 + more),
                _ => None,
            });
        TimestampNanosecondArray::from_iter(nanos)
    };
    let days = parts(86_400_000_000);
    let midnights = days.map(|day| day.map(|day| day * 86_400_000));
    let day = |day: Option<i64>| day.map(|day| i32::try_from(day).unwrap());
    let micros = || TimestampMicrosecondArray::from_iter(MICROS);
    let pairs = shards::good_pairs(10);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("image", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("n", Arc::new(Int64Array::from_iter_values(0..10))),
        ("us", Arc::new(micros())),
        ("utc", Arc::new(micros().with_timezone("UTC"))),
        (
            "ms",
            Arc::new(TimestampMillisecondArray::from_iter(parts(1_000))),
        ),
        ("day", Arc::new(Date32Array::from_iter(days.map(day)))),
        ("day64", Arc::new(Date64Array::from_iter(midnights))),
        ("ns", Arc::new(near(0))),
        ("fine", Arc::new(near(789))),
        ("words", Arc::new(StringArray::from_iter(WORDS))),
    ];
    shards::batch(columns)
}

/// Every condition on every column, and its rows.
fn conditions() -> impl Iterator<Item = (String, &'static str)> {
    let on_columns = CONDITIONS.iter().flat_map(|(condition, rows)| {
        let each = COLUMNS.iter().zip(rows);
        each.flat_map(move |(columns, rows)| {
            let on = move |column: &&str| (on_column(condition, column), *rows);
            columns.iter().map(on)
        })
    });
    let fine = NANOSECONDS.iter();
    on_columns.chain(fine.map(|(condition, rows)| ((*condition).to_owned(), *rows)))
}

fn on_column(condition: &str, column: &str) -> String {
    condition.replace("{}", column)
}

fn numbers(batch: &RecordBatch) -> String {
    let column = batch.column_by_name("n").unwrap();
    let rows = column.as_primitive::<Int64Type>().values().iter();
    rows.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Decides `conditions` while shards are read.
fn assert_rows(session: &Opened<'_>, conditions: impl Iterator<Item = (String, &'static str)>) {
    for (condition, expected) in conditions {
        let query = format!("SELECT n FROM pairs WHERE {condition}");
        assert_eq!(numbers(&session.rows(&query)), expected, "{query}");
    }
}

/// Decides every condition of rows that are read.
fn assert_values(session: &Opened<'_>) {
    let all: Vec<(String, &str)> = conditions().collect();
    for some in all.chunks(40) {
        let shown = some.iter().enumerate();
        let shown = shown.map(|(at, (condition, _))| format!("{condition} AS c{at}"));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let rows = session.rows(&format!("SELECT n, {shown} FROM pairs ORDER BY n"));
        for (at, (condition, expected)) in some.iter().enumerate() {
            let fits = rows.column_by_name(&format!("c{at}")).unwrap();
            let kept = arrow::compute::filter_record_batch(&rows, fits.as_boolean()).unwrap();
            assert_eq!(numbers(&kept), *expected, "{condition}");
        }
    }
}

#[test]
fn queries_decide_by_the_true_times() {
    let world = World::new().with("pairs", &[table()], 4);
    let encoded = world.open(Scores::Encoded, Arc::new(Mock::refusing()));
    assert_rows(&encoded, conditions());
    assert_values(&encoded);
    world.score("pairs");
    let stored = world.open(Scores::Stored, Arc::new(Mock::refusing()));
    assert_rows(&stored, conditions().step_by(3));
    for (query, expected) in [
        (
            "SELECT n FROM pairs WHERE us IN (SELECT ns FROM pairs) ORDER BY n",
            "3 4 5",
        ),
        (
            "SELECT n FROM pairs WHERE day NOT IN (SELECT us FROM pairs WHERE n < 8) ORDER BY n",
            "3 5 8",
        ),
        (
            "SELECT a.n FROM pairs a JOIN pairs b ON a.us = b.ns WHERE a.us >= timestamp '1600-01-01' ORDER BY 1",
            "3 4 5",
        ),
    ] {
        assert_eq!(numbers(&stored.rows(query)), expected, "{query}");
    }
}

/// What is left of a condition may name no column, and types may be fixed before times are looked at.
#[test]
fn what_is_made_of_times_keeps_working() {
    let world = World::new().with("pairs", &[table()], 4);
    world.score("pairs");
    for scores in [Scores::Encoded, Scores::Stored] {
        let session = world.open(scores, Arc::new(Mock::refusing()));
        for (query, expected) in [
            (
                "SELECT n FROM pairs WHERE us NOT IN (timestamp '1600-01-01', NULL)",
                "",
            ),
            (
                "SELECT n FROM pairs WHERE n NOT IN (1, NULL) OR us < timestamp '1500-01-01'",
                "0",
            ),
            (
                "SELECT p.n FROM pairs p JOIN (VALUES (timestamp '1600-01-01'), (timestamp '1970-01-01')) AS v(t) ON us = t ORDER BY n",
                "1 4",
            ),
            (
                "WITH RECURSIVE days(t) AS (SELECT timestamp '2020-01-01' UNION ALL SELECT t + interval '1 day' FROM days WHERE t < timestamp '2020-01-04') SELECT count(*) AS n FROM days",
                "4",
            ),
            (
                "SELECT count(*) AS n FROM (SELECT timestamp '2020-01-01' AS t UNION SELECT now()) WHERE t < timestamp '3000-01-01'",
                "2",
            ),
            (
                "SELECT n FROM pairs WHERE date_bin(interval '1 day', ns, timestamp '2001-01-01') = date '2020-02-29'",
                "5",
            ),
        ] {
            assert_eq!(numbers(&session.rows(query)), expected, "{query}");
        }
    }
}

/// Writes [`table`] in row groups of four rows.
fn write(path: &Path, statistics: EnabledStatistics) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(4))
        .set_statistics_enabled(statistics)
        .build();
    shards::write_with(path, &table(), properties);
}

#[test]
fn runs_decide_by_the_true_times() {
    let place = Place::new();
    write(&place.path("none.parquet"), EnabledStatistics::None);
    write(&place.path("page.parquet"), EnabledStatistics::Page);
    for (input, column) in [
        ("none.parquet", 0),
        ("page.parquet", 1),
        ("page.parquet", 2),
    ] {
        let name = COLUMNS[column][0];
        for at in [0, 3, 7, 9, 11, 12, 15, 25, 33] {
            let (condition, rows) = CONDITIONS[at];
            let condition = on_column(condition, name);
            let args = format!("{input} out.parquet --keep 1 --overwrite --where");
            // By the columns of the shard alone, and together with a score.
            for condition in [
                condition.clone(),
                format!("({condition}) = (clip_score > -2)"),
            ] {
                place.mock_with(&args, &[&condition]).exits(0);
                let kept = shards::read(&place.path("out.parquet"));
                assert_eq!(numbers(&kept), rows[column], "{input}: {condition}");
            }
        }
    }
    let condition = ["us < timestamp '1600-01-01'"];
    let online = program()
        .current_dir(place.dir())
        .args("page.parquet - --online --keep 1 --json --model mock --where".split(' '))
        .args(condition)
        .output()
        .unwrap();
    let report = String::from_utf8(online.stderr).unwrap();
    assert!(report.contains("\"rows_kept\":1,"), "{report}");
    place.mock("score page.parquet --scores scores").exits(0);
    let explained = place
        .mock_with(
            "explain page.parquet --scores scores --json --where",
            &condition,
        )
        .exits(0)
        .json();
    assert_eq!(explained["row"]["reference"], "page.parquet:0");
}

#[test]
fn what_is_no_time_is_named() {
    let place = Place::new();
    write(&place.path("in.parquet"), EnabledStatistics::Page);
    for condition in [
        "us < timestamp '1600-13-01'",
        "us < '1600-13-01'",
        "us in (timestamp '1970-01-01', '1600-13-01')",
        "day < timestamp '1600-13-01'",
    ] {
        place
            .mock_with("in.parquet out.parquet --where", &[condition])
            .exits(1)
            .says(&["1600-13-01"]);
        let query = format!("select n from pairs where {condition}");
        place
            .mock_with("sql --input in.parquet", &[&query])
            .exits(1)
            .says(&["1600-13-01"]);
    }
}

#[test]
fn duckdb_gives_the_same_rows() {
    let place = Place::new();
    let file = place.path("in.parquet");
    write(&file, EnabledStatistics::Page);
    let interpreter =
        std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut duckdb = Command::new(interpreter);
    duckdb
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(Path::new(ROOT).join("tests/interop/times.py"))
        .arg(&file);
    let mut expected = String::new();
    for (condition, rows) in &CONDITIONS {
        // Date64 is a plain number to it.
        for (column, rows) in ["us", "utc", "ms", "day"]
            .iter()
            .zip([0, 0, 1, 2].map(|of| rows[of]))
        {
            duckdb.arg(on_column(condition, column));
            expected.push_str(rows);
            expected.push('\n');
        }
    }
    match duckdb.output() {
        Ok(given) if given.status.success() => {
            assert_eq!(String::from_utf8(given.stdout).unwrap(), expected);
        }
        _ => eprintln!("skipped: no Python with DuckDB (set CLIP_FILTER_TEST_PYTHON to one)"),
    }
}
