//! A store that is written and read.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, Float32Array, Float32Builder, Int64Array, ListBuilder, RecordBatch,
        StringArray, UInt32Array,
    },
    datatypes::{Field, Float32Type},
};

use super::*;

mod bundles;
mod filling;
mod hostile;
mod merging;
mod models;
#[cfg(feature = "remote")]
mod remote;

use crate::{
    schema::{CLIP_SCORE, IMAGE_EMBEDDING},
    summary::ModelCard,
};

fn spec() -> StoreSpec {
    StoreSpec {
        model: ModelCard {
            name: "m".into(),
            fingerprint: "abc".into(),
            ..ModelCard::default()
        },
        image_column: "image".into(),
        text_column: "text".into(),
        class_captions: None,
        max_pixels: 9,
        reading: Default::default(),
        allow_external_paths: false,
        condition: None,
        embeddings: EmbeddingType::F16,
    }
}

fn shard(rows: u64) -> ShardIdentity {
    ShardIdentity {
        path: "/data/a.parquet".into(),
        given: "a.parquet".into(),
        fingerprint: "f".repeat(64),
        size_bytes: 1,
        rows,
    }
}

/// A row's score is its number.
fn rows(numbers: &[i64]) -> RecordBatch {
    let mut vectors = ListBuilder::new(Float32Builder::new()).with_field(Field::new(
        "element",
        arrow::datatypes::DataType::Float32,
        true,
    ));
    for &number in numbers {
        vectors.values().append_slice(&[number as f32, 0.5]);
        vectors.append(true);
    }
    let vectors: ArrayRef = Arc::new(vectors.finish());
    let len = numbers.len();
    RecordBatch::try_from_iter_with_nullable([
        (
            "row",
            Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef,
            false,
        ),
        (
            "status",
            Arc::new(StringArray::from(vec!["ok"; len])) as _,
            false,
        ),
        ("reason", Arc::new(StringArray::new_null(len)) as _, true),
        (
            "width",
            Arc::new(UInt32Array::from(vec![3; len])) as _,
            true,
        ),
        (
            "height",
            Arc::new(UInt32Array::from(vec![4; len])) as _,
            true,
        ),
        (
            "clip_score",
            Arc::new(Float32Array::from_iter_values(
                numbers.iter().map(|&n| n as f32),
            )) as _,
            true,
        ),
        ("image_embedding", Arc::clone(&vectors), true),
        ("text_embedding", vectors, true),
    ])
    .unwrap()
}

fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

fn scores(columns: &[ArrayRef]) -> Vec<Option<f32>> {
    columns[0].as_primitive::<Float32Type>().iter().collect()
}

#[test]
fn parts_become_one_file_that_holds_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(20_000);
    let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.record(std::slice::from_ref(&shard)).unwrap();
    assert_eq!(store.coverage(&shard).unwrap().decided_rows, 0);
    for part in [0..7, 7..10_000, 10_000..20_000] {
        let (start, end): (i64, i64) = (part.start, part.end);
        let (start, end) = (start.cast_unsigned(), end.cast_unsigned());
        store
            .commit_part(&shard, start..end, &[rows(&numbers(part))])
            .unwrap();
        let coverage = store.coverage(&shard).unwrap();
        assert_eq!(coverage.decided_rows, end);
        let together = store.coverages(std::slice::from_ref(&shard));
        assert_eq!(together.unwrap(), [coverage]);
    }
    let wanted = [0, 6, 7, 9_999, 10_000, 19_999];
    let expected: Vec<Option<f32>> = wanted.iter().map(|&row| Some(row as f32)).collect();
    let read = |store: &ScoreStore| {
        let mut cursor = store
            .scores(&shard)
            .unwrap()
            .cursor(&[CLIP_SCORE], 0)
            .unwrap();
        scores(&cursor.take(&wanted).unwrap())
    };
    assert_eq!(read(&store), expected);
    store.complete(&shard).unwrap();
    assert_eq!(read(&store), expected);
    assert!(store.coverage(&shard).unwrap().complete);
    drop(store);
    let store = ScoreStore::open(dir.path()).unwrap();
    let mut cursor = store
        .scores(&shard)
        .unwrap()
        .cursor(&[CLIP_SCORE, IMAGE_EMBEDDING], 12_345)
        .unwrap();
    let taken = cursor.take(&numbers(12_345..15_000)).unwrap();
    assert_eq!(scores(&taken)[0], Some(12_345.0));
    assert_eq!(taken[0].len(), 2_655);
    assert_eq!(taken[1].as_list::<i32>().value_length(0), 2);
}

