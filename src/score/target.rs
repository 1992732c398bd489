//! The embeddings of a target set.

use std::{fs::File, path::Path};

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Field, Float32Type},
};
use clip_filter_vectors::{MomentSum, TargetRows, normalise};

use super::row_scores::{Target, rows};
use crate::{
    error::{Error, Result},
    schema::IMAGE_EMBEDDING,
    source::{Location, ReadPlan, ShardReader, ShardSet},
};

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: u64 = 32 << 20;

/// Refuses a file that is no Parquet or has no embeddings.
pub(super) fn check(path: &Path) -> Result<()> {
    open(path).map(|_| ())
}

fn open(path: &Path) -> Result<(ShardSet, usize)> {
    File::open(path).map_err(|error| failed(path, error))?;
    let set = ShardSet::open(&[Location::local(path)])?;
    let column = set.schema.index_of(IMAGE_EMBEDDING).map_err(|_| {
        Error::input("read the target set: it has no column image_embedding")
            .with("file", path.display())
            .hint("--add image_embedding writes one")
    })?;
    Ok((set, column))
}

impl Target {
    /// Reads the column `image_embedding` of a Parquet file; null rows are left out.
    pub(super) fn read(path: &Path, dim: usize) -> Result<Self> {
        let (set, column) = open(path)?;
        let plan = ReadPlan {
            columns: vec![column],
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
            ..ReadPlan::default()
        };
        let mut target = (TargetRows::new(dim), MomentSum::new(dim));
        for shard in &set.shards {
            let reader = ShardReader::open(shard, plan.clone())?;
            for group in 0..shard.row_groups.len() {
                for batch in reader.row_group(group, None)? {
                    let mut values = floats(batch?.column(0), dim).ok_or_else(|| {
                        Error::input("read the target set: its embeddings are of another model")
                            .with("file", path.display())
                            .with("expected numbers per row", dim)
                    })?;
                    normalise(&mut values, dim);
                    let values = rows(&values, dim)?;
                    target.0.push(values);
                    target.1.push(values);
                }
            }
        }
        Ok(Self {
            rows: target.0,
            moment: target.1.finish(),
        })
    }
}

fn floats(column: &arrow::array::ArrayRef, dim: usize) -> Option<Vec<f32>> {
    let element = Field::new("element", DataType::Float32, true);
    let list = cast(column, &DataType::List(element.into())).ok()?;
    let list = list.as_list::<i32>();
    let mut values = Vec::new();
    for row in (0..list.len()).filter(|&row| list.is_valid(row)) {
        let row = list.value(row);
        let row = row.as_primitive::<Float32Type>();
        if row.len() != dim || row.null_count() > 0 {
            return None;
        }
        values.extend_from_slice(row.values());
    }
    Some(values)
}

pub(super) fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::input("read the target set")
        .with("file", path.display())
        .source(error)
}
