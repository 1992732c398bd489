//! `clip-filter sql`: formats, scripts, recipes, errors and exit codes.

use std::{
    io::{Cursor, Write},
    path::Path,
    process::{Command, Stdio},
};

use arrow::array::RecordBatch;
use parquet::basic::ConvertedType;
use serde_json::{Value, json};

use crate::{
    program::{Place, Ran, program},
    shards,
};

const QUERY: &str = "SELECT rank, text, status FROM pairs WHERE rank BETWEEN 2 AND 4";

fn place() -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(14), 4);
    place
}

/// The program with the mock, in `place`.
fn command(place: &Place) -> Command {
    let mut command = program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        .arg("sql");
    command
}

/// One query over `in.parquet`; `args` are separated by white space.
fn sql(place: &Place, query: &str, args: &str) -> Ran {
    let mut command = command(place);
    command.args(["--input", "in.parquet", query]);
    command
        .args(args.split_whitespace())
        .output()
        .unwrap()
        .into()
}

/// As [`sql`], with what was written as bytes.
fn bytes(place: &Place, query: &str, format: &str) -> Vec<u8> {
    let mut command = command(place);
    command.args(["--input", "in.parquet", query, "--format", format]);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A run whose statements come from standard input.
fn script(place: &Place, text: &str, args: &str) -> Ran {
    let mut command = command(place);
    command.args(args.split_whitespace());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap().into()
}

/// What [`QUERY`] gives.
fn expected() -> Value {
    json!([
        {"rank": 2, "text": "a picture of thing 2", "status": "ok"},
        {"rank": 3, "text": "a picture of thing 3", "status": "null_image"},
        {"rank": 4, "text": "a picture of thing 4", "status": "ok"},
    ])
}

fn as_json(batches: &[RecordBatch]) -> Value {
    let rows = batches.iter().flat_map(|batch| {
        let (ranks, texts, states) = (
            shards::strings(batch, "rank"),
            shards::strings(batch, "text"),
            shards::strings(batch, "status"),
        );
        (0..batch.num_rows()).map(move |row| {
            let rank: i64 = ranks[row].as_ref().unwrap().parse().unwrap();
            json!({"rank": rank, "text": texts[row], "status": states[row]})
        })
    });
    rows.collect()
}

fn from_parquet(bytes: &[u8]) -> Value {
    let place = Place::new();
    let path = place.path("read.parquet");
    std::fs::write(&path, bytes).unwrap();
    as_json(&[shards::read(&path)])
}

fn from_arrow(bytes: Vec<u8>) -> Value {
    let reader = arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).unwrap();
    as_json(&reader.map(Result::unwrap).collect::<Vec<_>>())
}

fn from_ndjson(text: &str) -> Value {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.collect()
}

const CSV: &str = "rank,text,status\n2,a picture of thing 2,ok\n3,a picture of thing 3,null_image\n4,a picture of thing 4,ok\n";

#[test]
fn every_format_goes_to_standard_output() {
    let place = place();
    let text = |format| String::from_utf8(bytes(&place, QUERY, format)).unwrap();
    assert_eq!(text("csv"), CSV);
    assert_eq!(
        serde_json::from_str::<Value>(&text("json")).unwrap(),
        expected()
    );
    assert_eq!(from_ndjson(&text("ndjson")), expected());
    assert_eq!(from_parquet(&bytes(&place, QUERY, "parquet")), expected());
    assert_eq!(from_arrow(bytes(&place, QUERY, "arrow")), expected());
    assert_eq!(
        text("table"),
        "\
rank | text                 | status
-----+----------------------+-----------
   2 | a picture of thing 2 | ok
   3 | a picture of thing 3 | null_image
   4 | a picture of thing 4 | ok
(3 rows)
"
    );
}

