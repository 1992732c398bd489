//! What a store remembers of the last selection, and how the next one differs from it.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use super::context::{Prepared, Scored, keys_of};
use crate::{
    error::{Error, Result},
    options::RunOptions,
    select::{Changes, Chosen, SavedSelection},
    selection::Selection,
    sink::{Destination, Existing, Listing, Staged, stage_bytes},
    store::ScoreStore,
};

const ENTERED: &str = "entered";
const LEFT: &str = "left";

/// The selection, and the changes if they are asked for; not visible yet.
pub(super) fn stage(
    options: &RunOptions,
    prepared: &Prepared,
    scored: &Scored,
    chosen: &Chosen,
) -> Result<Vec<Staged>> {
    // No share is the last selection before all are there.
    if options.scoring.scores.is_none() || options.share.is_some() {
        return Ok(Vec::new());
    }
    let shards = prepared.shards.identities.iter();
    let fingerprints: Vec<String> = shards.map(|shard| shard.fingerprint.clone()).collect();
    let selection = SavedSelection::new(fingerprints, chosen.written.clone())?;
    let mut staged = Vec::new();
    if let Some(changes) = &options.changes {
        let before = match last(&scored.store)? {
            Some(before) => before,
            None => SavedSelection::new(Vec::new(), Selection::builder([]).finish())?,
        };
        let found = Changes::between(&before, &selection)?;
        let file = prepared.stage_file(options, changes)?;
        staged.push(list(file, prepared, &found)?);
    }
    let mut bytes = Vec::new();
    selection
        .write(&mut bytes)
        .map_err(|error| Error::internal("keep the selection").source(error))?;
    let file = Destination::file(&scored.store.selection_file());
    let placement = prepared.placement(&file, Existing::Replaced);
    staged.push(stage_bytes(&options.places, &placement, &bytes)?);
    Ok(staged)
}

fn last(store: &ScoreStore) -> Result<Option<SavedSelection>> {
    let Some(bytes) = store.last_selection()? else {
        return Ok(None);
    };
    SavedSelection::read(&bytes)
        .map(Some)
        .map_err(|error| error.with("file", store.selection_file()))
}

fn list(file: Staged, prepared: &Prepared, changes: &Changes) -> Result<Staged> {
    let mut listing = Listing::create(file, schema())?;
    for (number, shard) in prepared.shards.set.shards.iter().enumerate() {
        for (change, rows) in [(ENTERED, &changes.entered), (LEFT, &changes.left)] {
            let numbers = rows.rows_of(number);
            if numbers.is_empty() {
                continue;
            }
            let mut keys = keys_of(&prepared.shards, number, rows)?;
            keys.resize(numbers.len(), None);
            let shard = shard.location.to_string();
            let same = |text: &str| -> ArrayRef {
                let texts = std::iter::repeat_n(text, numbers.len());
                Arc::new(StringArray::from_iter_values(texts))
            };
            let columns: Vec<ArrayRef> = vec![
                same(change),
                Arc::new(StringArray::from(keys)),
                same(&shard),
                Arc::new(Int64Array::from(numbers.clone())),
            ];
            let rows = RecordBatch::try_new(schema(), columns)
                .map_err(|error| Error::internal("list changes").source(error))?;
            listing.write(&rows)?;
        }
    }
    listing.close()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("change", DataType::Utf8, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("shard", DataType::Utf8, false),
        Field::new("row", DataType::Int64, false),
    ]))
}
