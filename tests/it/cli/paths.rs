//! Images that are paths.

use crate::{
    pictures,
    program::Place,
    shards::{self, Pair},
};

/// A shard in `data/` whose rows name files in and out of it; statuses row by row with `flags`.
fn statuses(flags: &str) -> Vec<String> {
    let place = Place::new();
    let data = place.path("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    let outside = place.path("outside.bmp");
    for file in [&outside, &data.join("a.bmp"), &data.join("sub/b.bmp")] {
        std::fs::write(file, pictures::bmp(5)).unwrap();
    }
    std::os::unix::fs::symlink(&outside, data.join("link-out.bmp")).unwrap();
    std::os::unix::fs::symlink("sub/b.bmp", data.join("link-in.bmp")).unwrap();
    std::os::unix::fs::symlink(place.dir(), data.join("up")).unwrap();
    let absolute = outside.to_str().unwrap();
    let mut pairs: Vec<Pair> = [
        "a.bmp",
        "./sub/b.bmp",
        "link-in.bmp",
        "sub/../a.bmp",
        "../outside.bmp",
        absolute,
        "link-out.bmp",
        "up/outside.bmp",
        "https://localhost/a.bmp",
        "file:///etc/hostname",
        "missing.bmp",
        "sub",
        "",
    ]
    .map(Pair::at)
    .to_vec();
    // Bytes are used where there are any, whatever the path says.
    pairs.push(Pair {
        path: Some("../../anything".to_owned()),
        ..Pair::new(pictures::bmp(1), "a picture")
    });
    shards::write_pairs(&data.join("in.parquet"), &pairs, 4);
    let ran = place.mock(&format!(
        "data/in.parquet out.parquet --keep 1 --on-error keep --add status {flags}"
    ));
    ran.exits(0);
    let written = shards::read(&place.path("out.parquet"));
    let input = shards::read(&data.join("in.parquet"));
    assert_eq!(
        written.column(1),
        input.column(1),
        "bytes stay null, paths stay as they are"
    );
    shards::strings(&written, "status")
        .into_iter()
        .map(Option::unwrap)
        .collect()
}

#[test]
fn a_path_is_read_only_below_its_shard() {
    let expected = [
        "ok",
        "ok",
        "ok",
        "path_refused",
        "path_refused",
        "path_refused",
        "path_refused",
        "path_refused",
        "path_refused",
        "path_refused",
        "unreadable_path",
        "unreadable_path",
        "null_image",
        "ok",
    ];
    let found = statuses("");
    // An empty path names no file: either word is right, a score is not.
    let found: Vec<&str> = found
        .iter()
        .enumerate()
        .map(|(row, status)| {
            if row == 12 && status == "unreadable_path" {
                "null_image"
            } else {
                status
            }
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn external_paths_are_read_when_allowed_and_urls_never() {
    let found = statuses("--allow-external-paths");
    assert!(found[..8].iter().all(|status| status == "ok"), "{found:?}");
    assert_eq!(found[8..10], ["path_refused", "path_refused"]);
}

#[test]
fn a_named_pipe_does_not_hang_the_run() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo")
        .arg(place.path("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    shards::write_pairs(&place.path("in.parquet"), &[Pair::at("pipe")], 4);
    let report = place.mock("in.parquet out.parquet --json").exits(0).json();
    assert_eq!(report["bad"], serde_json::json!({"unreadable_path": 1}));
}
