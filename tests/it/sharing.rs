//! Several processes fill one store at the same time.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    program::{Place, program},
    shards,
};

const SHARDS: u32 = 6;
const ROWS: u32 = 1500;
const ARGS: &str = "score in --scores scores";

fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..SHARDS {
        let mut pairs = shards::mixed_pairs(ROWS);
        pairs.rotate_left(shard as usize);
        shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), &pairs, 500);
    }
    place
}

fn command(place: &Place, args: &str) -> Command {
    let mut command = program();
    command
        .current_dir(place.dir())
        .env(
            "CLIP_FILTER_MODEL",
            format!("mock:{}", place.path("encoded").display()),
        )
        .env("CLIP_FILTER_THREADS", "1")
        .args(args.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Images encoded so far, by all processes.
fn encoded(place: &Place) -> u64 {
    std::fs::metadata(place.path("encoded")).map_or(0, |facts| facts.len())
}

fn said(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Every file of the store, with what is in it; locks are empty.
fn store(place: &Place) -> BTreeMap<String, Vec<u8>> {
    fn walk(directory: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), std::fs::read(&path).unwrap());
        }
    }
    let (root, mut found) = (place.path("scores"), BTreeMap::new());
    walk(&root, &root, &mut found);
    // Says where the shards lie, which is not the same in two places.
    found.remove("state/shards.json");
    found
}

/// What one process makes, and the images it encodes.
fn alone() -> (BTreeMap<String, Vec<u8>>, u64) {
    let place = place();
    said(command(&place, ARGS).spawn().unwrap());
    let store = store(&place);
    let of = |folder: &str| store.keys().filter(|name| name.starts_with(folder)).count();
    let shards = usize::try_from(SHARDS).unwrap();
    assert_eq!(
        (of("scores/"), of("records/"), of("parts/")),
        (shards, shards, 0)
    );
    (store, encoded(&place))
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    let names = |store: &BTreeMap<String, Vec<u8>>| store.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for (name, bytes) in found {
        assert!(bytes == &expected[name], "{name} differs");
    }
}

#[test]
fn processes_that_share_a_store_make_what_one_makes() {
    let (expected, images) = alone();
    let place = place();
    let workers: Vec<Child> = (0..3)
        .map(|_| command(&place, ARGS).spawn().unwrap())
        .collect();
    for worker in workers {
        said(worker);
    }
    assert_same(&store(&place), &expected);
    assert_eq!(encoded(&place), images, "each image is encoded once");
}

#[test]
fn a_process_waits_for_shards_of_others_and_takes_over_what_they_leave() {
    let (expected, images) = alone();
    let (place, mut first) = (0..20)
        .find_map(|_| stopped_with_a_claim())
        .expect("a process that is stopped while it scores");
    let before = encoded(&place);
    let mut second = command(&place, ARGS).spawn().unwrap();
    // All but the shards of the first; then nothing else is left to do.
    let scored = place.path("scores/scores");
    let done = || std::fs::read_dir(&scored).map_or(0, |entries| entries.flatten().count());
    let others = usize::try_from(SHARDS).unwrap() - claims(&place);
    while done() < others {
        assert!(second.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(second.try_wait().unwrap().is_none(), "it waits");
    let shown = place.mock("inspect scores --json").exits(0).json();
    assert_eq!(
        (&shown["in_use"], &shown["format"]),
        (&true.into(), &2.into())
    );
    assert!(shown["claims"].as_u64().unwrap() > 0);
    first.kill().unwrap();
    first.wait().unwrap();
    let text = said(second);
    assert_eq!(
        text.matches("waiting for other processes").count(),
        1,
        "{text}"
    );
    assert_same(&store(&place), &expected);
    assert!(before < images && encoded(&place) >= images);
}

#[test]
fn a_process_that_waits_can_be_interrupted() {
    let (place, mut first) = (0..20)
        .find_map(|_| stopped_with_a_claim())
        .expect("a process that is stopped while it scores");
    let second = command(&place, ARGS).spawn().unwrap();
    let scored = place.path("scores/scores");
    let done = || std::fs::read_dir(&scored).map_or(0, |entries| entries.flatten().count());
    let others = usize::try_from(SHARDS).unwrap() - claims(&place);
    while done() < others {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    signal(&second, "INT");
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    first.kill().unwrap();
    first.wait().unwrap();
    // What it left is read while nobody scores.
    place.mock("inspect scores").exits(0);
}

#[test]
fn killed_processes_that_share_a_store_leave_what_others_finish() {
    let (expected, images) = alone();
    let place = place();
    for kill in 0..6 {
        let mut workers: Vec<Child> = (0..2)
            .map(|_| command(&place, ARGS).spawn().unwrap())
            .collect();
        std::thread::sleep(Duration::from_millis(150 + 70 * kill));
        workers[0].kill().unwrap();
        workers[0].wait().unwrap();
        if kill % 2 == 0 {
            workers[1].kill().unwrap();
            workers[1].wait().unwrap();
        } else if let Some(worker) = workers.pop() {
            said(worker);
            break;
        }
    }
    said(command(&place, ARGS).spawn().unwrap());
    assert_same(&store(&place), &expected);
    assert!(encoded(&place) >= images);
}

#[test]
fn shares_that_are_merged_are_what_one_process_makes() {
    let (expected, images) = alone();
    let place = place();
    let score = |share: &str| {
        command(&place, &format!("{ARGS} --part {share}"))
            .output()
            .unwrap()
    };
    let merge = |args: &str| place.mock(&format!("merge --scores scores {args}"));
    let ran = crate::program::Ran::from(score("3/3")).exits(2);
    ran.says(&["3/3", "I/N"]);
    merge("").exits(1).says(&["there is none"]);
    let first = crate::program::Ran::from(score("0/3")).exits(0);
    let alone = encoded(&place);
    assert!(alone < images, "{}", first.stderr);
    merge("").exits(1).says(&["some are missing", "in/"]);
    let added = format!("{ARGS} --part 1/3 --add sds");
    let added = crate::program::Ran::from(command(&place, &added).output().unwrap()).exits(2);
    added.says(&["merge the store"]);
    for share in ["1/3", "2/3", "0/3"] {
        crate::program::Ran::from(score(share)).exits(0);
    }
    for _ in 0..2 {
        let merged = merge("--json").exits(0).json();
        assert_eq!(
            (&merged["shards"], &merged["rows"], &merged["missing"]),
            (
                &SHARDS.into(),
                &(SHARDS * ROWS).into(),
                &serde_json::json!([])
            )
        );
        assert_same(&store(&place), &expected);
    }
    assert_eq!(encoded(&place), images, "each image is encoded once");
}

/// Shards in work.
fn claims(place: &Place) -> usize {
    let entries = std::fs::read_dir(place.path("scores/parts"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join("claim").exists())
        .count()
}

/// None if the process had no claim when it was stopped, or had ended by then.
fn stopped_with_a_claim() -> Option<(Place, Child)> {
    let place = place();
    let mut child = command(&place, ARGS).stderr(Stdio::null()).spawn().unwrap();
    while encoded(&place) == 0 {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "STOP");
    let scored = std::fs::read_dir(place.path("scores/scores"));
    let scored = scored.into_iter().flatten().flatten();
    let being_written = scored.filter(|entry| entry.path().extension() == Some("tmp".as_ref()));
    if claims(&place) > 0 && being_written.count() == 0 {
        return Some((place, child));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