#[test]
fn every_format_goes_to_a_file_that_is_named_after_it() {
    let place = place();
    for name in ["x.csv", "x.json", "x.ndjson", "x.parquet", "x.arrow"] {
        let ran = sql(&place, QUERY, &format!("--output {name}")).exits(0);
        let ran = ran.says(&[&format!("wrote 3 rows to {name} in ")]);
        assert_eq!(ran.stdout, "", "{name}");
    }
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    assert_eq!(text("x.csv"), CSV);
    assert_eq!(
        serde_json::from_str::<Value>(&text("x.json")).unwrap(),
        expected()
    );
    assert_eq!(from_ndjson(&text("x.ndjson")), expected());
    assert_eq!(from_parquet(&read("x.parquet")), expected());
    assert_eq!(from_arrow(read("x.arrow")), expected());
    let kept = [
        "in.parquet",
        "x.arrow",
        "x.csv",
        "x.json",
        "x.ndjson",
        "x.parquet",
    ];
    assert_eq!(place.names(), kept, "nothing else is left");
}

#[test]
fn images_survive_and_the_huggingface_schema_with_them() {
    let place = place();
    sql(&place, "SELECT * FROM pairs_shards", "-o all.parquet").exits(0);
    let (all, input) = (place.path("all.parquet"), place.path("in.parquet"));
    assert_eq!(shards::read(&all), shards::read(&input));
}

#[test]
fn an_output_that_exists_stays_unless_told_otherwise() {
    let place = place();
    std::fs::write(place.path("x.csv"), "old").unwrap();
    sql(&place, QUERY, "-o x.csv")
        .exits(1)
        .says(&["x.csv", "--overwrite"]);
    assert_eq!(std::fs::read(place.path("x.csv")).unwrap(), b"old");
    sql(&place, QUERY, "-o x.csv --overwrite").exits(0);
    assert_eq!(std::fs::read_to_string(place.path("x.csv")).unwrap(), CSV);
    sql(&place, QUERY, "-o in.parquet --overwrite")
        .exits(2)
        .says(&["over an input"]);
}

#[test]
fn a_query_that_fails_midway_leaves_the_old_output_and_nothing_else() {
    let place = place();
    for name in ["x.csv", "x.parquet"] {
        std::fs::write(place.path(name), "old").unwrap();
        let failing = "SELECT rank, CAST(text AS INT) FROM pairs";
        sql(&place, failing, &format!("-o {name} --overwrite"))
            .exits(1)
            .says(&[
                "failed to run the query",
                "Cannot cast string 'a picture of thing 0'",
            ]);
        assert_eq!(std::fs::read(place.path(name)).unwrap(), b"old", "{name}");
    }
    assert_eq!(place.names(), ["in.parquet", "x.csv", "x.parquet"]);
}

#[test]
fn a_script_runs_its_statements_in_order() {
    let place = place();
    let text = "\
-- a view is no result
CREATE VIEW good AS SELECT rank, clip_score FROM pairs WHERE status = 'ok';
SELECT count(*) AS rows FROM good;
SELECT ';' AS semicolon, max(rank) AS last FROM good";
    let ran = script(&place, text, "--input in.parquet --format csv").exits(0);
    assert_eq!(ran.stdout, "rows\n12\nsemicolon,last\n;,13\n");
    let ran = script(&place, text, "--input in.parquet --format csv -").exits(0);
    assert_eq!(ran.stdout, "rows\n12\nsemicolon,last\n;,13\n");
}

#[test]
fn a_script_stops_at_the_first_error_and_says_where() {
    let place = place();
    let text = "SELECT 1 AS one;\n\nSELECT clip_scor FROM pairs;\nSELECT 2;\n";
    let ran = script(&place, text, "--input in.parquet --format csv").exits(1);
    assert_eq!(ran.stdout, "one\n1\n");
    ran.says(&[
        "statement: 2 of 3, line 3",
        "Did you mean 'pairs.clip_score'",
    ]);
    script(&place, "-- nothing\n", "--input in.parquet")
        .exits(1)
        .says(&["failed to find a statement"]);
}

#[test]
fn a_script_has_one_result_for_one_output() {
    let place = place();
    let text = "CREATE VIEW v AS SELECT rank FROM pairs; SELECT count(*) AS n FROM v;";
    script(&place, text, "--input in.parquet -o n.csv").exits(0);
    assert_eq!(
        std::fs::read_to_string(place.path("n.csv")).unwrap(),
        "n\n14\n"
    );
    let two = "SELECT 1; SELECT 2";
    script(&place, two, "--input in.parquet -o two.csv")
        .exits(1)
        .says(&["a second result"]);
    let none = "CREATE VIEW v AS SELECT 1";
    script(&place, none, "--input in.parquet -o no.csv")
        .exits(1)
        .says(&["no statement yields rows"]);
}

