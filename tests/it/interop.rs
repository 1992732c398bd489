//! Files of pyarrow, DuckDB, Polars and HF datasets are read, and they read ours.

use std::{
    fs::File,
    path::Path,
    process::{Command, Output},
};

use crate::program::{Place, ROOT, program};

fn python(script: &str) -> Command {
    let interpreter =
        std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(interpreter);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(Path::new(ROOT).join("tests/interop").join(script));
    command
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Whether `script` has written `inputs`; false where there is no Python that can.
fn written(script: &mut Command, inputs: &Path) -> bool {
    match script.output() {
        Ok(wrote) if inputs.exists() => {
            assert!(wrote.status.success(), "{}", text(&wrote));
            eprint!("{}", text(&wrote));
            true
        }
        _ => {
            eprintln!("skipped: no Python with pyarrow (set CLIP_FILTER_TEST_PYTHON to one)");
            false
        }
    }
}

#[test]
fn other_tools_write_our_inputs_and_read_our_outputs() {
    let place = Place::new();
    let inputs = place.path("inputs");
    if !written(python("write.py").arg(&inputs), &inputs) {
        return;
    }
    for folder in ["outputs", "whole", "stores"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    let mut names: Vec<String> = std::fs::read_dir(&inputs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    let (mut reads, mut stores) = (python("read.py"), python("store.py"));
    reads.arg(&inputs);
    for name in &names {
        let args = format!(
            "inputs/{name} outputs/{name} --keep 0.5 --add image_embedding,text_embedding,status,width"
        );
        let report = place.mock(&format!("{args} --json")).exits(0).json();
        assert_eq!(
            (&report["rows_in"], &report["rows_kept"]),
            (&24.into(), &12.into()),
            "{name}"
        );
        reads.arg(place.path("outputs").join(name));
        // Every row stays, so that row groups are taken as the other tool wrote them.
        let args = format!(
            "inputs/{name} whole/{name} --keep 1 --scores stores/{name} --add image_embedding,text_embedding"
        );
        place.mock(&args).exits(0);
        reads.arg(place.path("whole").join(name));
        stores.arg(place.path("stores").join(name));
    }
    for mut script in [reads, stores] {
        let read = script.output().unwrap();
        eprint!("{}", text(&read));
        assert!(read.status.success(), "{}", text(&read));
    }
}

/// What a query writes has plain types; what a run writes has those of its input.
#[test]
fn columns_of_every_type_come_back() {
    let place = Place::new();
    let inputs = place.path("inputs");
    let mut write = python("every_type.py");
    if !written(write.arg("write").arg(place.dir()), &inputs) {
        return;
    }
    for folder in ["copied", "rewritten", "sql", "online"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for input in std::fs::read_dir(&inputs).unwrap() {
        let path = input.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        place
            .mock(&format!(
                "inputs/{name}.parquet copied/{name}.parquet --keep 1"
            ))
            .exits(0);
        let some = format!("inputs/{name}.parquet rewritten/{name}.parquet --where");
        place.mock_with(&some, &["n < 7"]).exits(0);
        let query = format!("sql --input inputs/{name}.parquet --output sql/{name}.parquet");
        let columns = "select * from pairs where n < 7 order by n";
        place.mock_with(&query, &[columns]).exits(0);
        let stream = File::create(place.path(&format!("online/{name}.arrows"))).unwrap();
        let online = program()
            .current_dir(place.dir())
            .args([
                &format!("inputs/{name}.parquet"),
                "-",
                "--online",
                "--keep",
                "1",
            ])
            .args(["--model", "mock"])
            .stdout(stream)
            .output()
            .unwrap();
        assert!(online.status.success(), "{name}: {}", text(&online));
    }
    let read = python("every_type.py")
        .arg("check")
        .arg(place.dir())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", text(&read));
}

#[test]
fn other_tools_read_the_stream_of_a_run_in_one_pass() {
    let place = Place::new();
    crate::shards::write_pairs(
        &place.path("in.parquet"),
        &crate::shards::good_pairs(400),
        100,
    );
    let stream = place.path("stream.arrows");
    let status = program()
        .current_dir(place.dir())
        .args(["in.parquet", "-", "--online", "--keep", "0.5", "--add"])
        .args(["status", "--model", "mock", "--json"])
        .stdout(File::create(&stream).unwrap())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(status.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    let read = python("stream.py")
        .arg(report["rows_kept"].to_string())
        .stdin(File::open(&stream).unwrap())
        .output();
    match read {
        Ok(read) => {
            eprint!("{}", text(&read));
            assert!(read.status.success(), "{}", text(&read));
        }
        Err(error) => eprintln!("skipped: no Python: {error}"),
    }
}

#[test]
fn an_encrypted_column_or_footer_is_told_from_damage() {
    let place = Place::new();
    match python("encrypt.py").arg(place.dir()).output() {
        Ok(wrote) if place.path("footer.parquet").exists() => {
            assert!(wrote.status.success(), "{}", text(&wrote));
        }
        _ => {
            eprintln!("skipped: no Python with pyarrow (set CLIP_FILTER_TEST_PYTHON to one)");
            return;
        }
    }
    for (name, what) in [
        ("column.parquet", "its column 'text' is encrypted"),
        ("footer.parquet", "it is encrypted"),
    ] {
        let ran = place.mock(&format!("{name} out.parquet")).exits(1);
        let ran = ran.says(&[what, name, "without encryption"]);
        assert!(!ran.stderr.contains("damaged"), "{}", ran.stderr);
    }
}

/// The Python of the page on streams that reads one; `train` is the user's.
fn consumer_of_the_page() -> String {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/online.md")).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    format!("def train(batch):\n    pass\n\n{code}")
}

/// Where messages of a stream begin: the schema first, the mark of the end last.
fn messages(stream: &[u8]) -> Vec<usize> {
    let number = |at: usize| i32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    let (mut starts, mut at) = (Vec::new(), 0);
    loop {
        starts.push(at);
        let head = usize::try_from(number(at + 4)).unwrap();
        if head == 0 {
            return starts;
        }
        let message = arrow_ipc::root_as_message(&stream[at + 8..at + 8 + head]).unwrap();
        at += 8 + head + usize::try_from(message.bodyLength()).unwrap();
    }
}

#[test]
fn the_python_of_the_docs_tells_a_whole_stream_from_one_that_breaks_off() {
    let place = Place::new();
    let pairs = crate::shards::good_pairs(700);
    crate::shards::write_pairs(&place.path("in.parquet"), &pairs, 200);
    let ran = program()
        .current_dir(place.dir())
        .args([
            "in.parquet",
            "-",
            "--online",
            "--keep",
            "0.5",
            "--model",
            "mock",
        ])
        .output()
        .unwrap();
    assert!(ran.status.success());
    let stream = ran.stdout;
    std::fs::write(place.path("consumer.py"), consumer_of_the_page()).unwrap();
    let interpreter =
        std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let read = |end: usize| {
        std::fs::write(place.path("stream.arrows"), &stream[..end]).unwrap();
        let input = File::open(place.path("stream.arrows")).unwrap();
        let mut consumer = Command::new(&interpreter);
        consumer
            .arg(place.path("consumer.py"))
            .stdin(input)
            .output()
    };
    let whole = match read(stream.len()) {
        Ok(whole) if !text(&whole).contains("No module named 'pyarrow'") => whole,
        _ => {
            eprintln!("skipped: no Python with pyarrow (set CLIP_FILTER_TEST_PYTHON to one)");
            return;
        }
    };
    assert!(whole.status.success(), "{}", text(&whole));
    let starts = messages(&stream);
    let (end, batches) = (starts[starts.len() - 1], &starts[1..starts.len() - 1]);
    assert!(batches.len() > 2, "{starts:?}");
    // Between two batches, as a producer that is killed leaves it, and within one.
    for &cut in batches.iter().chain([&(batches[1] + 100), &0]) {
        let broken = read(cut).unwrap();
        assert!(!broken.status.success(), "cut at {cut} of {}", stream.len());
    }
    assert!(
        read(end).unwrap().status.success(),
        "only the mark of the end is missing"
    );
}

/// The package `webdataset` is heavy: it is looked for, and no test needs it.
#[test]
fn webdatasets_of_their_package_are_read_and_ours_are_read_by_it() {
    let place = Place::new();
    let inputs = place.path("in");
    std::fs::create_dir(&inputs).unwrap();
    let wrote = python("tars.py").arg("write").arg(&inputs).output();
    let has_package = wrote.as_ref().is_ok_and(|wrote| wrote.status.success());
    if !has_package {
        let told = wrote.map_or_else(|error| error.to_string(), |wrote| text(&wrote));
        assert!(
            !told.contains("Traceback") || told.contains("No module named"),
            "{told}"
        );
        eprintln!("skipped: no Python with webdataset 1.0 (set CLIP_FILTER_TEST_PYTHON to one)");
        return;
    }
    for (output, options) in [
        ("in_order", ""),
        ("shuffled", " --shuffle 7 --shard-rows 4"),
    ] {
        let args = format!("in {output}/ --format webdataset --keep 0.5 --json{options}");
        let summary = place.mock(&args).exits(0).json();
        assert_eq!(
            (&summary["rows_in"], &summary["rows_kept"]),
            (&30.into(), &15.into())
        );
        let read = python("tars.py")
            .arg("read")
            .args([&inputs, &place.path(output)])
            .arg("clip_score")
            .env("HF_HOME", place.path("hf"))
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap();
        assert!(read.status.success(), "{}", text(&read));
    }
}
