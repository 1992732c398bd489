//! A store that the last program of format 1 made.

use std::path::Path;

use crate::program::{Place, ROOT, program};

/// Two shards are finished, of one some rows are there.
fn place() -> Place {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), &to).unwrap();
            }
        }
    }
    let place = Place::new();
    copy(&Path::new(ROOT).join("tests/data/format-1"), place.dir());
    place
}

/// Rows that a run scored, and the images that it encoded.
fn run(place: &Place, args: &str) -> (u64, u64) {
    let log = place.path("encoded");
    let _ = std::fs::remove_file(&log);
    let output = program()
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", format!("mock:{}", log.display()))
        .env("CLIP_FILTER_THREADS", "2")
        .args(args.split_whitespace())
        .arg("--json")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let encoded = std::fs::metadata(log).map_or(0, |facts| facts.len());
    (report["rows_scored"].as_u64().unwrap(), encoded)
}

fn format(place: &Place) -> serde_json::Value {
    place.mock("inspect scores --json").exits(0).json()["format"].clone()
}

#[test]
fn what_an_old_store_has_is_not_encoded_again_and_the_output_is_that_of_a_new_one() {
    let (old, new) = (place(), place());
    std::fs::remove_dir_all(new.path("scores")).unwrap();
    let finished = "in/a.parquet in/c.parquet";
    let rest = format!("{finished} in/b.parquet");
    for (inputs, select, after) in [
        (finished, "--keep 0.4 --select clip-score", 1),
        (
            finished,
            "--keep 0.4 --select clip-score --add sas,sds,image_embedding",
            2,
        ),
        (
            rest.as_str(),
            "--keep 0.4 --add sds --select align-diverse",
            2,
        ),
    ] {
        let args = format!("{inputs} out.parquet --scores scores --overwrite {select}");
        let (scored, encoded) = run(&old, &args);
        let (all, _) = run(&new, &args);
        if inputs == finished {
            assert_eq!((scored, encoded), (0, 0), "{args}");
        } else {
            assert!(0 < scored && scored < all, "{scored} of {all}: {args}");
        }
        assert_eq!(
            (format(&old), format(&new)),
            (after.into(), 2.into()),
            "{args}"
        );
        let [old, new] =
            [&old, &new].map(|place| std::fs::read(place.path("out.parquet")).unwrap());
        assert!(old == new, "{args}");
    }
}

#[test]
fn what_is_remembered_of_the_last_selection_counts_after_the_migration() {
    let place = place();
    assert!(place.path("scores/selection.bin").exists());
    let args = "in/a.parquet in/c.parquet out.parquet --scores scores --keep 0.5 --adapt --select align-diverse --add sas --changes changes.parquet";
    run(&place, args);
    assert!(!place.path("scores/selection.bin").exists());
    assert!(place.path("scores/state/selection.bin").exists());
    // It is the selection that the old program made.
    assert_eq!(
        crate::shards::read(&place.path("changes.parquet")).num_rows(),
        0
    );
}
