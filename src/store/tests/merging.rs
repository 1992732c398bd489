//! What a kill or a loss takes of the small files.

use super::*;

/// A store with one finished shard, its manifest not merged since.
fn finished(directory: &Path) -> ScoreStore {
    let mut store = ScoreStore::open_or_create(directory, &spec()).unwrap();
    store.record(&[shard(5)]).unwrap();
    store
        .commit_part(&shard(5), 0..5, &[rows(&numbers(0..5))])
        .unwrap();
    store.complete(&shard(5)).unwrap();
    store
}

fn manifest(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("manifest.json")).unwrap()
}

fn record(directory: &Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(directory.join("records")).unwrap();
    files.next().unwrap().unwrap().path()
}

#[test]
fn a_shard_that_the_manifest_lacks_is_read_and_merged_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    drop(finished(dir.path()));
    assert!(!manifest(dir.path()).contains("fffff"));
    std::fs::remove_file(dir.path().join("state/shards.json")).unwrap();
    let store = ScoreStore::open(dir.path()).unwrap();
    assert_eq!(store.shards().len(), 1);
    assert_eq!(store.shards()[0].path, "a.parquet");
    assert!(store.coverage(&shard(5)).unwrap().complete);
    drop(store);
    let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.filled().unwrap();
    let merged = manifest(dir.path());
    assert!(merged.contains("fffff"), "{merged}");
    store.filled().unwrap();
    assert_eq!(
        manifest(dir.path()),
        merged,
        "merging again changes nothing"
    );
    for other in ["manifest.json", "models"] {
        let path = dir.path().join(other);
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
        assert!(ScoreStore::is_at(dir.path()));
        assert_eq!(ScoreStore::spec_at(dir.path()).unwrap(), Some(spec()));
        ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
        assert_eq!(manifest(dir.path()), merged, "without {other}");
        assert_eq!(
            std::fs::read_dir(dir.path().join("models"))
                .unwrap()
                .count(),
            1
        );
    }
}

#[test]
fn a_record_that_a_power_cut_took_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(finished(dir.path()));
    let path = record(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        text.contains("\"a.parquet\"") && text.contains("\"ok\": 5"),
        "{text}"
    );
    for left in [&bytes[..0], &bytes[..30]] {
        std::fs::write(&path, left).unwrap();
        // Nothing but the file of scores says what the shard is.
        for other in ["state/shards.json", "manifest.json"] {
            std::fs::remove_file(dir.path().join(other)).unwrap();
        }
        let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
        store.record(&[]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        store.record(&[shard(5)]).unwrap();
    }
}

#[test]
fn copies_of_a_shard_stand_in_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = finished(dir.path());
    let copy = ShardIdentity {
        path: "/data/0.parquet".into(),
        given: "0.parquet".into(),
        ..shard(5)
    };
    store.record(std::slice::from_ref(&copy)).unwrap();
    let paths = || {
        let text = std::fs::read(record(dir.path())).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        record["paths"].clone()
    };
    assert_eq!(paths(), serde_json::json!(["0.parquet", "a.parquet"]));
    let changed = ShardIdentity {
        fingerprint: "e".repeat(64),
        ..copy
    };
    store.record(&[changed]).unwrap();
    assert_eq!(paths(), serde_json::json!(["a.parquet"]));
    assert!(store.coverage(&shard(5)).unwrap().complete);
    store.filled().unwrap();
    assert!(!manifest(dir.path()).contains("0.parquet"));
}

#[test]
fn nothing_says_where_or_when_a_shard_was_scored() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec();
    spec.model.device = "cuda:7".into();
    spec.model.runtime = "1.99".into();
    let store = ScoreStore::open_or_create(dir.path(), &spec).unwrap();
    store
        .commit_part(&shard(5), 0..5, &[rows(&numbers(0..5))])
        .unwrap();
    store.complete(&shard(5)).unwrap();
    for folder in ["scores", "records"] {
        for entry in std::fs::read_dir(dir.path().join(folder)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for gone in ["/data", "cuda:7", "1.99"] {
                assert!(!text.contains(gone), "{gone} is in {folder}");
            }
            assert!(text.contains("a.parquet"));
        }
    }
}
