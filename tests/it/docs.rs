//! The commands of README and `docs/`, typed as they stand there, with the mock model and data made for them.

use std::{fs, path::Path, process::Command};

use crate::program::{Place, ROOT, Ran, clean};

/// What stands in commands for places that a test has no such thing at, and what is there instead.
const INSTEAD: [(&str, &str); 16] = [
    ("--keep-rows 128000000", "--keep-rows 1280"),
    ("'shards/{00000..00127}.tar'", "tars/"),
    ("s3://lake/", "lake/"),
    ("--version 17", "--version 0"),
    ("--timestamp 2026-01-31T12:00:00Z", "--version 0"),
    ("--uids list.npy", "--uids kept.npy"),
    ("s3://bucket/", ""),
    ("gs://bucket/", ""),
    ("https://host/a.parquet", "in.parquet"),
    ("hf://datasets/user/name/data/", "shards/"),
    ("hf:Xenova/clip-vit-base-patch32", "mock"),
    ("{00000..00127}", "{00000..00001}"),
    ("--param rows=500", "--param rows=5"),
    ("| python train.py", "| cat > stream.arrow"),
    ("clip-filter ", "\"$CLIP\" "),
    ("assets/sample.parquet", "in.parquet"),
];

/// Shards with all columns that the commands name, two of each form of their names.
const DATA: &str = r#"
set -e
"$CLIP" sql --input "$SAMPLE" -o in.parquet --quiet "
    SELECT *, 'https://host/' || uid AS url, CASE WHEN length(text) % 2 = 0 THEN 'cat' ELSE 'dog' END AS label FROM pairs_shards"
mkdir shards
for name in a 00000 00001 part-00000 part-00001; do cp in.parquet shards/$name.parquet; done
for name in b 00001 part-00001; do
    "$CLIP" sql --input in.parquet -o shards/$name.parquet --quiet --overwrite "
        SELECT * REPLACE ('$name' || uid AS uid) FROM pairs_shards"
done
cp in.parquet photos.parquet
mkdir lake
mkdir new && cp shards/b.parquet new/
"$CLIP" in.parquet tars/ --format webdataset --keep 1 --prefix made_ --quiet
"$CLIP" in.parquet lake/photos --format delta --keep 1 --prefix made_ --quiet
echo '{"path": "in.parquet"}' > files.jsonl
"#;

/// Pages in the order in which they are read: what one makes, the next may use.
fn pages() -> Vec<(String, String)> {
    let mut docs: Vec<_> = fs::read_dir(Path::new(ROOT).join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    docs.sort();
    docs.insert(0, Path::new(ROOT).join("README.md"));
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    docs.iter().map(|path| read(path)).collect()
}

/// The commands of a page, without what is said behind them.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    let lines = page
        .lines()
        .filter(|line| line.starts_with("    clip-filter "));
    lines.map(|line| line.split("  #").next().unwrap_or(line).trim())
}

fn shell(place: &Place, script: &str) -> Ran {
    let mut command = clean(Command::new("bash"));
    command
        .current_dir(place.dir())
        .args(["-o", "pipefail", "-c", script])
        .env("CLIP", env!("CARGO_BIN_EXE_clip-filter"))
        .env("SAMPLE", Path::new(ROOT).join("assets/sample.parquet"))
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        // What is typed into the shell of `sql`.
        .stdin(fs::File::open(place.path("typed.sql")).unwrap());
    Ran::from(command.output().unwrap())
}

#[test]
fn every_command_of_the_pages_does_what_it_says() {
    let place = Place::new();
    fs::write(place.path("typed.sql"), "SELECT count(*) FROM pairs;\n").unwrap();
    shell(&place, DATA).exits(0);
    let mut typed = 0;
    for (name, page) in pages() {
        for command in commands(&page) {
            let mut script = command.to_owned();
            for (there, here) in INSTEAD {
                script = script.replace(there, here);
            }
            // Pages write to the same few names, but for those that write to none, or to a table.
            if !command.contains("--online") && !command.contains("--format delta") {
                script.insert_str(0, "export CLIP_FILTER_OVERWRITE=true\n");
            }
            let ran = shell(&place, &script);
            assert_eq!(
                ran.code,
                Some(0),
                "{name}: {command}\n{}\n{}",
                ran.stdout,
                ran.stderr
            );
            typed += 1;
        }
    }
    assert!(typed > 20, "{typed} commands were found");
}

#[test]
fn the_first_page_is_short_and_leads_to_all_others() {
    let pages = pages();
    let (_, readme) = &pages[0];
    assert!(readme.lines().count() < 120, "README.md has grown");
    for (name, _) in &pages[1..] {
        assert!(readme.contains(&format!("docs/{name}")), "{name}");
    }
}
