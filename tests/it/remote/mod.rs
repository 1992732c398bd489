//! Shards, outputs and stores in object stores: a real S3 server, and the program as a user runs it.

mod azure;
#[cfg(feature = "delta")]
mod between;
mod google;
mod hub;
mod output_parts;
mod refused;
mod s3;
mod s3rver;
mod stores;
#[cfg(feature = "delta")]
mod tables;
mod web;

use std::{path::Path, sync::atomic::Ordering::Relaxed, time::Duration};

use azure::Azure;
use s3::S3;
use web::Web;

use parquet::file::properties::WriterProperties;

use crate::{
    program::{Place, ROOT},
    shards,
};

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
    assert_eq!(here.lines().count(), 1 + 91, "of 232 rows 4 are bad");
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
    assert!(
        !first.is_empty()
            && ["kept.manifest.json", "kept/_SUCCESS"]
                .iter()
                .all(|key| s3.list().iter().any(|known| known == key))
    );
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
    s3.run(&place, "s3://data/in out.parquet")
        .exits(1)
        .says(&["the log of a Delta table"]);
    s3.run(&place, "s3://data/in/*/*.parquet out.parquet")
        .exits(2)
        .says(&["Delta table", "--no-table"]);
    s3.run(&place, "s3://data/in out.parquet --no-table")
        .exits(0)
        .says(&["Delta table"]);
    s3.remove("in/_delta_log/0.json");
    // What is named lies further down, below folders of values.
    for (log, format) in [
        ("_delta_log/0.json", "Delta table"),
        (".hoodie/hoodie.properties", "Hudi table"),
        ("metadata/00000-9f.metadata.json", "Iceberg table"),
    ] {
        let table = format.split(' ').next().unwrap().to_lowercase();
        let key = format!("{table}/data/day=1/hour=2/0.parquet");
        s3.put(&key, &place.path("in/a/0.parquet"));
        s3.put(&format!("{table}/{log}"), &place.path("log"));
        let hour = format!("s3://data/{table}/data/day=1/hour=2");
        for input in [
            format!("{hour}/0.parquet"),
            hour.clone(),
            format!("{hour}/*.parquet"),
            format!("{hour}/{{0..0}}.parquet"),
        ] {
            s3.run(&place, &format!("{input} out.parquet"))
                .exits(2)
                .says(&[format, &format!("s3://data/{table}"), "--no-table"]);
        }
        s3.run(
            &place,
            &format!("{hour}/0.parquet {table}.parquet --no-table"),
        )
        .exits(0)
        .says(&[format]);
    }
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
fn azure_takes_outputs_and_gives_them_back() {
    let place = Place::new();
    let Some(azure) = Azure::start(&place) else {
        return;
    };
    let sample = Path::new(ROOT).join("assets/sample.parquet");
    std::fs::copy(sample, place.path("in.parquet")).unwrap();
    place.mock("in.parquet here.parquet --keep 0.4").exits(0);
    let rows = |path: &str| {
        let query = "SELECT uid, clip_score FROM t ORDER BY uid";
        let table = format!("t={path}");
        let mut command = azure.program(&place);
        let ran = command
            .args(["sql", query, "--format", "csv", "--input", &table])
            .output();
        crate::program::Ran::from(ran.unwrap()).exits(0).stdout
    };
    let here = rows("here.parquet");
    let run = |args: &str| azure.run(&place, args);
    run("in.parquet az://data/one.parquet --keep 0.4 --rejects az://data/bad.parquet").exits(0);
    assert_eq!(rows("az://data/one.parquet"), here);
    run("in.parquet az://data/one.parquet --keep 0.4")
        .exits(1)
        .says(&["it exists"]);
    run("in.parquet az://data/kept --keep 0.4").exits(0);
    run("in.parquet az://data/kept --keep 0.4 --overwrite").exits(0);
    assert_eq!(rows("az://data/kept"), here);
    run("az://data/kept again.parquet --keep 1 --prefix again_").exits(0);
    assert_eq!(rows("again.parquet"), here);
    run("az://nothing/in out.parquet")
        .exits(1)
        .says(&["no such bucket"]);
    run("az://data/nothing out.parquet")
        .exits(1)
        .says(&["nothing is there"]);
}

