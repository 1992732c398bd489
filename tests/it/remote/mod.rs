//! Shards, outputs and stores in object stores: a real S3 server, and the program as a user runs it.

mod s3;

use std::{path::Path, time::Duration};

use s3::S3;

use crate::program::{Place, ROOT};

/// The sample, cut into shards `in/a/0.parquet` to `in/b/3.parquet` of the server and of the place.
fn shards(s3: &S3, place: &Place) {
    let sample = Path::new(ROOT).join("assets/sample.parquet");
    for (number, folder) in ["a", "a", "b", "b"].into_iter().enumerate() {
        let name = format!("in/{folder}/{number}.parquet");
        let file = place.path(&name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let query = format!(
            "SELECT uid, image, text, caption_ok, source FROM t LIMIT 58 OFFSET {}",
            number * 58
        );
        let sql = ["sql", &query, "--input"];
        let table = format!("t={}", sample.display());
        let mut command = s3.program(place);
        let ran = command
            .args(sql)
            .arg(table)
            .args(["--output", file.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        s3.put(&name, &file);
    }
}

/// Rows of a Parquet file or folder as text, its key and score.
fn rows(s3: &S3, place: &Place, path: &str) -> String {
    let query = "SELECT uid, clip_score FROM t ORDER BY uid";
    let mut command = s3.program(place);
    let ran = command
        .args(["sql", query, "--format", "csv", "--input"])
        .arg(format!("t={path}"))
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn inputs_are_found_as_on_a_disk_and_rows_are_the_same() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    place.mock("in here.parquet --keep 0.4").exits(0);
    let here = rows(&s3, &place, "here.parquet");
    assert_eq!(here.lines().count(), 1 + 92, "of 232 rows 4 are bad");
    for (number, input) in [
        "s3://data/in",
        "s3://data/in/",
        "s3://data/in/*/*.parquet",
        "s3://data/in/**/*.parquet",
        "s3://data/in/{a,b}",
        "s3://data/in/a/{0..1}.parquet s3://data/in/b/2.parquet s3://data/in/b/3.parquet",
    ]
    .into_iter()
    .enumerate()
    {
        let output = format!("there-{number}.parquet");
        let report = s3
            .run(&place, &format!("{input} {output} --keep 0.4 --json"))
            .exits(0)
            .json();
        assert_eq!(report["rows_in"], 232, "{input}");
        assert_eq!(rows(&s3, &place, &output), here, "{input}");
    }
    let counted = s3
        .run(
            &place,
            "sql SELECT(count(*))FROM(t) --format csv --input t=s3://data/in",
        )
        .exits(0);
    assert_eq!(counted.stdout.lines().nth(1), Some("232"));
}

#[test]
fn outputs_are_there_at_once_or_not_at_all() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    place
        .mock("in here.parquet --keep 0.4 --rejects bad.parquet")
        .exits(0);
    let here = rows(&s3, &place, "here.parquet");
    let run = |args: &str| s3.run(&place, &format!("s3://data/in {args} --keep 0.4"));
    run("s3://data/out/one.parquet --rejects s3://data/out/bad.parquet --report s3://data/out/report.html").exits(0);
    for name in ["one.parquet", "bad.parquet", "report.html"] {
        s3.get(&format!("out/{name}"), &place.path(name));
    }
    assert_eq!(rows(&s3, &place, "one.parquet"), here);
    assert_eq!(rows(&s3, &place, "s3://data/out/one.parquet"), here);
    let page = std::fs::read_to_string(place.path("report.html")).unwrap();
    assert!(page.contains("<html"));
    run("s3://data/out/one.parquet")
        .exits(1)
        .says(&["it exists", "--overwrite"]);
    run("s3://data/out/one.parquet --overwrite").exits(0);
    run("s3://data/kept").exits(0);
    let parts = || -> Vec<String> {
        let all = s3.list().into_iter();
        all.filter(|key| key.starts_with("kept/part-")).collect()
    };
    let first = parts();
    assert!(!first.is_empty() && s3.list().contains(&"kept/_manifest.json".to_owned()));
    assert_eq!(rows(&s3, &place, "s3://data/kept"), here);
    run("s3://data/kept").exits(1).says(&["it exists"]);
    run("s3://data/kept --overwrite").exits(0);
    assert!(
        parts().iter().all(|part| !first.contains(part)),
        "parts of the output before are gone"
    );
    assert_eq!(rows(&s3, &place, "s3://data/kept"), here);
    assert_eq!(s3.uploads(), [""; 0]);
    run("s3://data/in").exits(2).says(&["over an input"]);
    let left: Vec<_> = std::fs::read_dir(place.dir())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("clip-filter")),
        "{left:?}"
    );
}

