//! Secrets that a run is told are in nothing that it writes or says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, StringArray},
    datatypes::DataType,
};

use crate::{
    program::{Place, ROOT, program},
    runtime,
    shards::{self, Pair},
};

const MOCK: Option<&str> = Some("mock");
const PASSWORD: &str = "open5esame";
const SIGNATURE: &str = "5ba7c0ffee";
const SESSION: &str = "FwoGZX1vYXdz";
const TOKEN: &str = "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";
const OF_USER: &str = "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";

/// A URL with everything that is to stay unsaid.
fn url() -> String {
    format!(
        "https://reader:{PASSWORD}@h.example/a.parquet?X-Amz-Date=20260101T000000Z&X-Amz-Security-Token={SESSION}&X-Amz-Signature={SIGNATURE}"
    )
}

fn condition() -> String {
    format!("text <> '{}' AND width > 0", url())
}

/// A shard of 20 rows, three of them bad: one is an image at a URL.
fn place() -> Place {
    let place = Place::new();
    let mut pairs = shards::mixed_pairs(19);
    pairs.push(Pair::at(&url()));
    shards::write_pairs(&place.path("in.parquet"), &pairs, 10);
    place
}

/// Runs the program in `place`; what it said, stdout first.
#[track_caller]
fn run(place: &Place, code: i32, args: &[&str], model: Option<&str>) -> String {
    let mut command: Command = program();
    command
        .current_dir(place.dir())
        .env("HF_TOKEN", OF_USER)
        .envs(model.map(|model| ("CLIP_FILTER_MODEL", model)))
        .args(args);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{said}");
    check(&format!("{args:?} says"), &said);
    said
}

#[track_caller]
fn check(what: &str, text: &str) {
    for secret in [PASSWORD, SIGNATURE, SESSION, TOKEN, OF_USER] {
        assert!(!text.contains(secret), "{what} {secret}:\n{text}");
    }
}

/// All files below `directory` but what the test laid there.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().unwrap().to_str().unwrap() {
            "in.parquet" | "run.toml" | TOKEN => {}
            _ if path.is_dir() => files(&path, found),
            _ => found.push(path),
        }
    }
}

/// Checks names and bytes of all files that were written, and the texts that Parquet has compressed; their names.
#[track_caller]
fn check_files(place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    files(place.dir(), &mut found);
    let mut names = Vec::new();
    for path in &found {
        let name = path.strip_prefix(place.dir()).unwrap().to_str().unwrap();
        check("a name is", name);
        check(name, &String::from_utf8_lossy(&fs::read(path).unwrap()));
        if name.ends_with(".parquet") {
            let rows = shards::read(path);
            for field in rows.schema().fields() {
                if let DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View = field.data_type()
                {
                    let texts = shards::strings(&rows, field.name());
                    check(name, &format!("{texts:?}"));
                }
            }
        }
        names.push(name.to_owned());
    }
    names
}

