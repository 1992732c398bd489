//! Keys of rows, and columns of batches, by name.

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::DataType,
};

use crate::{
    error::{Error, Result},
    selection::Selection,
    source::{BoundShards, ReadPlan, ShardReader},
};

/// Keys are read in portions of this many rows.
const BATCH_ROWS: usize = 1024;

/// Keys of the selected rows of one shard; only the pages that hold them are read.
pub(in crate::pipeline) fn keys_of(
    shards: &BoundShards,
    number: usize,
    rows: &Selection,
) -> Result<Vec<Option<String>>> {
    let set = &shards.set;
    let key = shards.binding.key.as_ref();
    let Some(column) = key.and_then(|key| set.schema.index_of(key).ok()) else {
        return Ok(Vec::new());
    };
    let plan = ReadPlan {
        columns: vec![column],
        batch_rows: BATCH_ROWS,
        batch_bytes: u64::MAX,
        ..ReadPlan::default()
    };
    let shard = &set.shards[number];
    let next = number + 1..set.shards.len();
    set.ask_ahead(next.filter(|&shard| rows.has_rows(shard)));
    let reader = ShardReader::open(shard, plan)?;
    let (mut keys, mut first) = (Vec::new(), 0);
    for (group, &len) in shard.row_groups.iter().enumerate() {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let runs = rows.runs(number, first..first + len);
        first += len;
        if runs.is_empty() {
            continue;
        }
        let wanted = runs.into_iter().map(|(start, len)| start..start + len);
        for batch in reader.row_group(group, Some(wanted.collect()))? {
            let batch = batch?;
            let texts = cast(batch.column(0), &DataType::Utf8).map_err(|error| {
                Error::input("read the key column")
                    .with("shard", &shard.location)
                    .source(error)
            })?;
            let texts = texts.as_string::<i32>();
            keys.extend(texts.iter().map(|text| text.map(str::to_owned)));
        }
    }
    Ok(keys)
}

/// A key as text; empty where it is null or no text can be made of it.
pub(in crate::pipeline) fn key_of(keys: &ArrayRef, row: usize) -> String {
    let keys = cast(&keys.slice(row, 1), &DataType::Utf8);
    keys.map_or(String::new(), |keys| {
        keys.as_string::<i32>().value(0).to_owned()
    })
}

pub(in crate::pipeline) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::internal(format!("find the column {name} of a scored batch")))
}
