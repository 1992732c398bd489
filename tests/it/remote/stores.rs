//! Score stores in object stores.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::s3::S3;
use crate::{program::Place, shards};

const SHARDS: u32 = 4;
const ROWS: u32 = 600;
const STORE: &str = "s3://data/scores";
const KILLS: u64 = 20;

/// Large shards and small ones, of which a store makes bundles.
fn inputs(place: &Place) {
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..SHARDS {
        let mut pairs = shards::mixed_pairs(ROWS);
        pairs.rotate_left(shard as usize);
        shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), &pairs, 200);
    }
    for shard in 0..3 {
        let mut pairs = shards::mixed_pairs(20);
        pairs.rotate_left(shard);
        shards::write_pairs(
            &place.path(&format!("in/small-{shard}.parquet")),
            &pairs,
            20,
        );
    }
}

fn upload(s3: &S3, place: &Place) {
    for name in place.names().iter().filter(|name| *name == "in") {
        for entry in std::fs::read_dir(place.path(name)).unwrap() {
            let file = entry.unwrap();
            let key = format!("in/{}", file.file_name().to_str().unwrap());
            s3.put(&key, &file.path());
        }
    }
}

fn command(s3: &S3, place: &Place, args: &str) -> Command {
    let mut command = s3.program(place);
    let model = format!("mock:{}", place.path("encoded").display());
    command
        .env("CLIP_FILTER_MODEL", model)
        .args(args.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(s3: &S3, place: &Place, args: &str) -> crate::program::Ran {
    command(s3, place, args).output().unwrap().into()
}

/// Images encoded so far, by all processes.
fn encoded(place: &Place) -> u64 {
    std::fs::metadata(place.path("encoded")).map_or(0, |facts| facts.len())
}

/// The files of a store but locks, and what says where the shards lie.
fn without_locks(mut store: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    for name in ["lock", "state/lock", "state/shards.json"] {
        store.remove(name);
    }
    // What a process asks a store by whether it heeds conditions, and was killed before it took that away.
    store.retain(|name, _| !name.starts_with("state/probe-"));
    store
}

fn local_store(root: &Path) -> BTreeMap<String, Vec<u8>> {
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
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    without_locks(found)
}

fn remote_store(s3: &S3, place: &Place) -> BTreeMap<String, Vec<u8>> {
    let all = s3.list().into_iter();
    let names = all.filter_map(|key| key.strip_prefix("scores/").map(str::to_owned));
    let read = |name: String| {
        let file = place.path("fetched");
        s3.get(&format!("scores/{name}"), &file);
        (name, std::fs::read(file).unwrap())
    };
    without_locks(names.map(read).collect())
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    let names = |store: &BTreeMap<String, Vec<u8>>| store.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for (name, bytes) in found {
        assert!(bytes == &expected[name], "{name} differs");
    }
}

#[test]
fn a_store_in_a_bucket_is_that_of_a_directory_for_every_command() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    inputs(&place);
    let go = |args: &str| run(&s3, &place, args);
    for store in ["scores", STORE] {
        go(&format!("score in --scores {store} --add sas,dup_max_sim")).exits(0);
    }
    let same = || {
        assert_same(
            &remote_store(&s3, &place),
            &local_store(&place.path("scores")),
        )
    };
    same();
    let images = encoded(&place);
    let both = |args: &str| {
        let of = |store: &str| go(&args.replace("STORE", store)).exits(0).stdout;
        let [here, there] = ["scores", STORE].map(of);
        assert_eq!(here, there.replace(STORE, "scores"), "{args}");
        here
    };
    for keep in ["0.3", "0.5"] {
        both(&format!(
            "in kept.parquet --scores STORE --keep {keep} --overwrite --changes changes.parquet --quiet"
        ));
        same();
    }
    let changes = go(
        "sql SELECT(count(*))FROM(t)WHERE(change='entered') --format csv --input t=changes.parquet",
    );
    assert_ne!(changes.exits(0).stdout.lines().nth(1), Some("0"));
    let counted = both("sql SELECT(avg(clip_score))FROM(pairs) --scores STORE --format csv");
    assert_eq!(counted.lines().count(), 2);
    both("explain in/1.parquet:3 --scores STORE --keep 0.2");
    go(&format!("report {STORE} -o report.html")).exits(0);
    let facts = go(&format!("inspect {STORE} --json")).exits(0).json();
    assert_eq!(facts["kind"], "store");
    assert_eq!(
        (&facts["directory"], &facts["in_use"]),
        (&STORE.into(), &false.into())
    );
    assert_eq!(facts["rows_decided"], u64::from(SHARDS * ROWS + 60));
    assert_eq!(facts["shards"][0]["file"], "same");
    assert_eq!(encoded(&place), images, "no image was encoded again");
    let changed = shards::mixed_pairs(ROWS / 2);
    shards::write_pairs(&place.path("in/0.parquet"), &changed, 200);
    go(&format!("score in --scores {STORE}"))
        .exits(1)
        .says(&["a shard has changed", "--only-new"]);
    for store in ["scores", STORE] {
        go(&format!("score in --scores {store} --only-new")).exits(0);
    }
    same();
    assert_eq!(s3.uploads(), [""; 0]);
}

#[test]
fn places_that_are_no_store_or_cannot_be_one_are_told() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    inputs(&place);
    upload(&s3, &place);
    let go = |args: &str| run(&s3, &place, args);
    go("sql SELECT(1) --scores s3://data/nothing")
        .exits(1)
        .says(&["there is none", "--scores s3://data/nothing"]);
    go("score in --scores https://host/scores").says(&["web server"]);
    go("score in --scores ftp://host/scores").says(&["no store of this scheme"]);
    go("score s3://data/in --scores s3://data/in/scores")
        .exits(2)
        .says(&["within an input"]);
    go("score in --scores s3://nobucket/scores")
        .exits(1)
        .says(&["no such bucket"]);
    assert_eq!(encoded(&place), 0);
}

