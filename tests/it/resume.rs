//! A run that is killed at any moment goes on where it was, and ends as if nothing had happened.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    program::{Place, program},
    shards,
};

const SHARDS: u32 = 3;
const ROWS: u32 = 5000;
/// Larger than what is under way at any moment, so that a kill costs less than one row group.
const GROUP_ROWS: u64 = 2500;
const KILLS: u32 = 24;
const ARGS: &str =
    "in out.parquet --keep 0.4 --add image_embedding,status --rejects bad.parquet --quiet";

fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..SHARDS {
        let mut pairs = shards::mixed_pairs(ROWS);
        pairs.rotate_left(shard as usize);
        let path = place.path(&format!("in/{shard}.parquet"));
        shards::write_pairs(&path, &pairs, usize::try_from(GROUP_ROWS).unwrap());
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
        .env("CLIP_FILTER_THREADS", "2")
        .args(args.split_whitespace())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(place.path("said")).unwrap());
    command
}

/// Images encoded so far, by all processes.
fn encoded(place: &Place) -> u64 {
    std::fs::metadata(place.path("encoded")).map_or(0, |facts| facts.len())
}

fn clear(place: &Place) {
    for name in place.names().iter().filter(|name| *name != "in") {
        let path = place.path(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn outputs(place: &Place) -> [Vec<u8>; 2] {
    ["out.parquet", "bad.parquet"].map(|name| std::fs::read(place.path(name)).unwrap())
}

/// The moment of a kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the start.
    After(Duration),
    /// So long after this path is there.
    At(&'static str, Duration),
}

impl Moment {
    /// True if the process was killed, false if it had ended before.
    fn kill(self, child: &mut Child, place: &Place) -> bool {
        let wait = match self {
            Moment::After(wait) => wait,
            Moment::At(path, wait) => {
                while !place.path(path).exists() {
                    if child.try_wait().unwrap().is_some() {
                        return false;
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
                wait
            }
        };
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        child.kill().unwrap();
        let died = !child.wait().unwrap().success();
        // Nothing is left to do where the output is there and the work directory is not.
        died && (!place.path("out.parquet").exists()
            || place.path(".out.parquet.clip-filter").exists())
    }
}

struct Random(u64);

impl Random {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Kills runs of `args` until enough were hit, in sequences that each end with a success.
fn survives(args: &str, seed: u64) {
    let place = place();
    let start = Instant::now();
    assert!(command(&place, args).status().unwrap().success());
    let whole = u64::try_from(start.elapsed().as_micros()).unwrap();
    let (expected, images) = (outputs(&place), encoded(&place));
    clear(&place);
    let mut random = Random(seed);
    let (mut kills, mut in_emit) = (0, 0);
    while kills < KILLS {
        let mut killed_here = 0;
        loop {
            let moment = match random.below(6) {
                0 => Moment::At(
                    ".out.parquet.clip-filter/output",
                    Duration::from_micros(random.below(whole / 10)),
                ),
                1 => Moment::At(
                    ".out.parquet.clip-filter/commit.json",
                    Duration::from_micros(random.below(400)),
                ),
                2 => Moment::At("out.parquet", Duration::from_micros(random.below(400))),
                _ => Moment::After(Duration::from_micros(random.below(whole))),
            };
            let mut child = command(&place, args).spawn().unwrap();
            let killed = moment.kill(&mut child, &place);
            if !killed {
                let ended = child.wait().unwrap();
                assert!(
                    ended.code().is_none_or(|code| code == 0),
                    "seed {seed}, kill {kills}, {moment:?}: {ended}: {}",
                    std::fs::read_to_string(place.path("said")).unwrap()
                );
                break;
            }
            kills += 1;
            killed_here += 1;
            in_emit += u32::from(place.path(".out.parquet.clip-filter/output").exists());
            assert!(
                !place.path("out.parquet").exists() || outputs(&place)[0] == expected[0],
                "seed {seed}: a partial output is visible after {moment:?}"
            );
        }
        let [output, rejects] = outputs(&place);
        assert!(output == expected[0], "seed {seed}: the output differs");
        assert!(rejects == expected[1], "seed {seed}: the rejects differ");
        let most = images + killed_here * GROUP_ROWS;
        let encoded = encoded(&place);
        assert!(
            (images..=most).contains(&encoded),
            "seed {seed}: {encoded} images encoded after {killed_here} kills, {images} without"
        );
        let left = place.names();
        let hidden = |name: &&String| name.starts_with('.') && !name.ends_with(".done");
        assert!(!left.iter().any(|name| hidden(&name)), "{left:?}");
        clear(&place);
    }
    assert!(in_emit > 0, "seed {seed}: no kill hit the emit pass");
}

#[test]
fn a_killed_run_goes_on_from_its_private_store() {
    survives(ARGS, 0x5eed_1234);
}

#[test]
fn a_killed_run_goes_on_from_a_named_store() {
    survives(&format!("{ARGS} --scores scores"), 0x5eed_5678);
}

#[test]
fn an_interrupted_run_goes_on() {
    let place = place();
    assert!(command(&place, ARGS).status().unwrap().success());
    let expected = outputs(&place);
    clear(&place);
    let mut child = command(&place, ARGS).spawn().unwrap();
    let parts = place.path(".out.parquet.clip-filter/scores/parts");
    while !has_part(&parts) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let before = encoded(&place);
    assert!(!place.path("out.parquet").exists());
    assert!(command(&place, ARGS).status().unwrap().success());
    assert!(outputs(&place) == expected);
    assert!(encoded(&place) > before);
}

#[test]
fn an_interrupted_run_leaves_its_trace() {
    let place = place();
    let args = format!("{ARGS} --trace trace.json");
    let mut child = command(&place, &args).spawn().unwrap();
    let parts = place.path(".out.parquet.clip-filter/scores/parts");
    while !has_part(&parts) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!place.path("trace.json").exists());
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let trace = std::fs::read(place.path("trace.json")).unwrap();
    let events: Vec<serde_json::Value> = serde_json::from_slice(&trace).unwrap();
    let names = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    assert!(names("encode") > 0 && names("score") == 1);
}

#[test]
fn a_second_process_on_the_same_output_is_refused_and_the_lock_dies_with_its_owner() {
    let directory = ".out.parquet.clip-filter";
    let stopped = (0..20).find_map(|_| stopped_with_the_lock(ARGS, directory));
    let (place, mut first) = stopped.expect("a process that is stopped while it has the lock");
    let second = command(&place, ARGS)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another process uses it"), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(command(&place, ARGS).status().unwrap().success());
}

/// None if the process was stopped before it had the lock, or had ended by then.
fn stopped_with_the_lock(args: &str, directory: &str) -> Option<(Place, Child)> {
    let place = place();
    let lock = place.path(directory).join("lock");
    let mut child = command(&place, args).spawn().unwrap();
    while !lock.exists() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "STOP");
    let held = File::open(&lock)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    if held {
        return Some((place, child));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// True once rows of a shard are committed.
fn has_part(parts: &Path) -> bool {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut files = entries(parts).flat_map(|shard| entries(&shard.path()));
    files.any(|file| file.path().extension().is_some_and(|end| end == "parquet"))
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Files of an output in folders, and what is in them.
fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => drop(files.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    files
}

#[test]
fn a_killed_run_cuts_its_output_as_one_that_was_not() {
    let args =
        "in out --keep 0.4 --on-error keep --add status,width --partition-by status,width --quiet";
    let place = place();
    let start = Instant::now();
    assert!(command(&place, args).status().unwrap().success());
    let whole = u64::try_from(start.elapsed().as_micros()).unwrap();
    let expected = files_below(&place.path("out"));
    assert!(expected.len() > 3, "{:?}", expected.keys());
    let mut random = Random(0x5eed_0e0e);
    let mut in_emit = 0;
    for _ in 0..6 {
        clear(&place);
        for wait in [random.below(whole), 0] {
            let mut child = command(&place, args).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(wait));
            // The second is killed while it writes.
            while wait == 0
                && child.try_wait().unwrap().is_none()
                && !place.path(".out.clip-filter/output").exists()
            {
                std::thread::sleep(Duration::from_micros(200));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            in_emit += u32::from(place.path(".out.clip-filter/output").exists());
            assert!(!place.path("out").exists() || files_below(&place.path("out")) == expected);
        }
        // One that was done already has an output, which is not written over.
        let done = place.path("out").exists();
        assert!(done || command(&place, args).status().unwrap().success());
        assert!(files_below(&place.path("out")) == expected);
    }
    assert!(in_emit > 0, "no kill hit the emit pass");
}