#[test]
fn tables_have_names_and_a_store_is_a_table_by_itself() {
    let place = place();
    place.mock("score in.parquet --scores scores").exits(0);
    let run = |args: &[&str]| {
        Ran::from(
            command(&place)
                .args(args)
                .args(["--format", "csv"])
                .output()
                .unwrap(),
        )
    };
    let count = "SELECT count(*) AS n, count(clip_score) AS scored FROM pairs";
    assert_eq!(
        run(&["--scores", "scores", count]).exits(0).stdout,
        "n,scored\n14,12\n"
    );
    let both = ["--scores", "scores", "--input", "in.parquet", count];
    assert_eq!(run(&both).exits(0).stdout, "n,scored\n14,12\n");
    let joined =
        "SELECT count(*) AS n FROM a JOIN b ON a.uid = b.uid AND a.clip_score = b.clip_score";
    let two = ["--input", "a=in.parquet", "--input", "b=in.parquet", joined];
    assert_eq!(run(&two).exits(0).stdout, "n\n12\n");
    // One name given twice is one table.
    std::fs::copy(place.path("in.parquet"), place.path("more.parquet")).unwrap();
    let more = [
        "--input",
        "in.parquet",
        "--input",
        "more.parquet",
        "SELECT count(*) AS n FROM pairs",
    ];
    assert_eq!(run(&more).exits(0).stdout, "n\n28\n");
}

#[test]
fn rows_that_a_store_lacks_are_told() {
    let place = place();
    place.mock("score in.parquet --scores scores").exits(0);
    shards::write_pairs(&place.path("new.parquet"), &shards::good_pairs(3), 4);
    let query = "SELECT count(*) AS n, count(clip_score) AS scored FROM pairs";
    let mut run = command(&place);
    run.args([
        "--scores",
        "scores",
        "--input",
        "in.parquet",
        "--input",
        "new.parquet",
        query,
        "--format",
        "csv",
    ]);
    let ran = Ran::from(run.output().unwrap()).exits(0);
    assert_eq!(ran.stdout, "n,scored\n17,12\n");
    ran.says(&["the store has scores of 14 of the 17 rows of pairs"]);
}

#[test]
fn a_recipe_runs_with_its_parameters() {
    let place = place();
    let run = |args: &str| {
        let mut command = command(&place);
        command.args(["--input", "in.parquet", "--format", "ndjson"]);
        Ran::from(command.args(args.split_whitespace()).output().unwrap())
    };
    let ran = run("--recipe laion-threshold --param threshold=-1").exits(0);
    let kept = from_ndjson(&ran.stdout);
    assert_eq!(kept.as_array().unwrap().len(), 12);
    assert!(kept[0]["image_embedding"].is_null() && kept[0]["width"] == 16);
    let ran = run("--recipe laion-threshold --param threshold=2").exits(0);
    assert_eq!(ran.stdout, "");
    let listed = run("--recipe list").exits(0).stdout;
    assert!(
        listed.contains("laion-threshold\n") && listed.contains("--param threshold=0.28"),
        "{listed}"
    );
}

