//! Scripts and the shell against made-up answers.

use std::path::PathBuf;

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::{
    array::{ArrayRef, BinaryArray, Int64Array},
    datatypes::Schema,
};
use clap::ValueEnum;

use super::{
    shell::{Lines, Typed},
    *,
};

/// Answers `rows N`, `bytes`, `view`, `late` (fails after a batch) and `forever`; fails at anything else.
#[derive(Default)]
struct Fake {
    dropped: Arc<AtomicBool>,
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn ids(rows: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

#[async_trait]
impl Queries for Fake {
    fn recipe(&self, name: &str, _: &[Param]) -> Result<String> {
        Ok(format!("recipe {name}"))
    }

    async fn query(&self, sql: &str) -> Result<QueryRows> {
        let late = Err(Error::input("decode").with("row", 1));
        match sql {
            "view" => Ok(rows_of(RecordBatch::new_empty(Arc::new(Schema::empty())))),
            "bytes" => {
                let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"x".as_slice()]));
                Ok(rows_of(
                    RecordBatch::try_from_iter([("image", bytes)]).unwrap(),
                ))
            }
            "late" => Ok(QueryRows {
                schema: ids(1).schema(),
                stored: Vec::new(),
                row_group_bytes: u64::MAX,
                batches: futures::stream::iter([Ok(ids(1)), late]).boxed(),
            }),
            "forever" => {
                let guard = SetOnDrop(Arc::clone(&self.dropped));
                let wait = async move {
                    let _guard = guard;
                    std::future::pending().await
                };
                Ok(QueryRows {
                    schema: ids(1).schema(),
                    stored: Vec::new(),
                    row_group_bytes: u64::MAX,
                    batches: futures::stream::once(wait).boxed(),
                })
            }
            _ => match sql.strip_prefix("rows ").and_then(|n| n.parse().ok()) {
                Some(rows) => Ok(rows_of(ids(rows))),
                None => Err(Error::usage("plan the query").with("sql", sql)),
            },
        }
    }

    fn tables(&self) -> Vec<String> {
        vec!["pairs".to_owned(), "scores".to_owned()]
    }

    async fn describe(&self, table: &str) -> Result<Vec<Described>> {
        if table != "pairs" {
            return Err(Error::usage("find the table").with("table", table));
        }
        Ok(vec![Described {
            column: "text".to_owned(),
            data_type: "Utf8".to_owned(),
            origin: "file".to_owned(),
        }])
    }
}

/// Standard output that keeps what is written, or that nobody reads.
#[derive(Clone, Default)]
struct Stdout {
    bytes: Arc<Mutex<Vec<u8>>>,
    closed: bool,
}

