//! Files of a store that are whole Parquet, and not what a store writes.

use arrow::{array::ArrayRef, compute::cast, datatypes::DataType};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::schema::{STATUS, STORED_ROW};

/// Replaces the only file of scores by one in which the column `name` has another type.
fn retype(directory: &Path, name: &str, to: &DataType) {
    let mut files = std::fs::read_dir(directory.join("scores")).unwrap();
    let path = files.next().unwrap().unwrap().path();
    let good = rows(&numbers(0..5));
    let schema = good.schema();
    let columns = schema.fields().iter().map(|field| {
        let column = good.column_by_name(field.name()).unwrap();
        let column: ArrayRef = match field.name() == name {
            true => cast(column, to).unwrap(),
            false => Arc::clone(column),
        };
        (field.name().clone(), column, true)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_column_of_another_type_is_named_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(6);
    let store = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
    store.commit_whole(&shard, &[rows(&numbers(0..5))]).unwrap();
    let read = |name: &str| {
        let scores = store.scores(&shard).unwrap();
        let mut cursor = scores.cursor(&[name], 0)?;
        Ok::<_, crate::error::Error>(cursor.advance()?.map_or(0, ScoreRows::len))
    };
    for (name, to) in [
        (CLIP_SCORE, DataType::Int64),
        (STATUS, DataType::LargeUtf8),
        (IMAGE_EMBEDDING, DataType::Utf8),
        (STORED_ROW, DataType::Int32),
    ] {
        retype(dir.path(), name, &to);
        let report = read(name).unwrap_err().report();
        assert!(
            report.contains(&format!("the column {name} is")),
            "{report}"
        );
    }
    retype(dir.path(), CLIP_SCORE, &DataType::Float32);
    assert_eq!(read(CLIP_SCORE).unwrap(), 5);
}
