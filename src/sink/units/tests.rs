//! A unit is read the same whatever is read before it, or beside it.

use std::{fs::File, path::Path};

use arrow::{
    array::{Float32Array, Int64Array, StringArray, UInt32Array},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema},
};

use super::*;
use crate::{
    schema::CLIP_SCORE,
    sink::{ParquetStream, WriterPolicy},
    source::{BoundShards, ColumnChoice, Location, view_schema},
    store::{EmbeddingType, StoreSpec},
    summary::ModelCard,
};

const SHARDS: usize = 3;
const ROWS: usize = 10;

/// Shards in a directory, and a store in another that has a score of every row.
fn source(directory: &Path) -> UnitSource {
    let mut inputs = Vec::new();
    for shard in 0..SHARDS {
        let path = directory.join(format!("{shard}.parquet"));
        let images = (0..ROWS).map(|row| [u8::try_from(10 * shard + row).unwrap()]);
        let images = arrow::array::BinaryArray::from_iter_values(images);
        let texts = (0..ROWS).map(|row| format!("{shard}, {row}"));
        let texts = StringArray::from_iter_values(texts);
        let columns: [(&str, ArrayRef); 2] =
            [("image", Arc::new(images)), ("text", Arc::new(texts))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let policy = WriterPolicy::of_result(&batch.schema(), &[None, None]);
        let file = File::create(&path).unwrap();
        let mut stream = ParquetStream::try_new(file, &policy, batch.schema()).unwrap();
        stream.write(&batch).unwrap();
        stream.finish().unwrap();
        inputs.push(Location::local(path.to_str().unwrap()));
    }
    let shards = BoundShards::open(&inputs, &ColumnChoice::default()).unwrap();
    let added = Field::new(CLIP_SCORE, DataType::Float32, true);
    let read = view_schema(&shards.set.schema);
    let all = read
        .fields()
        .iter()
        .cloned()
        .chain([Arc::new(added.clone())]);
    UnitSource {
        stored: vec![CLIP_SCORE],
        repeats: None,
        added: Arc::new(Schema::new(vec![added])),
        schema: Arc::new(Schema::new(all.collect::<Vec<_>>())),
        store: Arc::new(scored(&directory.join("scores"), &shards)),
        carried: Vec::new(),
        batch_rows: BATCH_ROWS,
        batch_bytes: u64::MAX,
        counters: Arc::default(),
        set: shards.set,
        identities: shards.identities,
    }
}

fn scored(directory: &Path, shards: &BoundShards) -> ScoreStore {
    let spec = StoreSpec {
        model: ModelCard::default(),
        image_column: "image".to_owned(),
        text_column: "text".to_owned(),
        class_captions: None,
        max_pixels: 1,
        reading: Default::default(),
        allow_external_paths: false,
        condition: None,
        embeddings: EmbeddingType::None,
    };
    let mut store = ScoreStore::open_or_create(directory, &spec).unwrap();
    store.record(&shards.identities).unwrap();
    let ok = StringArray::from_iter_values(std::iter::repeat_n("ok", ROWS));
    let none = StringArray::new_null(ROWS);
    let (sizes, numbers) = (
        UInt32Array::from(vec![1; ROWS]),
        0..i64::try_from(ROWS).unwrap(),
    );
    for (shard, identity) in shards.identities.iter().enumerate() {
        let scores = (0..ROWS).map(|row| f32::from(u16::try_from(100 * shard + row).unwrap()));
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            (
                "row",
                Arc::new(numbers.clone().collect::<Int64Array>()),
                false,
            ),
            ("status", Arc::new(ok.clone()), false),
            ("reason", Arc::new(none.clone()), true),
            ("width", Arc::new(sizes.clone()), true),
            ("height", Arc::new(sizes.clone()), true),
            (CLIP_SCORE, Arc::new(scores.collect::<Float32Array>()), true),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        store
            .commit_part(identity, 0..ROWS as u64, &[rows])
            .unwrap();
        store.complete(identity).unwrap();
    }
    store.reread().unwrap()
}

/// The rows of the units of these shards, one batch each.
fn rows_of(source: &UnitSource, kept: &Selection, shards: &[usize]) -> Vec<RecordBatch> {
    let read = |&shard: &usize| {
        let mut batches = Vec::new();
        let unit = source.unit(shard, kept, None).open().unwrap().unwrap();
        let mut take = |portion: Result<Portion>| {
            match portion.unwrap() {
                Portion::Rows(rows) => batches.push(rows),
                Portion::Group(..) | Portion::Shard(_) => panic!("no layout was given"),
            }
            true
        };
        assert!(
            unit.read(&mut take, &mut || panic!("nothing is far"))
                .unwrap()
        );
        concat_batches(&source.schema, &batches).unwrap()
    };
    shards.iter().map(read).collect()
}

#[test]
fn units_know_nothing_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let mut kept = Selection::builder([ROWS as u64; SHARDS]);
    for shard in 0..SHARDS {
        (shard..ROWS)
            .step_by(shard + 2)
            .for_each(|row| kept.select(shard, row));
    }
    let kept = kept.finish();
    let whole = rows_of(&source, &kept, &[0, 1, 2]);
    let [first, second, third] = whole.as_slice() else {
        panic!("one unit of each shard")
    };
    assert_eq!(
        rows_of(&source, &kept, &[2, 0]),
        [third.clone(), first.clone()]
    );
    assert_eq!(rows_of(&source, &kept, &[1]), std::slice::from_ref(second));
    let scores: Vec<f32> = whole
        .iter()
        .flat_map(|rows| {
            let scores = rows.column_by_name(CLIP_SCORE).unwrap();
            scores
                .as_primitive::<arrow::datatypes::Float32Type>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(scores, [0., 2., 4., 6., 8., 101., 104., 107., 202., 206.]);
}

#[test]
fn a_unit_ends_when_nobody_wants_more() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(directory.path());
    let mut kept = Selection::builder([ROWS as u64; SHARDS]);
    kept.select(1, 3);
    let kept = kept.finish();
    let mut asked = 0;
    let mut none = |_: Result<Portion>| {
        asked += 1;
        false
    };
    let opened = |shard| source.unit(shard, &kept, None).open().unwrap();
    assert!(opened(0).is_none() && opened(2).is_none());
    assert!(!opened(1).unwrap().read(&mut none, &mut || {}).unwrap());
    assert_eq!(asked, 1);
}