#[test]
fn no_output_of_a_run_holds_a_secret() {
    let place = place();
    let model = place.path(TOKEN);
    fs::create_dir(&model).unwrap();
    for name in [
        "config.json",
        "onnx",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        let from = Path::new(ROOT).join("assets/model").join(name);
        std::os::unix::fs::symlink(from, model.join(name)).unwrap();
    }
    let library = runtime::library().to_str().unwrap();
    let condition = condition();
    let all = [
        "in.parquet",
        "out.parquet",
        "--where",
        &condition,
        "--model",
        TOKEN,
        "--onnxruntime",
        library,
        "--device",
        "cpu",
        "--scores",
        "scores",
        "--rejects",
        "bad.parquet",
        "--changes",
        "changes.parquet",
        "--report",
        "report.html",
        "--trace",
        "trace.json",
        "--json",
        "-vv",
    ];
    let said = run(&place, 0, &all, MOCK);
    assert!(said.contains(
        "https://***@h.example/a.parquet?X-Amz-Date=20260101T000000Z&X-Amz-Security-Token=***"
    ));
    assert!(said.contains(r#""name":"hf_***""#), "{said}");
    let names = check_files(&place);
    for name in [
        "out.parquet",
        "bad.parquet",
        "changes.parquet",
        "report.html",
        "trace.json",
    ] {
        assert!(
            names.iter().any(|written| written == name),
            "{name}: {names:?}"
        );
    }
    assert!(names.iter().any(|name| name.starts_with("scores/")));
    // What is hidden was there, and the rest of it stays.
    let command = shards::file_value(&place.path("out.parquet"), "clip_filter.command").unwrap();
    assert!(
        command.contains("--where text <> 'https://***@h.example/a.parquet?"),
        "{command}"
    );
    assert!(command.contains("--model hf_*** "), "{command}");
    let selection =
        shards::file_value(&place.path("out.parquet"), "clip_filter.selection").unwrap();
    assert!(
        selection.ends_with("X-Amz-Signature=***' AND width > 0"),
        "{selection}"
    );
    let reasons = shards::strings(&shards::read(&place.path("bad.parquet")), "reason");
    let refused = reasons
        .iter()
        .flatten()
        .any(|reason| reason.starts_with("'https://***@h.example/"));
    assert!(refused, "{reasons:?}");

    // The store does not know the name of the model any more; what needs no model goes on.
    run(
        &place,
        0,
        &[
            "in.parquet",
            "more.parquet",
            "--scores",
            "scores",
            "--keep",
            "0.5",
        ],
        None,
    );
    for args in [
        &["inspect", "out.parquet"][..],
        &["inspect", "scores", "--json"],
        &["report", "out.parquet", "-o", "again.html", "--json"],
        &[
            "explain",
            "in.parquet:3",
            "--scores",
            "scores",
            "--condition",
            &condition,
        ],
    ] {
        run(&place, 0, args, None);
    }
    check_files(&place);
}

#[test]
fn a_prompt_may_hold_a_secret_too() {
    let place = Place::new();
    let pairs = shards::good_pairs(20);
    let labels = (0..20).map(|row| Some(if row % 2 == 0 { "cat" } else { "dog" }));
    let labels: ArrayRef = Arc::new(labels.collect::<StringArray>());
    let columns = vec![("image", shards::image_column(&pairs)), ("label", labels)];
    shards::write(&place.path("in.parquet"), &shards::batch(columns));
    let prompt = format!("a {{}} of {}", url());
    let labelled = ["in.parquet", "--label-column", "label", "--prompt", &prompt];
    let all = [
        &labelled[..],
        &[
            "out.parquet",
            "--scores",
            "scores",
            "--add",
            "sas",
            "--keep",
            "0.5",
        ],
        &["--report", "report.html", "--json"],
    ];
    run(&place, 0, &all.concat(), MOCK);
    let names = check_files(&place);
    assert!(names.iter().any(|name| name.starts_with("scores/state/")));
    for args in [
        &["inspect", "scores"][..],
        &["inspect", "scores", "--json"],
        &["report", "out.parquet", "--json"],
    ] {
        run(&place, 0, args, None);
    }
    // Another secret makes other captions.
    let other = prompt.replace(PASSWORD, "another");
    let refused = ["in.parquet", "--label-column", "label", "--prompt", &other];
    let more = ["more.parquet", "--scores", "scores"];
    let said = run(&place, 1, &[&refused[..], &more].concat(), MOCK);
    assert!(said.contains("another class captions"), "{said}");
}

#[test]
fn no_output_of_a_run_without_a_store_holds_a_secret() {
    let place = place();
    let condition = condition();
    let given = ["in.parquet", "--where", &condition, "-vv", "--json"];
    run(
        &place,
        0,
        &[&given[..], &["out.parquet", "--report", "report.html"]].concat(),
        MOCK,
    );
    let mut online = given.to_vec();
    online.splice(1..1, ["-", "--online"]);
    let stream = run(&place, 0, &online, MOCK);
    assert!(stream.contains("clip_filter.command") && stream.contains("***@h.example"));
    let query = format!("SELECT uid FROM pairs WHERE {condition}");
    run(
        &place,
        0,
        &[
            "sql",
            &query,
            "--input",
            "in.parquet",
            "--output",
            "rows.parquet",
            "-vv",
            "--trace",
            "t.json",
        ],
        MOCK,
    );
    assert!(check_files(&place).len() >= 4);
}

#[test]
fn what_is_refused_is_told_without_secrets() {
    let place = place();
    let (url, condition) = (url(), condition());
    let setting = format!("account_key={SIGNATURE}");
    let wrong = format!("nothing = 3 AND {condition}");
    fs::write(place.path("run.toml"), format!("keep = '{url}'\n")).unwrap();
    let login = format!("user:{SIGNATURE}@h");
    let unknown = url.replacen("https", "ftp", 1);
    // Nobody answers there, which takes some seconds to be believed.
    let silent = url.replacen("https", "http", 1);
    let silent = silent.replacen("h.example", "127.0.0.1:9", 1);
    let cases: [(i32, &[&str], &str); 12] = [
        (2, &[&unknown, "out.parquet"], "read a URL as a shard"),
        (
            1,
            &[&silent, "out.parquet"],
            "http://127.0.0.1:9/a.parquet\n",
        ),
        (
            2,
            &["in.parquet", "out.parquet", "--keep", &url],
            "invalid value",
        ),
        (
            2,
            &["in.parquet", "out.parquet", "--keep", &setting],
            "account_key=***",
        ),
        (
            2,
            &["in.parquet", "out.parquet", "--config", "run.toml"],
            "run.toml",
        ),
        (
            2,
            &["in.parquet", "out.parquet", "--where", &wrong],
            "nothing",
        ),
        (
            1,
            &["in.parquet", "out.parquet", "--model", TOKEN],
            "hf_***",
        ),
        (2, &["in.parquet", &url], "https://h.example/a.parquet\n"),
        (2, &["sql", &wrong, "--input", "in.parquet"], "failed to"),
        (2, &["inspect", &unknown], "failed to"),
        (
            2,
            &["in.parquet", "out.parquet", "--balance", &login],
            "***@h",
        ),
        (
            2,
            &["in.parquet", "out.parquet", "--threads", &login],
            "***@h",
        ),
    ];
    for (code, args, says) in cases {
        let said = run(&place, code, args, MOCK);
        assert!(said.contains(says), "{args:?}\n{said}");
    }
    check_files(&place);
}