#[test]
fn rows_that_a_condition_left_out_are_null() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(100);
    let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.commit_part(&shard, 0..41, &[rows(&[3, 40])]).unwrap();
    let take = |store: &ScoreStore| {
        let mut cursor = store
            .scores(&shard)
            .unwrap()
            .cursor(&[CLIP_SCORE], 0)
            .unwrap();
        [&[2i64, 3, 39][..], &[40], &[41, 99]]
            .iter()
            .flat_map(|rows| scores(&cursor.take(rows).unwrap()))
            .collect::<Vec<_>>()
    };
    let expected = [None, Some(3.0), None, Some(40.0), None, None];
    assert_eq!(take(&store), expected);
    store.complete(&shard).unwrap();
    assert_eq!(take(&store), expected);
    let mut cursor = store
        .scores(&shard)
        .unwrap()
        .cursor(&[CLIP_SCORE], 0)
        .unwrap();
    let stretch = cursor.advance().unwrap().unwrap();
    assert_eq!((stretch.len(), stretch.row(1)), (2, 40));
    assert!(cursor.advance().unwrap().is_none());
}

#[test]
fn a_part_behind_a_gap_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(100);
    let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store
        .commit_part(&shard, 0..10, &[rows(&numbers(0..10))])
        .unwrap();
    store
        .commit_part(&shard, 20..30, &[rows(&numbers(20..30))])
        .unwrap();
    assert_eq!(store.coverage(&shard).unwrap().decided_rows, 10);
    store
        .commit_part(&shard, 10..25, &[rows(&numbers(10..25))])
        .unwrap();
    // The gap has closed: what overlaps counts once, and the rest of the later part too.
    assert_eq!(store.coverage(&shard).unwrap().decided_rows, 30);
    let mut read = Vec::new();
    let mut cursor = store
        .scores(&shard)
        .unwrap()
        .cursor(&[CLIP_SCORE], 0)
        .unwrap();
    while let Some(stretch) = cursor.advance().unwrap() {
        read.extend((0..stretch.len()).map(|position| stretch.row(position)));
    }
    assert_eq!(read, numbers(0..30));
}

#[test]
fn another_model_or_a_changed_shard_is_refused_with_both_fingerprints() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.record(&[shard(5)]).unwrap();
    store
        .commit_part(&shard(5), 0..5, &[rows(&numbers(0..5))])
        .unwrap();
    store.complete(&shard(5)).unwrap();
    let mut other = spec();
    other.model.fingerprint = "xyz".into();
    let report = store.check(&other).unwrap_err().report();
    assert!(report.contains("abc") && report.contains("xyz"), "{report}");
    let changed = ShardIdentity {
        fingerprint: "e".repeat(64),
        ..shard(5)
    };
    let report = store
        .check_shards(std::slice::from_ref(&changed))
        .unwrap_err()
        .report();
    assert!(
        report.contains("ffff") && report.contains("eeee"),
        "{report}"
    );
    store.record(std::slice::from_ref(&changed)).unwrap();
    assert!(store.check_shards(std::slice::from_ref(&changed)).is_ok());
    assert_eq!(store.coverage(&changed).unwrap().decided_rows, 0);
    for folder in ["scores", "records"] {
        assert_eq!(
            std::fs::read_dir(dir.path().join(folder)).unwrap().count(),
            0
        );
    }
}

#[test]
fn a_store_of_a_newer_version_and_a_damaged_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(ScoreStore::open_or_create(dir.path(), &spec()).unwrap());
    let manifest = dir.path().join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let opened = |text: &str| {
        std::fs::write(&manifest, text).unwrap();
        ScoreStore::open(dir.path()).unwrap_err().report()
    };
    let report = opened(&text.replace("\"format\": 2", "\"format\": 3"));
    assert!(report.contains("its format is another"), "{report}");
    assert!(report.contains("known format: 2"), "{report}");
    let report = opened(&text[..text.len() / 2]);
    assert!(report.contains("it is damaged"), "{report}");
    assert!(ScoreStore::open(Path::new("/no/such")).is_err());
}

#[test]
fn a_truncated_file_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(5);
    let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store
        .commit_part(&shard, 0..5, &[rows(&numbers(0..5))])
        .unwrap();
    store.complete(&shard).unwrap();
    let file = std::fs::read_dir(dir.path().join("scores"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    let report = store.scores(&shard).unwrap_err().report();
    assert!(report.contains("remove it and run"), "{report}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(store.coverage(&shard).unwrap().decided_rows, 0);
}

#[test]
fn a_store_in_use_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!ScoreStore::is_at(dir.path()));
    let writer = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    assert!(ScoreStore::is_at(dir.path()));
    let look = ScoreStore::look(dir.path()).unwrap();
    assert_eq!((look.format(), look.spec()), (2, &spec()));
    assert!(!look.is_in_use().unwrap());
    let claim = writer.claim(&shard(5)).unwrap().unwrap();
    assert!(look.is_in_use().unwrap());
    assert_eq!(look.claimed().unwrap().len(), 1);
    // Who reads what is finished is in nobody's way.
    drop(ScoreStore::open(dir.path()).unwrap());
    drop(claim);
    assert!(!look.is_in_use().unwrap());
    let computing = writer.exclusive().unwrap();
    assert!(look.is_in_use().unwrap());
    let report = ScoreStore::open(dir.path()).unwrap_err().report();
    assert!(report.contains("another process uses it"), "{report}");
    drop(computing);
    let reader = ScoreStore::open(dir.path()).unwrap();
    let writer = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    assert!(writer.exclusive().is_err());
    drop(reader);
}