#[test]
fn what_cannot_be_reached_is_told_with_what_to_do() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    s3.run(&place, "s3://data/nothing out.parquet")
        .exits(1)
        .says(&["nothing is there", "s3://data/nothing"]);
    s3.run(&place, "s3://data/in/*.nothing out.parquet")
        .exits(1)
        .says(&["find a file that matches"]);
    s3.run(&place, "s3://nobucket/in out.parquet")
        .exits(1)
        .says(&["no such bucket"]);
    s3.run(&place, "in s3://nobucket/out.parquet")
        .says(&["no such bucket"]);
    s3.run(&place, "ftp://h/in out.parquet")
        .exits(2)
        .says(&["URLs begin with", "s3"]);
    s3.run(&place, "in https://h/out.parquet")
        .exits(2)
        .says(&["web server"]);
    s3.run(&place, "http://example.invalid/in.parquet out.parquet")
        .exits(2)
        .says(&["https://"]);
    let plain = |command: &mut std::process::Command| -> crate::program::Ran {
        command
            .args(["s3://data/in", "out.parquet"])
            .output()
            .unwrap()
            .into()
    };
    let mut far = s3.program(&place);
    plain(far.env("AWS_ENDPOINT_URL", "http://10.255.255.1:9")).says(&["AWS_ALLOW_HTTP"]);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn a_table_is_no_folder_of_loose_files() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    std::fs::write(place.path("log"), "{}").unwrap();
    s3.put("in/_delta_log/0.json", &place.path("log"));
    for input in ["s3://data/in", "s3://data/in/*/*.parquet"] {
        s3.run(&place, &format!("{input} out.parquet"))
            .exits(2)
            .says(&["Delta table", "--no-table"]);
    }
    s3.run(&place, "s3://data/in out.parquet --no-table")
        .exits(0)
        .says(&["Delta table"]);
    s3.remove("in/_delta_log/0.json");
    s3.run(&place, "s3://data/in out.parquet --overwrite")
        .exits(0);
}

#[test]
fn a_killed_run_leaves_no_upload_once_it_has_run_again() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    place.mock("in here.parquet --keep 0.4").exits(0);
    let here = rows(&s3, &place, "here.parquet");
    for kill in 0..10u64 {
        let output = format!("s3://data/out/{kill}");
        let args = ["s3://data/in", &output, "--keep", "0.4"];
        let mut run = s3.program(&place).args(args).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 60 * kill));
        run.kill().unwrap();
        run.wait().unwrap();
        let ran = s3.program(&place).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        // A run that had ended before it was killed has written its output.
        assert!(ran.status.success() || said.contains("it exists"), "{said}");
        assert_eq!(rows(&s3, &place, &output), here, "killed after {kill}");
    }
    assert_eq!(s3.uploads(), [""; 0]);
}

#[test]
fn folders_are_values_in_both_directions() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    for (number, label) in ["3", "3", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"]
        .iter()
        .enumerate()
    {
        let folder = if number < 2 { "a" } else { "b" };
        let file = place.path(&format!("in/{folder}/{number}.parquet"));
        s3.put(&format!("hive/label={label}/{number}.parquet"), &file);
    }
    let args = "s3://data/hive s3://data/cut --keep 1 --add width --partition-by label,width";
    s3.run(&place, args).exits(0);
    let listed = s3.list();
    let parts = |start: &str| listed.iter().filter(|key| key.starts_with(start)).count();
    for folder in [
        "label=3/",
        "label=a%2Fb/",
        "label=__HIVE_DEFAULT_PARTITION__/",
    ] {
        assert!(parts(&format!("cut/{folder}width=")) > 0, "{listed:?}");
    }
    let counted = |path: &str| {
        let mut command = s3.program(&place);
        let query = "SELECT label, count(*) AS n FROM t GROUP BY label ORDER BY label NULLS LAST";
        let ran = command
            .args(["sql", query, "--format", "csv", "--input"])
            .arg(format!("t={path}"))
            .output()
            .unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let rows: Vec<String> = counted("s3://data/cut")
        .lines()
        .map(str::to_owned)
        .collect();
    let good: u64 = rows[1..]
        .iter()
        .map(|row| row.rsplit(',').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!((rows.len(), good), (4, 228), "{rows:?}");
    // Another output in its place: what the first had is gone.
    s3.run(
        &place,
        "s3://data/hive s3://data/cut --keep-rows 5 --partition-by label --overwrite",
    )
    .exits(0);
    let listed = s3.list();
    let left: Vec<_> = listed
        .iter()
        .filter(|key| key.starts_with("cut/") && key.contains("width="))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(s3.uploads().is_empty());
}
