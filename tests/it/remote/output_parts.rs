//! Workers write one output in parts into a bucket.

use std::time::Duration;

use super::S3;
use crate::{
    program::{Place, Ran},
    shards,
};

const ARGS: &str = "s3://data/in s3://data/kept --scores s3://data/scores --keep 0.4";

fn part(s3: &S3, place: &Place, part: u32) -> std::process::Command {
    let mut command = s3.program(place);
    command
        .args(ARGS.split_whitespace())
        .args(["--part", &format!("{part}/3")]);
    command
}

#[test]
fn what_workers_have_uploaded_is_visible_when_all_of_it_is_there() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    for shard in 0..6 {
        let mut pairs = shards::mixed_pairs(400);
        for pair in &mut pairs {
            pair.text = pair.text.take().map(|text| format!("{text} {shard}"));
        }
        let file = place.path("shard.parquet");
        shards::write_pairs(&file, &pairs, 100);
        s3.put(&format!("in/{shard}.parquet"), &file);
    }
    s3.run(&place, "score s3://data/in --scores s3://data/scores")
        .exits(0);
    s3.run(
        &place,
        "s3://data/in here --scores s3://data/scores --keep 0.4",
    )
    .exits(0);
    let texts = |path: &str| texts(&s3, &place, path);
    let here = texts("here");
    // Each worker has a machine of its own, and one of them is lost twice.
    let machines = [Place::new(), Place::new(), Place::new()];
    for wait in [60, 110] {
        let mut lost = part(&s3, &machines[1], 1).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        lost.kill().unwrap();
        lost.wait().unwrap();
    }
    let visible = || {
        let keys = s3.list().into_iter();
        keys.filter(|key| key.starts_with("kept/") || key.contains("manifest.json"))
            .filter(|key| key.starts_with("kept"))
            .collect::<Vec<_>>()
    };
    for number in [0, 2, 1] {
        let ran = part(&s3, &machines[number], u32::try_from(number).unwrap()).output();
        Ran::from(ran.unwrap()).exits(0);
        assert_eq!(visible(), [""; 0]);
        if number == 2 {
            s3.run(&place, "merge --output s3://data/kept")
                .exits(1)
                .says(&["1/3"]);
        }
    }
    let again = part(&s3, &machines[2], 2).output().unwrap();
    Ran::from(again).exits(0).says(&["written before"]);
    let merged = s3
        .run(&place, "merge --output s3://data/kept --json")
        .exits(0)
        .json();
    assert_eq!(merged["parts"], 3);
    assert_eq!(texts("s3://data/kept"), here);
    let keys = s3.list();
    let left = |key: &&String| key.starts_with("kept.parts");
    assert_eq!(keys.iter().filter(left).count(), 0, "{keys:?}");
    assert_eq!(s3.uploads(), [""; 0]);
    s3.run(&place, "merge --output s3://data/kept")
        .exits(0)
        .says(&["whole already"]);
    // Another selection in its place.
    for number in 0..3 {
        let mut command = part(&s3, &machines[0], number);
        let ran = command.args(["--min-score", "0", "--overwrite"]).output();
        Ran::from(ran.unwrap()).exits(0);
    }
    assert_eq!(texts("s3://data/kept"), here);
    s3.run(&place, "merge --output s3://data/kept").exits(0);
    s3.run(
        &place,
        "s3://data/in there --scores s3://data/scores --keep 0.4 --min-score 0",
    )
    .exits(0);
    assert_eq!(texts("s3://data/kept"), texts("there"));
}

/// Captions and scores of a folder's rows, in their order.
fn texts(s3: &S3, place: &Place, path: &str) -> String {
    let mut command = s3.program(place);
    let ran = command
        .args(["sql", "SELECT text, clip_score FROM t", "--format", "csv"])
        .args(["--input", &format!("t={path}")])
        .output();
    Ran::from(ran.unwrap()).exits(0).stdout
}
