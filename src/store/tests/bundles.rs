//! Small shards in one file.

use super::*;

fn small(name: char, rows: u64) -> ShardIdentity {
    ShardIdentity {
        path: format!("/data/{name}.parquet"),
        given: format!("{name}.parquet"),
        fingerprint: name.to_string().repeat(64),
        size_bytes: 1,
        rows,
    }
}

/// Three shards: one whole, one of which a condition left a row out, one of which none is left.
fn shards() -> [ShardIdentity; 3] {
    [small('a', 2), small('b', 3), small('c', 1)]
}

fn bundled(directory: &Path) -> ScoreStore {
    let mut store = ScoreStore::open_or_create(directory, &spec()).unwrap();
    let shards = shards();
    store.record(&shards).unwrap();
    let stored = [vec![rows(&[0]), rows(&[1])], vec![rows(&[0, 2])], vec![]];
    let pairs = shards.iter().zip(&stored);
    let bundle: Vec<BundledShard<'_>> = pairs
        .map(|(shard, batches)| BundledShard { shard, batches })
        .collect();
    assert!(!store.has_bundle(&shards).unwrap());
    let claim = store.claim_bundle(&shards).unwrap().unwrap();
    assert!(store.claim_bundle(&shards).unwrap().is_none());
    store.commit_bundle(&bundle).unwrap();
    drop(claim);
    assert!(store.has_bundle(&shards).unwrap());
    store
}

/// The scores of each of [`shards`], by row.
fn stored(store: &ScoreStore) -> Vec<Vec<Option<f32>>> {
    let shards = shards();
    let scores = shards.iter().map(|shard| {
        let mut cursor = store.scores(shard).unwrap().cursor(&[CLIP_SCORE], 0);
        let cursor = cursor.as_mut().unwrap();
        let columns = cursor.take(&[0, 1, 2]).unwrap();
        let known = columns[0].as_primitive_opt::<Float32Type>();
        // Of a shard that is not known, no column has a type.
        known.map_or(vec![None; 3], |known| known.iter().collect())
    });
    scores.collect()
}

const STORED: [[Option<f32>; 3]; 3] = [
    [Some(0.0), Some(1.0), None],
    [Some(0.0), None, Some(2.0)],
    [None; 3],
];

fn only_file(folder: &Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn rows_of_small_shards_come_back_from_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let made = bundled(dir.path());
    assert_eq!(stored(&made), STORED);
    let filled = made.filled().unwrap();
    assert_eq!(stored(&filled), STORED);
    drop((made, filled));
    let store = ScoreStore::open(dir.path()).unwrap();
    assert_eq!(stored(&store), STORED);
    for (shard, is_dense) in shards().iter().zip([true, false, false]) {
        let coverage = store.coverage(shard).unwrap();
        assert!(coverage.complete && coverage.decided_rows == shard.rows);
        assert_eq!(store.scores(shard).unwrap().is_dense(), is_dense);
    }
    let mut from_second = store
        .scores(&shards()[0])
        .unwrap()
        .cursor(&[CLIP_SCORE], 1)
        .unwrap();
    let rest = from_second.advance().unwrap().unwrap();
    assert_eq!((rest.len(), rest.row(0)), (1, 1));
    assert!(from_second.advance().unwrap().is_none());
    only_file(&dir.path().join("bundles"));
    only_file(&dir.path().join("records"));
    assert!(!dir.path().join("scores").exists());
}

#[test]
fn what_is_known_of_a_bundle_is_made_again_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    drop(bundled(dir.path()).filled().unwrap());
    let record = only_file(&dir.path().join("records"));
    let bytes = std::fs::read(&record).unwrap();
    for left in [&bytes[..0], &bytes[..40]] {
        std::fs::write(&record, left).unwrap();
        for other in ["state/shards.json", "manifest.json"] {
            std::fs::remove_file(dir.path().join(other)).unwrap();
        }
        let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
        drop(store.filled().unwrap());
        let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
        store.record(&shards()).unwrap();
        assert_eq!(std::fs::read(&record).unwrap(), bytes);
        assert_eq!(stored(&store.filled().unwrap()), STORED);
    }
}

#[test]
fn somebody_else_s_bundle_is_known_once_it_is_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let other = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    drop(bundled(dir.path()));
    assert!(!other.coverage(&shards()[0]).unwrap().complete);
    assert!(other.has_bundle(&shards()).unwrap());
    assert_eq!(stored(&other), STORED);
    assert!(!other.has_bundle(&shards()[..2]).unwrap());
}

#[test]
fn a_shard_that_has_changed_leaves_its_bundle() {
    let dir = tempfile::tempdir().unwrap();
    drop(bundled(dir.path()).filled().unwrap());
    let before = only_file(&dir.path().join("bundles"));
    let changed = ShardIdentity {
        fingerprint: "d".repeat(64),
        ..small('a', 2)
    };
    let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.record(&[changed]).unwrap();
    let store = store.filled().unwrap();
    assert!(!store.coverage(&shards()[0]).unwrap().complete);
    assert_eq!(stored(&store)[1..], STORED[1..]);
    assert_ne!(only_file(&dir.path().join("bundles")), before);
    only_file(&dir.path().join("records"));
    let manifest = std::fs::read_to_string(dir.path().join("manifest.json")).unwrap();
    assert!(!manifest.contains("aaaaaaaa"), "{manifest}");
}

#[test]
fn a_bundle_that_is_taken_away_is_scored_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(bundled(dir.path()).filled().unwrap());
    std::fs::remove_file(only_file(&dir.path().join("bundles"))).unwrap();
    let store = ScoreStore::open(dir.path()).unwrap();
    for shard in shards() {
        let coverage = store.coverage(&shard).unwrap();
        assert!(!coverage.complete && coverage.decided_rows == 0);
    }
}

#[test]
fn records_that_say_more_than_a_bundle_has_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    drop(bundled(dir.path()).filled().unwrap());
    let manifest = dir.path().join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (there, instead) in [
        ("\"stored_rows\": 2", "\"stored_rows\": 99"),
        ("\"first_row\": 2", "\"first_row\": 18446744073709551615"),
    ] {
        std::fs::write(&manifest, text.replace(there, instead)).unwrap();
        let store = ScoreStore::open(dir.path()).unwrap();
        let cursor = store.scores(&shards()[1]).unwrap().cursor(&[CLIP_SCORE], 0);
        let error = cursor.err().unwrap().to_string();
        assert!(error.contains("read the score store"), "{error}");
    }
}
