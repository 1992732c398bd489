//! Temporary columns become files of the store.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Float32Array, RecordBatch, UInt32Array},
    datatypes::{Field, Schema, SchemaRef},
};

use super::{
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::StoredRows,
};
use crate::{
    error::{Error, Result},
    schema::{ScoreColumn, Values},
    store::{DerivedSpec, DerivedWriter, ScoreStore, ShardIdentity, together},
};

const BATCH_ROWS: u64 = 8192;

/// Columns by name, one number for each stored row.
pub(super) type DerivedValues = BTreeMap<ScoreColumn, ScratchColumn>;

/// Makes `columns` the derived columns of the store.
pub(super) fn publish(
    store: &ScoreStore,
    spec: DerivedSpec,
    rows: &StoredRows<'_>,
    columns: &DerivedValues,
    artifacts: &[(&str, Vec<u8>)],
) -> Result<()> {
    let mut writer = DerivedWriter::new(store, spec);
    let fields = columns
        .keys()
        .map(|column| Field::new(column.name(), column.data_type(), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let shards: Vec<ShardIdentity> = rows
        .shards()
        .iter()
        .map(|(_, shard)| (*shard).clone())
        .collect();
    let mut bundles = together(&shards, |_| true).into_iter().peekable();
    let (mut first, mut next) = (0, 0);
    while next < shards.len() {
        let bundle = bundles.next_if(|bundle| bundle.start == next);
        let these = &shards[bundle.clone().unwrap_or(next..next + 1)];
        let stored = these.iter().map(|shard| stored_rows(store, shard));
        let stored = stored.collect::<Result<Vec<u64>>>()?;
        let end = first + stored.iter().sum::<u64>();
        let starts = (first..end).step_by(usize::try_from(BATCH_ROWS).unwrap_or(1));
        let batches = starts.map(|start| {
            let arrays = columns
                .iter()
                .map(|(name, column)| array(*name, column, start..end.min(start + BATCH_ROWS)));
            RecordBatch::try_new(Arc::clone(&schema), arrays.collect::<Result<_>>()?)
                .map_err(|error| Error::internal("shape derived columns").source(error))
        });
        match bundle {
            Some(_) => writer.bundle(these.iter().cloned().zip(stored), &schema, batches)?,
            None => writer.shard(&these[0], &schema, batches)?,
        }
        (first, next) = (end, next + these.len());
    }
    for (name, bytes) in artifacts {
        writer.artifact(name, bytes)?;
    }
    writer.finish()
}

fn stored_rows(store: &ScoreStore, shard: &ShardIdentity) -> Result<u64> {
    let stored = store.scores(shard)?.rows();
    stored.ok_or_else(|| Error::internal("derive columns of a finished shard"))
}

fn array(
    name: ScoreColumn,
    column: &ScratchColumn,
    rows: std::ops::Range<u64>,
) -> Result<ArrayRef> {
    Ok(match name.values() {
        Values::U32 => {
            let cells = column.read_cells(rows)?.into_iter();
            let cells = cells.map(|cell| (cell != NO_CELL).then_some(cell));
            Arc::new(cells.collect::<UInt32Array>())
        }
        _ => {
            let values = column.read(rows)?.into_iter();
            let values = values.map(|value| (!value.is_nan()).then_some(value));
            Arc::new(values.collect::<Float32Array>())
        }
    })
}