#[test]
fn explain_is_shown_whole() {
    let place = place();
    let query = "EXPLAIN SELECT clip_score FROM pairs WHERE text_length(text) > 3 AND rank < 5";
    let ran = sql(&place, query, "--batch-size 16").exits(0);
    assert!(ran.stdout.starts_with("logical_plan\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nphysical_plan\n"), "{}", ran.stdout);
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn a_closed_pipe_is_success() {
    let place = place();
    for format in ["table", "csv", "ndjson", "arrow"] {
        let query = "SELECT a.text, b.text, c.text FROM pairs a CROSS JOIN pairs b CROSS JOIN pairs c CROSS JOIN pairs d";
        let mut command = command(&place);
        command.args(["--input", "in.parquet", query, "--format", format]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().unwrap()).exits(0);
        assert_eq!(ran.stderr, "", "{format}");
    }
}

/// The report of a run, behind its call.
fn told(place: &Place, args: &[&str]) -> String {
    let ran = Ran::from(command(place).args(args).output().unwrap());
    assert_eq!(ran.stdout, "", "{args:?}");
    let stderr = place.without_path(&ran.stderr);
    format!(
        "$ clip-filter sql {}\n{stderr}-> {}\n\n",
        args.join(" "),
        ran.code.unwrap()
    )
}

#[test]
fn errors_read_as_sentences() {
    let place = place();
    std::fs::write(place.path("text.parquet"), b"no Parquet at all").unwrap();
    std::fs::create_dir(place.path("empty")).unwrap();
    let input = |query: &'static str| vec!["--input", "in.parquet", query];
    let recipe = |args: &[&'static str]| [&["--input", "in.parquet", "--recipe"], args].concat();
    let calls: Vec<Vec<&str>> = vec![
        input("SELECT clip_scor FROM pairs"),
        input("SELECT p.ranc FROM pairs p"),
        input("SELECT clip_scor(image, text) FROM pairs"),
        input("SELECT clip_score(text, image) FROM pairs"),
        input("SELECT * FROM pair"),
        input("SELECT * FROM 'in.parquet'"),
        input("SELEC rank FROM pairs"),
        input("SELECT rank FROM pairs WHERE"),
        input("SELECT rank, count(*) FROM pairs"),
        input("SELECT a.rank FROM pairs a JOIN pairs b ON rank = rank"),
        input("SELECT rank + text FROM pairs"),
        input("SELECT CAST(text AS INT) FROM pairs"),
        input("COPY (SELECT 1) TO 'x.csv'"),
        input("INSERT INTO pairs SELECT * FROM pairs"),
        input(""),
        vec!["--input", "missing.parquet", "SELECT 1"],
        vec!["--input", "text.parquet", "SELECT 1"],
        vec!["--input", "empty", "SELECT 1"],
        vec!["--scores", "missing", "SELECT 1"],
        vec!["--scores", "empty", "SELECT 1"],
        vec!["--input", "in.parquet", "--text-column", "test", "SELECT 1"],
        vec![
            "--input",
            "in.parquet",
            "--input",
            "pairs_shards=in.parquet",
            "SELECT 1",
        ],
        vec!["SELECT * FROM pairs"],
        recipe(&["laion"]),
        recipe(&["laion-threshold", "--param", "treshold=1"]),
        recipe(&["class-quota"]),
        recipe(&["uid-list"]),
        recipe(&["laion-threshold", "SELECT 1"]),
        vec!["--recipe", "laion-threshold"],
        vec![
            "--input",
            "in.parquet",
            "--param",
            "threshold=1",
            "SELECT 1",
        ],
        vec![
            "--input",
            "in.parquet",
            "--format",
            "csv",
            "SELECT image FROM pairs",
        ],
    ];
    let all: String = calls.iter().map(|args| told(&place, args)).collect();
    insta::assert_snapshot!(all);
    assert!(!place.path("x.csv").exists());
}

#[test]
fn a_table_without_pairs_has_no_recipe() {
    let place = place();
    let plain = shards::project(&shards::read(&place.path("in.parquet")), &["uid", "rank"]);
    shards::write(Path::new(&place.path("plain.parquet")), &plain);
    let told = told(
        &place,
        &["--input", "plain.parquet", "--recipe", "laion-threshold"],
    );
    assert!(
        told.contains("there is no table of pairs") && told.ends_with("-> 2\n\n"),
        "{told}"
    );
}

#[test]
fn parquet_gets_milliseconds_for_seconds_and_intervals_that_it_can_hold() {
    let place = place();
    let times = "SELECT arrow_cast('2020-01-02T03:04:05', 'Timestamp(Second, None)') AS at, arrow_cast('10:00:00', 'Time32(Second)') AS clock FROM pairs LIMIT 2";
    std::fs::write(place.path("piped.parquet"), bytes(&place, times, "parquet")).unwrap();
    sql(&place, times, "--output named.parquet").exits(0);
    for name in ["piped.parquet", "named.parquet"] {
        let footer = shards::footer(&place.path(name));
        let columns = footer.file_metadata().schema_descr().columns().iter();
        let kinds: Vec<bool> = columns
            .map(|column| column.logical_type_ref().is_some())
            .collect();
        assert_eq!(kinds, [true, true], "other readers see times: {name}");
        let rows = shards::read(&place.path(name));
        assert_eq!(
            shards::strings(&rows, "at")[0].as_deref(),
            Some("2020-01-02T03:04:05")
        );
        assert_eq!(
            shards::strings(&rows, "clock")[1].as_deref(),
            Some("10:00:00")
        );
    }
    let interval = "SELECT INTERVAL '2 months 1 day 1500 milliseconds' AS since";
    std::fs::write(
        place.path("piped.parquet"),
        bytes(&place, interval, "parquet"),
    )
    .unwrap();
    sql(&place, interval, "--output since.parquet").exits(0);
    for name in ["piped.parquet", "since.parquet"] {
        let footer = shards::footer(&place.path(name));
        let since = footer.file_metadata().schema_descr().column(0);
        assert_eq!(since.converted_type(), ConvertedType::INTERVAL, "{name}");
        let again = format!("sql --format csv --input {name}");
        let again = place.mock_with(
            &again,
            &["SELECT since = INTERVAL '2 months 1 day 1500 milliseconds' AS same FROM pairs"],
        );
        assert_eq!(again.exits(0).stdout, "same\ntrue\n", "{name}");
    }
    let interval = "SELECT INTERVAL '1 microsecond' AS since";
    for args in ["--format parquet", "--output fine.parquet"] {
        sql(&place, interval, args)
            .exits(1)
            .says(&["column: since", "CAST(... AS VARCHAR)"]);
    }
    assert!(!place.path("fine.parquet").exists());
    sql(&place, interval, "--format csv").exits(0);
}

#[test]
fn text_in_double_quotes_is_told_apart_from_a_column() {
    let place = place();
    let hint = "single quotes, 'a cat'";
    sql(
        &place,
        "SELECT count(*) FROM pairs WHERE text = \"a cat\"",
        "",
    )
    .exits(2)
    .says(&[hint]);
    place
        .mock_with("in.parquet --dry-run --where", &["text = \"a cat\""])
        .exits(2)
        .says(&[hint, "condition: text = \"a cat\""]);
    let other = sql(&place, "SELECT rnk FROM pairs", "").exits(2);
    assert!(!other.stderr.contains("single quotes"), "{}", other.stderr);
}

#[test]
fn the_bytes_of_an_image_are_counted() {
    let place = place();
    let counted = sql(
        &place,
        "SELECT octet_length(image) AS image, octet_length(text) AS text FROM pairs WHERE rank = 0",
        "--format csv",
    );
    let size = crate::pictures::bmp(0).len();
    let text = "a picture of thing 0".len();
    assert_eq!(
        counted.exits(0).stdout,
        format!("image,text\n{size},{text}\n")
    );
    let summary = place
        .mock_with(
            "in.parquet --dry-run --json --where",
            &["octet_length(image) > 100000"],
        )
        .exits(0)
        .json();
    assert_eq!(summary["rows_kept"], 0);
}

#[test]
fn a_shard_of_a_store_that_is_gone_is_named() {
    let place = Place::new();
    for name in ["a.parquet", "b.parquet"] {
        let seed = u32::from(name.as_bytes()[0]);
        let pairs: Vec<_> = shards::good_pairs(seed).split_off(90);
        shards::write_pairs(&place.path(name), &pairs, 4);
    }
    place
        .mock("score a.parquet b.parquet --scores scores")
        .exits(0);
    std::fs::remove_file(place.path("a.parquet")).unwrap();
    let query = "SELECT count(clip_score) n FROM pairs";
    place
        .mock_with("sql --scores scores", &[query])
        .exits(1)
        .says(&[
            "a.parquet",
            "store: scores",
            "is not there any more",
            "--input PATH",
        ]);
    let left = place.mock_with(
        "sql --scores scores --input b.parquet --format csv",
        &[query],
    );
    assert_eq!(left.exits(0).stdout, "n\n8\n");
}
