//! A store in an object store that lies in memory.

use std::{io::Write, time::Duration};

use super::{
    filling::{alone, content, score, shards},
    *,
};
use crate::{
    remote::{Object, ObjectStores, Put},
    source::Places,
    store::{
        blobs::{Blobs, Durability},
        leases::{Lease, Terms},
        remote::RemoteStore,
    },
};

const URL: &str = "s3://memory/data/scores";

/// Claims that end soon, and are renewed much sooner.
const SOON: Terms = Terms {
    holds: Duration::from_secs(2),
    renewed: Duration::from_millis(100),
};

fn at(stores: &Arc<ObjectStores>) -> StoreAt {
    StoreAt::from(URL).in_places(&Places::default().with_object_stores(stores))
}

fn blobs(stores: &Arc<ObjectStores>) -> Arc<dyn Blobs> {
    RemoteStore::open(stores, URL).unwrap().blobs()
}

fn names_of(stores: &Arc<ObjectStores>) -> Vec<String> {
    stores.object(URL).unwrap().names_below().unwrap()
}

#[test]
fn two_that_share_a_store_make_what_one_makes_in_a_directory() {
    let stores = ObjectStores::in_memory();
    let at = at(&stores);
    assert!(!ScoreStore::is_at(&at) && ScoreStore::spec_at(&at).unwrap().is_none());
    let missing = ScoreStore::open(&at).unwrap_err().report();
    assert!(
        missing.contains("--scores s3://memory/data/scores"),
        "{missing}"
    );
    let mut opened: Vec<ScoreStore> = (0..2)
        .map(|_| ScoreStore::open_or_create(&at, &spec()).unwrap())
        .collect();
    for store in &mut opened {
        store.record(&shards()).unwrap();
    }
    let scored: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let workers: Vec<_> = opened
            .iter()
            .map(|store| {
                scope.spawn(move || {
                    let mut scored = Vec::new();
                    for (number, shard) in shards().iter().enumerate() {
                        let Some(_claim) = store.claim(shard).unwrap() else {
                            continue;
                        };
                        if !store.coverage(shard).unwrap().complete {
                            score(store, shard, 3_000);
                            scored.push(number);
                        }
                    }
                    scored
                })
            })
            .collect();
        let done = workers.into_iter().map(|worker| worker.join().unwrap());
        done.collect()
    });
    let filled = opened.remove(0).filled().unwrap();
    let complete = filled.coverages(&shards()).unwrap();
    assert!(complete.iter().all(|coverage| coverage.complete));
    let mut all = scored.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4], "each is scored by one");
    assert!(content(blobs(&stores).as_ref()) == alone(3_000));
    assert!(!filled.is_in_use().unwrap() && ScoreStore::has_scores(&at));
    assert!(
        names_of(&stores)
            .iter()
            .all(|name| !name.contains("claim") && !name.contains("probe")),
        "{:?}",
        names_of(&stores)
    );
    let read = ScoreStore::open(&at).unwrap();
    let shard = &shards()[3];
    let mut cursor = read
        .scores(shard)
        .unwrap()
        .cursor(&[CLIP_SCORE], 0)
        .unwrap();
    let found = scores(&cursor.take(&[0, 9_000, 10_002]).unwrap());
    assert_eq!(found, [Some(0.0), Some(9_000.0), Some(10_002.0)]);
}

#[test]
fn who_keeps_state_is_alone() {
    let stores = ObjectStores::in_memory();
    let at = at(&stores);
    let store = ScoreStore::open_or_create(&at, &spec()).unwrap();
    let writer = store.exclusive().unwrap();
    assert!(writer.is_in_use().unwrap());
    let refused = [
        ScoreStore::open(&at).map(drop),
        ScoreStore::add_model(&at, &spec())
            .unwrap()
            .exclusive()
            .map(drop),
    ];
    for refused in refused {
        let report = refused.unwrap_err().report();
        assert!(report.contains("another process uses it"), "{report}");
    }
    ScoreStore::look(&at).unwrap();
    drop(writer);
    assert!(!ScoreStore::open(&at).unwrap().is_in_use().unwrap());
}

fn object(stores: &Arc<ObjectStores>, name: &str) -> Object {
    stores.object(URL).unwrap().child(name).unwrap()
}

