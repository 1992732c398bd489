//! A store of several models.

use super::*;

fn other() -> StoreSpec {
    let mut other = spec();
    other.model.name = "other".into();
    other.model.fingerprint = "xyz".into();
    other
}

fn score(store: &ScoreStore, factor: i64) {
    let batch = rows(&numbers(0..5));
    let scores: Float32Array = (0..5).map(|row| Some((row * factor) as f32)).collect();
    let mut columns = batch.columns().to_vec();
    columns[5] = Arc::new(scores);
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    store.commit_part(&shard(5), 0..5, &[batch]).unwrap();
    store.complete(&shard(5)).unwrap();
}

fn last_score(store: &ScoreStore) -> Option<f32> {
    let scores = store.scores(&shard(5)).unwrap();
    let mut cursor = scores.cursor(&[CLIP_SCORE], 0).unwrap();
    super::scores(&cursor.take(&[4]).unwrap())[0]
}

#[test]
fn a_second_model_is_refused_unless_it_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.record(&[shard(5)]).unwrap();
    score(&store, 1);
    let report = ScoreStore::open_or_create(dir.path(), &other())
        .unwrap_err()
        .report();
    assert!(
        report.contains("another model") && report.contains("xyz"),
        "{report}"
    );
    let added = ScoreStore::add_model(dir.path(), &other()).unwrap();
    assert!(!added.coverage(&shard(5)).unwrap().complete);
    score(&added, 10);
    added.filled().unwrap();

    let report = ScoreStore::open(dir.path()).unwrap_err().report();
    let keys = [spec().model_key(), other().model_key()];
    for text in ["several", "m (", "other (", &keys[0], &keys[1]] {
        assert!(report.contains(text), "'{text}' is not in {report}");
    }
    for (name, score) in [("m", 4.0), ("other", 40.0), ("xyz", 40.0), (&keys[0], 4.0)] {
        let store = ScoreStore::open_model(dir.path(), name).unwrap();
        assert_eq!(last_score(&store), Some(score), "{name}");
        assert_eq!(store.models().count(), 2);
    }
    let report = ScoreStore::open_model(dir.path(), "third")
        .unwrap_err()
        .report();
    assert!(
        report.contains("find the model") && report.contains("third"),
        "{report}"
    );
    // Whoever scores with one of them goes on with it.
    let store = ScoreStore::open_or_create(dir.path(), &other()).unwrap();
    assert_eq!(last_score(&store), Some(40.0));
    let mut third = other();
    third.model.fingerprint = "third".into();
    let report = ScoreStore::open_or_create(dir.path(), &third)
        .unwrap_err()
        .report();
    assert!(report.contains("several"), "{report}");
    // The same model, made otherwise, is no second one.
    let mut otherwise = other();
    otherwise.text_column = "alt".into();
    let report = ScoreStore::add_model(dir.path(), &otherwise)
        .unwrap_err()
        .report();
    assert!(report.contains("another caption column"), "{report}");
}

#[test]
fn columns_of_one_model_are_not_those_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let specs = [spec(), other()];
    for (number, spec) in specs.iter().enumerate() {
        let store = ScoreStore::add_model(dir.path(), spec)
            .unwrap()
            .exclusive()
            .unwrap();
        let derived = DerivedSpec {
            columns: vec!["sas".to_owned()],
            ..DerivedSpec::default()
        };
        let writer = DerivedWriter::new(&store, derived);
        writer
            .artifact("which", &[u8::try_from(number).unwrap()])
            .unwrap();
        writer.finish().unwrap();
        assert!(store.reread().unwrap().derived().is_some());
    }
    for (number, name) in [(0, "abc"), (1, "xyz")] {
        let store = ScoreStore::open_model(dir.path(), name).unwrap();
        assert_eq!(store.artifact("which"), Some(vec![number]));
    }
}