fn sample() -> Vec<u8> {
    std::fs::read(Path::new(ROOT).join("assets/sample.parquet")).unwrap()
}

#[test]
fn a_file_of_a_web_server_is_read_in_ranges_whatever_the_server_does() {
    let (place, web) = (Place::new(), Web::start());
    std::fs::write(place.path("in.parquet"), sample()).unwrap();
    web.put("/data/in.parquet", sample());
    let url = format!("{}/data/in.parquet", web.address);
    let sql = |path: &str| {
        let query = "sql SELECT\u{1}uid,clip_score\u{1}FROM\u{1}t\u{1}ORDER\u{1}BY\u{1}uid --format csv --input";
        let words: Vec<String> = query
            .split(' ')
            .map(|word| word.replace('\u{1}', " "))
            .collect();
        let table = format!("t={path}");
        let words: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .chain([table.as_str()])
            .collect();
        place.mock_with("", &words).exits(0).stdout
    };
    place.mock("in.parquet here.parquet --keep 0.4").exits(0);
    let here = sql("here.parquet");
    let run = |output: &str| {
        place
            .mock(&format!("{url}?sig=SECRET {output} --keep 0.4"))
            .exits(0);
        assert_eq!(sql(output), here, "{output}");
    };
    run("there.parquet");
    // Waits and asks again.
    web.ways.busy.store(3, Relaxed);
    run("busy.parquet");
    assert_eq!(web.ways.busy.load(Relaxed), 0);
    web.ways.cut.store(2, Relaxed);
    run("cut.parquet");
    assert_eq!(web.ways.cut.load(Relaxed), 0);
    let meta = place.mock("inspect there.parquet --json").exits(0).stdout;
    assert!(!meta.contains("SECRET"), "{meta}");
    // A narrow query does not fetch the pictures.
    web.ways.sent.store(0, Relaxed);
    let count = |path: &str| {
        let table = format!("t={path}");
        let query = "SELECT count(uid), max(text) FROM t";
        let ran = place.mock_with("", &["sql", query, "--format", "csv", "--input", &table]);
        ran.exits(0).stdout
    };
    assert_eq!(count(&url), count("in.parquet"));
    let sent = web.ways.sent.load(Relaxed);
    assert!(
        sent < sample().len() as u64 / 3,
        "{sent} of {}",
        sample().len()
    );
    // Names of other files, and the folder.
    place
        .mock(&format!("{}/data/no.parquet out.parquet", web.address))
        .exits(1)
        .says(&["nothing is there"]);
    place
        .mock(&format!("{}/data/*.parquet out.parquet", web.address))
        .says(&["web server"]);
}

#[test]
fn a_shard_that_is_replaced_under_a_run_is_told() {
    let (place, web) = (Place::new(), Web::start());
    web.put("/in.parquet", sample());
    let mut other = sample();
    other.push(0);
    *web.ways.replace_after.lock().unwrap() = Some((2, other));
    let ran = place
        .mock(&format!("{}/in.parquet out.parquet", web.address))
        .exits(1);
    ran.says(&["was replaced while it was read", "/in.parquet"]);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn who_is_sent_on_to_another_host_takes_no_token_there() {
    let (place, first, second) = (Place::new(), Web::start(), Web::start());
    second.put("/data/in.parquet", sample());
    *first.ways.redirect.lock().unwrap() = Some(second.address.clone());
    let mut command = crate::program::program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("AWS_ENDPOINT_URL", &first.address)
        .env("AWS_ACCESS_KEY_ID", "KEY-OF-MINE")
        .env("AWS_SECRET_ACCESS_KEY", "s")
        .env("AWS_SESSION_TOKEN", "TOKEN-OF-MINE")
        .env("AWS_REGION", "us-east-1")
        .args(["s3://data/in.parquet", "out.parquet"]);
    let ran: crate::program::Ran = command.output().unwrap().into();
    let heads = |web: &Web| web.ways.heads.lock().unwrap().join("");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("another host"), "{}", ran.stderr);
    assert!(heads(&first).contains("KEY-OF-MINE"), "{ran:?}");
    // What is asked without credentials may be sent on, and says nothing of where it came from.
    let url = format!("{}/data/in.parquet?sig=SIGNATURE-OF-MINE", first.address);
    place.mock(&format!("{url} out.parquet")).exits(0);
    assert!(
        !heads(&second).to_lowercase().contains("referer"),
        "{}",
        heads(&second)
    );
    for secret in ["KEY-OF-MINE", "TOKEN-OF-MINE"] {
        assert!(!heads(&second).contains(secret), "{}", heads(&second));
        assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
    }
}