#[test]
fn two_processes_fill_one_store_and_each_image_is_encoded_once() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    inputs(&place);
    run(&s3, &place, "score in --scores scores").exits(0);
    let images = encoded(&place);
    let args = format!("score in --scores {STORE}");
    let workers: Vec<Child> = (0..2)
        .map(|_| command(&s3, &place, &args).spawn().unwrap())
        .collect();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    assert_same(
        &remote_store(&s3, &place),
        &local_store(&place.path("scores")),
    );
    assert_eq!(encoded(&place), 2 * images);
}

/// A Parquet file without its footer, in which the command stands.
fn rows_of(file: &[u8]) -> &[u8] {
    let (rest, _) = file.split_at(file.len() - 4);
    let (rest, length) = rest.split_at(rest.len() - 4);
    let footer = u32::from_le_bytes(length.try_into().unwrap());
    &rest[..rest.len() - footer as usize]
}

#[test]
fn a_run_over_a_bucket_alone_survives_kills() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    inputs(&place);
    upload(&s3, &place);
    let args = format!("s3://data/in s3://data/out.parquet --scores {STORE} --keep 0.4 --quiet");
    let output = || {
        s3.get("out.parquet", &place.path("got.parquet"));
        std::fs::read(place.path("got.parquet")).unwrap()
    };
    let of_store = || -> Vec<String> {
        let mut keys = s3.list();
        keys.retain(|key| key.starts_with("scores/"));
        keys
    };
    let start_afresh = || {
        of_store().iter().for_each(|key| s3.remove(key));
        s3.remove("out.parquet");
    };
    // What nobody kills, here and there, and how long it takes.
    run(
        &s3,
        &place,
        "in here.parquet --scores here --keep 0.4 --quiet",
    )
    .exits(0);
    let here = std::fs::read(place.path("here.parquet")).unwrap();
    let start = Instant::now();
    run(&s3, &place, &args).exits(0);
    let whole = u64::try_from(start.elapsed().as_millis()).unwrap();
    let images = encoded(&place) / 2;
    let (expected, stored) = (output(), of_store());
    assert!(rows_of(&expected) == rows_of(&here), "not those of a disk");
    start_afresh();

    let seed = 0x5eed_u64;
    let mut random = seed;
    let (mut hit, mut ended) = (0, 0);
    for number in 0..KILLS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let after = (random >> 33) % whole.max(1);
        let mut child = command(&s3, &place, &args).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        let killed = !child.wait().unwrap().success();
        eprintln!("kill {number} of seed {seed:#x} after {after} ms of {whole}: {killed}");
        match killed {
            true => hit += 1,
            false => {
                ended += 1;
                start_afresh();
            }
        }
    }
    assert!(hit >= KILLS / 4, "{hit} runs were killed");
    let again = run(&s3, &place, &args);
    assert!(
        again.code == Some(0) || again.stderr.contains("it exists"),
        "{}",
        again.stderr
    );
    assert!(output() == expected, "other bytes after kills");
    // Of each kill what was under way is encoded again, less than a shard.
    let most = images * (3 + ended) + hit * u64::from(ROWS);
    assert!(encoded(&place) <= most, "{} of {images}", encoded(&place));
    assert_eq!(of_store(), stored);
    // One that a store has begun when the program is killed before it knows the name is found by nobody. It has no parts.
    let left = s3.uploads();
    assert!(left.len() <= 1, "{left:?}");
}

#[test]
fn shares_of_which_two_are_killed_make_the_store_of_one_process() {
    let (place, Some(s3)) = (Place::new(), S3::start()) else {
        return;
    };
    inputs(&place);
    upload(&s3, &place);
    let alone = |store: &str| run(&s3, &place, &format!("score s3://data/in --scores {store}"));
    let start = Instant::now();
    alone("scores").exits(0);
    let whole = u64::try_from(start.elapsed().as_millis()).unwrap();
    let share = |index: u64| {
        let args = format!("score s3://data/in --scores {STORE} --part {index}/4");
        command(&s3, &place, &args)
    };
    let mut workers: Vec<Child> = (0..4).map(|index| share(index).spawn().unwrap()).collect();
    let mut random = 0x5eed_u64;
    for index in [1, 3] {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_millis((random >> 33) % whole.max(1)));
        workers[index].kill().unwrap();
    }
    for worker in workers {
        worker.wait_with_output().unwrap();
    }
    for index in 0..4 {
        let again = share(index).output().unwrap();
        crate::program::Ran::from(again).exits(0);
    }
    let merge = || run(&s3, &place, &format!("merge --scores {STORE}"));
    merge().exits(0);
    merge().exits(0);
    assert_same(
        &remote_store(&s3, &place),
        &local_store(&place.path("scores")),
    );
    for (store, output) in [("scores", "a.parquet"), (STORE, "b.parquet")] {
        let args = format!("s3://data/in {output} --scores {store} --keep 0.4 --quiet");
        run(&s3, &place, &args).exits(0);
    }
    // What was typed stands in the metadata of each.
    let rows = |output: &str| shards::read(&place.path(output)).columns().to_vec();
    assert!(rows("a.parquet") == rows("b.parquet"), "the outputs differ");
    assert_eq!(s3.uploads(), [""; 0]);
}