impl Stdout {
    fn pipe(&self) -> Pipe {
        Pipe::new(Box::new(self.clone()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `test` with a session; Ctrl-C comes at once where `interrupted`.
fn with_session<T>(fake: &Fake, interrupted: bool, test: impl FnOnce(&Session<'_>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let interrupted = move || -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if !interrupted {
                std::future::pending::<()>().await;
            }
            // The query gets as far as it can first.
            tokio::task::yield_now().await;
        })
    };
    test(&Session {
        queries: fake,
        runtime: &runtime,
        interrupted: &interrupted,
    })
}

fn result_args(output: Option<PathBuf>, format: Option<format::Format>) -> ResultArgs {
    ResultArgs {
        output,
        overwrite: false,
        format,
    }
}

fn script(text: &str, args: &ResultArgs, stdout: &Stdout) -> Result<u64> {
    let mut results = Results::try_new(args, stdout.pipe(), false, &[])?;
    with_session(&Fake::default(), false, |session| {
        script::run(session, text, &mut results)
    })
}

#[test]
fn a_script_runs_its_statements_in_order() {
    let stdout = Stdout::default();
    let args = result_args(None, Some(format::Format::Csv));
    assert_eq!(
        script("view; rows 2; -- one more\nrows 1", &args, &stdout).unwrap(),
        3
    );
    assert_eq!(stdout.text(), "id\n0\n1\nid\n0\n");
}

#[test]
fn a_script_stops_at_the_first_error_and_names_the_statement() {
    let stdout = Stdout::default();
    let args = result_args(None, Some(format::Format::Ndjson));
    let error = script("rows 1;\n\nnonsense;\nrows 2;", &args, &stdout).unwrap_err();
    assert_eq!(
        error.report(),
        "failed to plan the query\n  sql: nonsense\n  statement: 2 of 3, line 3"
    );
    assert_eq!(stdout.text(), "{\"id\":0}\n");
    let alone = script("nonsense", &args, &stdout).unwrap_err();
    assert_eq!(alone.report(), "failed to plan the query\n  sql: nonsense");
    assert!(script(" -- nothing", &args, &stdout).is_err());
}

#[test]
fn a_closed_pipe_is_success_and_ends_the_script() {
    let stdout = Stdout {
        closed: true,
        ..Stdout::default()
    };
    for format in format::Format::value_variants() {
        let args = result_args(None, Some(*format));
        assert_eq!(
            script("rows 3; nonsense", &args, &stdout).unwrap(),
            0,
            "{format:?}"
        );
    }
}

#[test]
fn an_output_appears_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let stdout = Stdout::default();
    for name in [
        "a.csv",
        "a.json",
        "a.ndjson",
        "a.arrow",
        "a.parquet",
        "a.txt",
        "parts",
    ] {
        let args = result_args(Some(path(name)), None);
        assert_eq!(script("view; rows 2", &args, &stdout).unwrap(), 2);
        assert!(path(name).exists(), "{name}");
        let again = script("rows 2", &args, &stdout).unwrap_err();
        assert!(again.report().contains("it exists"), "{name}");
    }
    assert_eq!(
        std::fs::read_to_string(path("a.csv")).unwrap(),
        "id\n0\n1\n"
    );
    assert!(path("parts/part-00000.parquet").exists());
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    for name in ["b.csv", "b.parquet", "b"] {
        assert!(script("late", &result_args(Some(path(name)), None), &stdout).is_err());
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        before,
        "nothing is left over"
    );
    assert_eq!(stdout.text(), "");
}

#[test]
fn an_output_takes_one_result() {
    let dir = tempfile::tempdir().unwrap();
    let args = |name: &str| result_args(Some(dir.path().join(name)), None);
    let stdout = Stdout::default();
    let error = script("rows 1; rows 2", &args("a.csv"), &stdout).unwrap_err();
    assert!(
        error.report().contains("a second result"),
        "{}",
        error.report()
    );
    let error = script("view", &args("b.csv"), &stdout).unwrap_err();
    assert!(error.report().contains("no statement yields rows"));
    let arrow = result_args(None, Some(format::Format::Arrow));
    assert!(script("rows 1; rows 2", &arrow, &stdout).is_err());
}

#[test]
fn places_that_cannot_take_a_format_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &ResultArgs, is_terminal| {
        let results = Results::try_new(args, Stdout::default().pipe(), is_terminal, &[]);
        results.err().map(|error| error.to_string())
    };
    for format in [format::Format::Parquet, format::Format::Arrow] {
        let args = result_args(None, Some(format));
        assert_eq!(
            refused(&args, true).unwrap(),
            "write binary data to a terminal"
        );
        assert_eq!(refused(&args, false), None);
    }
    let csv = Some(format::Format::Csv);
    let directory = refused(&result_args(Some(dir.path().into()), csv), false).unwrap();
    assert!(
        directory.starts_with("write the output: it is a directory"),
        "{directory}"
    );
    let device = refused(&result_args(Some("/dev/null".into()), csv), false).unwrap();
    assert!(
        device.starts_with("write the output: it is no regular file"),
        "{device}"
    );
}