#[test]
fn a_claim_holds_while_it_is_renewed_and_not_longer() {
    let stores = ObjectStores::in_memory();
    let object = object(&stores, "claim");
    let first = Lease::take(&object, SOON).unwrap().unwrap();
    assert!(Lease::take(&object, SOON).unwrap().is_none());
    std::thread::sleep(SOON.holds * 2);
    assert!(
        Lease::take(&object, SOON).unwrap().is_none(),
        "it was renewed"
    );
    drop(first);
    assert_eq!(object.facts().unwrap(), None);
    let dead = u32::MAX;
    let elsewhere = r#"{"machine": "another", "number": 1, "started": 1}"#;
    let (past, future) = (0, u64::MAX);
    let here = serde_json::to_value(crate::store::alive::Process::this()).unwrap();
    for (process, until, is_taken) in [
        ("null".to_owned(), past, true),
        ("null".to_owned(), future, false),
        (elsewhere.to_owned(), past, true),
        (elsewhere.to_owned(), future, false),
        (here.to_string(), future, false),
        (
            here.to_string()
                .replace(&std::process::id().to_string(), &dead.to_string()),
            future,
            !here.is_null(),
        ),
    ] {
        let holder = format!(r#"{{"id": "x", "process": {process}, "until_ms": {until}}}"#);
        object.put(holder.clone(), Put::Always).unwrap();
        let taken = Lease::take(&object, SOON).unwrap();
        assert_eq!(taken.is_some(), is_taken, "{holder}");
    }
    object.put("damaged", Put::Always).unwrap();
    assert!(Lease::take(&object, SOON).unwrap().is_some());
}

#[test]
fn a_claim_that_was_taken_over_stays_with_who_took_it() {
    let stores = ObjectStores::in_memory();
    let object = object(&stores, "claim");
    let lost = Lease::take(&object, SOON).unwrap().unwrap();
    let other = r#"{"id": "other", "process": null, "until_ms": 18446744073709551615}"#;
    object.put(other, Put::Always).unwrap();
    std::thread::sleep(SOON.renewed * 3);
    drop(lost);
    assert_eq!(object.read_all().unwrap().unwrap().0, other);
}

#[test]
fn large_blobs_are_uploaded_and_nothing_is_left_of_one_that_failed() {
    let stores = ObjectStores::in_memory();
    let blobs = blobs(&stores);
    let bytes: Vec<u8> = (0..40_000_003_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let mut write = |out: &mut (dyn Write + Send)| {
        for chunk in bytes.chunks(7_000_001) {
            out.write_all(chunk).unwrap();
        }
        Ok(())
    };
    // As a kill would leave it.
    object(&stores, "uploads/scores/a.json")
        .put(r#"{"upload": "gone"}"#, Put::Always)
        .unwrap();
    blobs
        .put("scores/a", Durability::Named, &mut write)
        .unwrap();
    assert!(blobs.read("scores/a").unwrap().unwrap() == bytes);
    assert_eq!(names_of(&stores), ["scores/a"]);
    let failing = blobs.put("scores/b", Durability::Named, &mut |out| {
        out.write_all(&bytes).unwrap();
        Err(crate::error::Error::input("go on"))
    });
    assert!(failing.is_err());
    assert_eq!(names_of(&stores), ["scores/a"]);
    let noted = object(&stores, "uploads/scores/a.json");
    noted.put(r#"{"upload": "gone"}"#, Put::Always).unwrap();
    ScoreStore::open_or_create(at(&stores), &spec()).unwrap();
    assert_eq!(noted.facts().unwrap(), None, "what it became is there");
}

#[test]
fn changes_of_many_are_all_there() {
    let stores = ObjectStores::in_memory();
    let blobs = blobs(&stores);
    std::thread::scope(|scope| {
        for letter in "abcdefgh".bytes() {
            let blobs = &blobs;
            scope.spawn(move || {
                blobs
                    .update("x", Durability::Whole, &mut |old| {
                        let mut new = old.unwrap_or_default().to_vec();
                        new.push(letter);
                        Ok(Some(new))
                    })
                    .unwrap();
            });
        }
    });
    let mut all = blobs.read("x").unwrap().unwrap();
    all.sort_unstable();
    assert_eq!(all, b"abcdefgh");
}

#[test]
fn what_cannot_be_written_to_says_why() {
    let opened = |at: StoreAt| {
        ScoreStore::open_or_create(at, &spec())
            .unwrap_err()
            .report()
    };
    let ignoring = ObjectStores::in_memory_without_conditions();
    let report = opened(at(&ignoring));
    assert!(report.contains("ignores conditions"), "{report}");
    assert!(opened(StoreAt::from(URL)).contains("reads no URLs"));
    let stores = ObjectStores::in_memory();
    let places = Places::default().with_object_stores(&stores);
    let report = opened(StoreAt::from("https://host/scores").in_places(&places));
    assert!(report.contains("web server"), "{report}");
    let report = opened(StoreAt::from("s3://memory").in_places(&places));
    assert!(report.contains("names a bucket"), "{report}");
}

#[test]
fn what_a_killed_process_tried_the_store_with_is_swept_up() {
    let stores = ObjectStores::in_memory();
    let left = stores
        .object(&format!("{URL}/state/probe-0123456789abcdef"))
        .unwrap();
    left.put(&b"1"[..], Put::Always).unwrap();
    assert!(names_of(&stores).iter().any(|name| name.contains("probe")));
    ScoreStore::open_or_create(at(&stores), &spec()).unwrap();
    assert!(!names_of(&stores).iter().any(|name| name.contains("probe")));
}
