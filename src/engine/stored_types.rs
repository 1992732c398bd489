//! What Parquet has the columns of tables as, found again where a query gives them as they are.
//!
//! A field of a table has a mark among its metadata. Whatever hands a column on keeps the mark, and whatever makes a new
//! one has none; whoever writes a result finds the type by it, and looks whether the values still are of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    error::{Error, Result},
    source::{ShardSet, StoredType},
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{Field, FieldRef, Schema, SchemaRef},
};

const MARK: &str = "clip-filter.stored";

/// The Parquet types of the columns of a session's tables.
#[derive(Debug, Default)]
pub(super) struct StoredTypes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    types: Vec<StoredType>,
    /// Places among them, by the name of the column.
    named: HashMap<String, Vec<usize>>,
}

impl Known {
    /// The place of `column`: one for columns of several tables that are stored alike.
    fn place(&mut self, column: &StoredType) -> usize {
        let places = self.named.entry(column.name().to_owned()).or_default();
        let known = places.iter().find(|&&place| self.types[place] == *column);
        if let Some(&place) = known {
            return place;
        }
        let place = self.types.len();
        places.push(place);
        self.types.push(Arc::clone(column));
        place
    }
}

impl StoredTypes {
    /// `schema`, whose first columns are those of `set`, with marks.
    pub(super) fn marked(&self, schema: &Schema, set: &ShardSet) -> SchemaRef {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = set.stored().iter().map(Option::as_ref);
        let stored = stored.chain(std::iter::repeat(None));
        let fields = schema.fields().iter().zip(stored);
        let fields: Vec<FieldRef> = fields
            .map(|(field, stored)| {
                let Some(stored) = stored else {
                    return Arc::clone(field);
                };
                let mut metadata = field.metadata().clone();
                metadata.insert(MARK.to_owned(), known.place(stored).to_string());
                Arc::new(Field::clone(field).with_metadata(metadata))
            })
            .collect();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }

    /// The types that the marks in `schema` name.
    pub(super) fn of(&self, schema: &Schema) -> Vec<Option<StoredType>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = |field: &FieldRef| {
            let place: usize = field.metadata().get(MARK)?.parse().ok()?;
            known.types.get(place).cloned()
        };
        schema.fields().iter().map(stored).collect()
    }
}

/// `schema` without marks.
pub(super) fn unmarked(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        match metadata.remove(MARK) {
            Some(_) => Arc::new(Field::clone(field).with_metadata(metadata)),
            None => Arc::clone(field),
        }
    });
    let fields: Vec<FieldRef> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `batch` as one of `schema`, which differs from its own in metadata alone.
pub(super) fn under(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal("give a row of a query").source(error))
}