#[test]
fn a_query_that_is_stopped_drops_its_stream() {
    let fake = Fake::default();
    let stdout = Stdout::default();
    let mut results =
        Results::try_new(&result_args(None, None), stdout.pipe(), false, &[]).unwrap();
    let error = with_session(&fake, true, |session| {
        script::run(session, "forever", &mut results)
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(fake.dropped.load(Ordering::SeqCst));
}

/// Types what it was given.
struct Typist {
    lines: std::vec::IntoIter<Typed>,
    prompts: Vec<String>,
    remembered: Vec<String>,
}

impl Lines for Typist {
    fn read(&mut self, prompt: &str) -> Result<Typed> {
        self.prompts.push(prompt.to_owned());
        Ok(self.lines.next().unwrap_or(Typed::End))
    }

    fn remember(&mut self, entry: &str) {
        self.remembered.push(entry.to_owned());
    }
}

/// What a shell did: stdout, what it told, and its typist.
fn shell(lines: &[&str], interrupted: bool, stdout: Stdout) -> (String, Vec<String>, Typist) {
    let typed: Vec<Typed> = lines
        .iter()
        .map(|line| match *line {
            "^C" => Typed::Dropped,
            line => Typed::Line(line.to_owned()),
        })
        .collect();
    let mut typist = Typist {
        lines: typed.into_iter(),
        prompts: Vec::new(),
        remembered: Vec::new(),
    };
    let mut told = Vec::new();
    with_session(&Fake::default(), interrupted, |session| {
        let mut tell = |line: &str| told.push(line.to_owned());
        let mut shell = Shell::new(session, stdout.pipe(), format::Format::Csv, &mut tell);
        shell.run(&mut typist).unwrap();
    });
    (stdout.text(), told.split_off(1), typist)
}

#[test]
fn a_statement_may_take_several_lines() {
    let (out, told, typist) = shell(
        &["rows", "  2 -- no; end", "; rows 1; ro"],
        false,
        Stdout::default(),
    );
    assert_eq!((out.as_str(), told.len()), ("", 1), "{told:?}");
    let (out, told, _) = shell(
        &["rows 2; rows 1; ro", "ws 3", "^C", "rows 1;"],
        false,
        Stdout::default(),
    );
    assert_eq!(out, "id\n0\n1\nid\n0\nid\n0\n");
    assert_eq!(told, [""; 0]);
    assert_eq!(
        typist.prompts,
        [
            "clip-filter> ",
            "        ...> ",
            "        ...> ",
            "clip-filter> "
        ]
    );
    assert_eq!(typist.remembered, ["rows\n  2 -- no; end\n; rows 1;"]);
}

#[test]
fn an_error_is_told_and_the_shell_goes_on() {
    let (out, told, _) = shell(
        &["nonsense; rows 5;", "late;", "bytes;", "rows 1;"],
        false,
        Stdout::default(),
    );
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], "error: failed to plan the query\n  sql: nonsense");
    assert!(told[2].contains("a column is binary"));
    assert!(out.ends_with("id\n0\n"));
}

#[test]
fn commands_begin_with_a_backslash() {
    let lines = [
        r"\d",
        r"\d pairs;",
        r"\d none",
        r"\format json",
        "rows 1;",
        r"\format parquet",
        r"\format xml",
        r"\nonsense",
        r"\q",
        "rows 1;",
    ];
    let (out, told, typist) = shell(&lines, false, Stdout::default());
    assert_eq!(
        out,
        "table\n------\npairs\nscores\n(2 rows)\ncolumn | type | from\n-------+------+-----\ntext   | Utf8 | file\n(1 row)\n[{\"id\":0}]\n"
    );
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(
        told[3],
        "error: failed to understand \\nonsense\n  try: \\? shows what there is"
    );
    assert_eq!(typist.remembered[1], r"\d pairs;");
}

#[test]
fn timing_is_told_when_it_is_on() {
    let (_, told, _) = shell(
        &[r"\timing", "rows 2;", r"\timing off", "rows 2;"],
        false,
        Stdout::default(),
    );
    assert_eq!(told.len(), 3);
    assert!(
        told[1].starts_with("(2 rows, 0.0") && told[1].ends_with(" s)"),
        "{}",
        told[1]
    );
}

#[test]
fn ctrl_c_stops_the_statement_and_not_the_shell() {
    let (_, told, typist) = shell(&["forever;", "forever; rows 1;"], true, Stdout::default());
    assert_eq!(told, ["stopped", "stopped"]);
    assert_eq!(typist.prompts.len(), 3);
}

#[test]
fn a_shell_whose_output_is_closed_ends() {
    let stdout = Stdout {
        closed: true,
        ..Stdout::default()
    };
    let (_, told, typist) = shell(&["rows 1;", "rows 1;"], false, stdout);
    assert_eq!(told, [""; 0]);
    assert_eq!(typist.prompts.len(), 1);
}
