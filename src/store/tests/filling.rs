//! Several fill one store.

use std::collections::BTreeMap;

use super::*;
use crate::store::{
    backing::StateLock,
    blobs::Blobs,
    local::LocalBlobs,
    memory::{MemoryBlobs, MemoryClaims},
    score_store::StorePlace,
};

pub(super) fn shards() -> Vec<ShardIdentity> {
    let shard = |number: u64| ShardIdentity {
        path: format!("/data/{number}.parquet"),
        given: format!("{number}.parquet"),
        // Files are named by the first half.
        fingerprint: format!("{number}{}", "0".repeat(63)),
        size_bytes: number,
        rows: 10_000 + number,
    };
    (0..5).map(shard).collect()
}

/// Rows as a store gets them.
fn part(from: u64, to: u64) -> RecordBatch {
    rows(&numbers(from.cast_signed()..to.cast_signed()))
}

pub(super) fn score(store: &ScoreStore, shard: &ShardIdentity, part_rows: u64) {
    let mut from = store.coverage(shard).unwrap().decided_rows;
    while from < shard.rows {
        let to = (from + part_rows).min(shard.rows);
        store
            .commit_part(shard, from..to, &[part(from, to)])
            .unwrap();
        from = to;
    }
    store.complete(shard).unwrap();
}

/// Everything of a store but where its shards lie, and locks.
pub(super) fn content(blobs: &dyn Blobs) -> BTreeMap<String, Vec<u8>> {
    fn walk(blobs: &dyn Blobs, folder: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for name in blobs.list(folder).unwrap() {
            let name = format!("{folder}/{name}");
            match blobs.size(&name).unwrap() {
                Some(_) => drop(found.insert(name.clone(), blobs.read(&name).unwrap().unwrap())),
                None => walk(blobs, &name, found),
            }
        }
    }
    let mut found = BTreeMap::new();
    for folder in ["models", "scores", "records", "parts", "derived"] {
        walk(blobs, folder, &mut found);
    }
    let manifest = blobs.read("manifest.json").unwrap().unwrap();
    found.insert("manifest.json".to_owned(), manifest);
    found
}

fn in_memory(blobs: &Arc<MemoryBlobs>, claims: &MemoryClaims) -> ScoreStore {
    let place = StorePlace {
        at: "memory".into(),
        blobs: Arc::clone(blobs) as Arc<dyn Blobs>,
        claims: Arc::new(claims.clone()),
        lock: StateLock::Open,
    };
    ScoreStore::create_in(place, &spec()).unwrap()
}

/// The content of a local store that one process fills.
pub(super) fn alone(part_rows: u64) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.record(&shards()).unwrap();
    for shard in &shards() {
        let _claim = store.claim(shard).unwrap().unwrap();
        score(&store, shard, part_rows);
    }
    store.filled().unwrap();
    let content = content(&LocalBlobs::new(dir.path()));
    // A file and a record of each shard, a model, the manifest.
    assert_eq!(content.len(), 2 * shards().len() + 2);
    content
}

#[test]
fn a_file_has_the_same_bytes_whatever_the_parts_were() {
    let expected = alone(100_000);
    for part_rows in [256, 999, 9_000] {
        assert!(alone(part_rows) == expected, "parts of {part_rows} rows");
    }
}

#[test]
fn two_that_share_a_store_without_renames_make_what_one_makes_in_a_directory() {
    let (blobs, claims) = (Arc::default(), MemoryClaims::default());
    let mut stores = [in_memory(&blobs, &claims), in_memory(&blobs, &claims)];
    for store in &mut stores {
        store.record(&shards()).unwrap();
    }
    let scored: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let workers = stores.iter().map(|store| {
            scope.spawn(move || {
                let mut scored = Vec::new();
                for (number, shard) in shards().iter().enumerate() {
                    let Some(_claim) = store.claim(shard).unwrap() else {
                        continue;
                    };
                    if store.coverage(shard).unwrap().complete {
                        continue;
                    }
                    score(store, shard, 500);
                    scored.push(number);
                }
                store.filled().unwrap();
                scored
            })
        });
        let workers: Vec<_> = workers.collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let mut all = scored.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4], "each is scored by one");
    assert!(content(blobs.as_ref()) == alone(500));
    assert!(blobs.all().contains_key("state/shards.json"));
}

