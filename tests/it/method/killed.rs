//! A run that is killed while it computes from embeddings leaves a store that the same command finishes.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::pairs;
use crate::program::{Place, program};

const ROWS: u32 = 2000;
const KILLS: u32 = 10;
const ARGS: &str = "in.parquet out.parquet --overwrite --keep 0.4 --label-column kind --adapt --solver cover --dedup 0.01 --add sas,sds,s_cliploss,dup_max_sim,moderate,selection_score --quiet";

fn command(place: &Place, args: &str) -> Command {
    let mut command = program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        .args(args.split_whitespace())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(place.path("said")).unwrap());
    command
}

/// Every file below `directory`, with what is in it.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = files(&path).into_iter();
            let name = path.file_name().unwrap().to_str().unwrap();
            found.extend(below.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Files of the store but for what is there before anything is computed.
fn store(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(&place.path("scores"));
    files.retain(|name, _| !name.ends_with(".json") || name.starts_with("state/"));
    files
}

/// Files that are none of a store's, nor one of these that was being written: embeddings that wait for their turn lie
/// in files without a name.
fn strangers(files: &BTreeMap<String, Vec<u8>>) -> Vec<&String> {
    let known = [
        "lock",
        "state/shards.json",
        "current.json",
        "adapters.safetensors",
        "centres.json",
        "objective.json",
        "selection.bin",
    ];
    let is_known = |name: &str| {
        let name = name.strip_suffix(".tmp").unwrap_or(name);
        let name = name.strip_suffix(".clip-filter").unwrap_or(name);
        name.ends_with(".parquet") || known.iter().any(|end| name.ends_with(end))
    };
    files.keys().filter(|name| !is_known(name)).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn survives(args: &str, seed: u64) {
    let place = pairs::place(ROWS);
    assert!(
        command(&place, "score in.parquet --scores scores --quiet")
            .status()
            .unwrap()
            .success()
    );
    let scored = files(&place.path("scores"));
    let forget = || {
        std::fs::remove_dir_all(place.path("scores")).unwrap();
        for (name, bytes) in &scored {
            let path = place.path("scores").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    };
    let start = Instant::now();
    assert!(command(&place, args).status().unwrap().success());
    let whole = u64::try_from(start.elapsed().as_micros()).unwrap();
    let expected = (
        std::fs::read(place.path("out.parquet")).unwrap(),
        store(&place),
    );
    let mut random = Random(seed);
    let (mut kills, mut tries) = (0, 0);
    while kills < KILLS {
        tries += 1;
        assert!(
            tries < 20 * KILLS,
            "seed {seed}: too few kills were in time"
        );
        forget();
        std::fs::remove_file(place.path("out.parquet")).unwrap();
        for _ in 0..=random.below(3) {
            let wait = Duration::from_micros(random.below(whole));
            let mut child = command(&place, args).spawn().unwrap();
            std::thread::sleep(wait);
            let ended = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            child.wait().unwrap();
            kills += u32::from(!ended);
            let left = store(&place);
            assert_eq!(
                strangers(&left),
                Vec::<&String>::new(),
                "seed {seed}, after {wait:?}"
            );
        }
        let finished = command(&place, args).status().unwrap();
        let said = std::fs::read_to_string(place.path("said")).unwrap();
        assert!(finished.success(), "seed {seed}: {said}");
        let output = std::fs::read(place.path("out.parquet")).unwrap();
        assert!(output == expected.0, "seed {seed}: the output differs");
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        let left = store(&place);
        assert_eq!(names(&left), names(&expected.1), "seed {seed}");
        assert!(left == expected.1, "seed {seed}: the store differs");
        let hidden = place
            .names()
            .into_iter()
            .filter(|name| name.starts_with('.'));
        assert_eq!(hidden.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn a_killed_run_is_finished_by_the_same_command() {
    survives(&format!("{ARGS} --scores scores"), 0x5eed_4242);
}