/// 200 pairs whose images are on pages of their own.
fn paged(path: &Path) {
    let mut pairs = shards::good_pairs(200);
    for (row, pair) in pairs.iter_mut().enumerate() {
        let mut state = row as u64 + 1;
        let bytes = pair.bytes.as_mut().unwrap();
        // No codec makes anything of it.
        bytes.resize_with(60_000, || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        });
    }
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(1)
        .set_write_batch_size(1)
        .set_dictionary_enabled(false)
        .build();
    shards::write_with(path, &shards::hf_batch(&pairs), properties);
}

#[test]
fn only_pages_with_a_row_that_is_kept_are_fetched() {
    let (place, web) = (Place::new(), Web::start());
    let file = place.path("in.parquet");
    paged(&file);
    web.put("/in.parquet", std::fs::read(&file).unwrap());
    let url = format!("{}/in.parquet", web.address);
    place.mock(&format!("score {url} --scores scores")).exits(0);
    for keep in [0.3, 0.05] {
        web.ways.sent.store(0, Relaxed);
        let output = format!("kept-{keep}.parquet");
        place
            .mock(&format!("{url} {output} --scores scores --keep {keep}"))
            .exits(0);
        let sent = web.ways.sent.load(Relaxed);
        let rows = shards::read(&place.path(&output));
        let kept = rows.num_rows() as u64;
        assert!(kept > 5);
        let theirs = kept * 60_000;
        // The end of the file, its footer, is read as it is planned, selected and written.
        let most = theirs * 115 / 100 + 4 * (64 << 10);
        assert!(sent <= most, "{sent} bytes for {theirs} of {kept} rows");
        place
            .mock(&format!("in.parquet near-{output} --keep {keep}"))
            .exits(0);
        assert_eq!(
            rows.column_by_name("uid"),
            shards::read(&place.path(&format!("near-{output}"))).column_by_name("uid")
        );
    }
}

#[test]
fn a_small_shard_is_fetched_once_in_a_run() {
    let (place, web) = (Place::new(), Web::start());
    std::fs::create_dir(place.path("in")).unwrap();
    for number in 0..40u32 {
        let name = format!("in/{number:02}.parquet");
        let rows = shards::hf_batch(&shards::good_pairs(5 + number));
        shards::write(&place.path(&name), &rows);
        web.put(
            &format!("/{name}"),
            std::fs::read(place.path(&name)).unwrap(),
        );
    }
    place.mock("in here.parquet --keep 0.4").exits(0);
    let far = format!("{}/in/{{00..39}}.parquet", web.address);
    place
        .mock(&format!("{far} there.parquet --keep 0.4"))
        .exits(0);
    // Opened, scored, selected and written.
    assert_eq!(web.ways.ranges.load(Relaxed), 40);
    let [here, there] =
        ["here", "there"].map(|name| shards::read(&place.path(&format!("{name}.parquet"))));
    assert_eq!(here.column_by_name("uid"), there.column_by_name("uid"));
    let facts = place.mock(&format!("inspect {far} --json")).exits(0).json();
    assert_eq!(facts["files"], 40);
    assert_eq!(web.ways.ranges.load(Relaxed), 80);
}

#[test]
fn an_interrupt_ends_what_is_being_uploaded() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    shards(&s3, &place);
    for after in [150, 300, 450] {
        let output = format!("s3://data/out/{after}.parquet");
        let mut run = s3
            .program(&place)
            .args(["s3://data/in", &output])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after));
        let pid = run.id().to_string();
        let _ = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        let ended = run.wait().unwrap();
        let is_there = s3.list().contains(&format!("out/{after}.parquet"));
        // Signalled before it listens, it is ended by the signal itself; after it has written, there is nothing to end.
        assert!(
            ended.code().is_none() || is_there == ended.success(),
            "{ended}"
        );
        assert_eq!(
            s3.uploads(),
            [""; 0],
            "interrupted after {after} ms: {ended}"
        );
    }
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