#[test]
fn a_claim_that_expired_is_taken_over_and_its_late_owner_does_no_harm() {
    let (blobs, claims) = (Arc::default(), MemoryClaims::default());
    let (first, second) = (in_memory(&blobs, &claims), in_memory(&blobs, &claims));
    let shard = &shards()[0];
    let mut one = shards();
    one.truncate(1);
    let expected: BTreeMap<String, Vec<u8>> = {
        let alone = (Arc::default(), MemoryClaims::default());
        let mut store = in_memory(&alone.0, &alone.1);
        store.record(&one).unwrap();
        score(&store, shard, 700);
        store.filled().unwrap();
        content(alone.0.as_ref())
    };
    let mut late = first;
    late.record(&one).unwrap();
    let lost = late.claim(shard).unwrap().unwrap();
    late.commit_part(shard, 0..300, &[part(0, 300)]).unwrap();
    claims.pass(5);
    lost.renew();
    claims.pass(5);
    assert!(second.claim(shard).unwrap().is_none(), "it was renewed");
    claims.pass(5);
    let taken = second.claim(shard).unwrap().unwrap();
    assert_eq!(second.coverage(shard).unwrap().decided_rows, 300);
    second
        .commit_part(shard, 300..900, &[part(300, 900)])
        .unwrap();
    // The late one knows nothing of it; its parts overlap.
    lost.renew();
    late.commit_part(shard, 300..600, &[part(300, 600)])
        .unwrap();
    late.commit_part(shard, 600..1_500, &[part(600, 1_500)])
        .unwrap();
    assert_eq!(second.coverage(shard).unwrap().decided_rows, 1_500);
    let read = |store: &ScoreStore| {
        let mut cursor = store
            .scores(shard)
            .unwrap()
            .cursor(&[CLIP_SCORE], 0)
            .unwrap();
        let mut seen = Vec::new();
        while let Some(rows) = cursor.advance().unwrap() {
            seen.extend((0..rows.len()).map(|position| rows.row(position)));
        }
        seen
    };
    assert_eq!(read(&second), numbers(0..1_500), "no row is there twice");
    drop(lost);
    assert!(late.claim(shard).unwrap().is_none(), "it is the other's");
    score(&second, shard, 4_000);
    drop(taken);
    late.commit_part(shard, 1_500..shard.rows, &[part(1_500, shard.rows)])
        .unwrap();
    late.complete(shard).unwrap();
    late.filled().unwrap();
    assert!(content(blobs.as_ref()) == expected);
}

#[test]
fn parts_that_a_kill_has_left_of_a_finished_shard_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    let (finished, other) = (
        shard(5),
        ShardIdentity {
            fingerprint: "e".repeat(64),
            ..shard(5)
        },
    );
    for shard in [&finished, &other] {
        store
            .commit_part(shard, 0..5, &[rows(&numbers(0..5))])
            .unwrap();
    }
    store.complete(&finished).unwrap();
    let parts = |shard: &ShardIdentity| {
        let scored = store.scored(&shard.fingerprint);
        store.blobs.list(&names::parts(&scored)).unwrap()
    };
    // As if the process had died before they were removed.
    store
        .commit_part(&finished, 0..5, &[rows(&numbers(0..5))])
        .unwrap();
    let claim = store.claim(&finished).unwrap().unwrap();
    store.sweep().unwrap();
    assert!(!parts(&finished).is_empty(), "somebody is at it");
    drop(claim);
    store.sweep().unwrap();
    assert!(parts(&finished).is_empty());
    assert_eq!(parts(&other).len(), 1);
    assert_eq!(store.missing_rows(&[finished, other]).unwrap(), 0);
}
