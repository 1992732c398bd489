//! The score columns of an output as a store of its rows, so that it is looked at as every store is.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, new_null_array},
    compute::cast,
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
};
use tempfile::TempDir;

use crate::{
    error::{Error, Result},
    options::ScoreOptions,
    schema::{
        CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, STATUS, ScoreColumn, Status, TEXT_EMBEDDING, WIDTH,
    },
    sink::Provenance,
    source::{BoundShards, ReadPlan, Shard, ShardReader},
    store::{DerivedSpec, DerivedWriter, EmbeddingType, ScoreStore, StoreSpec},
};

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: u64 = 16 << 20;

/// A store in a temporary directory; it goes with that.
pub(super) fn of(
    shards: &BoundShards,
    provenance: &Provenance,
    options: &ScoreOptions,
) -> Result<(ScoreStore, TempDir)> {
    let directory = tempfile::tempdir()
        .map_err(|error| Error::output("make a temporary directory").source(error))?;
    let columns = OutputColumns::of(&shards.set.schema)?;
    let store = columns.fill(directory.path(), shards, provenance, options)?;
    Ok((store, directory))
}

/// The score columns of an output by the names that a store has for them: with what stands before each, if `--prefix` did.
struct OutputColumns {
    schema: SchemaRef,
    prefix: String,
}

impl OutputColumns {
    fn of(schema: &SchemaRef) -> Result<Self> {
        let is_score = |field: &&Arc<Field>| {
            field.data_type() == &DataType::Float32 && field.name().ends_with(CLIP_SCORE)
        };
        let is_ours = |field: &&Arc<Field>| field.metadata().contains_key("clip_filter.model");
        let fields = || schema.fields().iter().filter(is_score);
        let score = fields().find(is_ours).or_else(|| fields().next());
        let Some(score) = score else {
            return Err(
                Error::input("find the scores of the output: it has no clip_score")
                    .hint("clip-filter report IN... --scores DIR"),
            );
        };
        let prefix = score.name().strip_suffix(CLIP_SCORE).unwrap_or_default();
        Ok(Self {
            prefix: prefix.to_owned(),
            schema: Arc::clone(schema),
        })
    }

    /// Where a column is in the output.
    fn place(&self, name: &str) -> Option<usize> {
        self.schema.index_of(&format!("{}{name}", self.prefix)).ok()
    }

    /// Whether there are embeddings of this name: a column of the input may be called so, too.
    fn has_vectors(&self, name: &str) -> bool {
        let field = self.place(name).map(|place| self.schema.field(place));
        field.is_some_and(|field| match field.data_type() {
            DataType::List(element) => element.data_type() == &DataType::Float32,
            _ => false,
        })
    }

    fn column<'a>(&self, batch: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
        batch.column_by_name(&format!("{}{name}", self.prefix))
    }

    fn fill(
        &self,
        directory: &Path,
        shards: &BoundShards,
        provenance: &Provenance,
        options: &ScoreOptions,
    ) -> Result<ScoreStore> {
        let both = [IMAGE_EMBEDDING, TEXT_EMBEDDING];
        let spec = StoreSpec {
            model: provenance.model.clone(),
            image_column: shards.binding.image.clone(),
            text_column: shards.binding.text.clone(),
            class_captions: None,
            max_pixels: options.max_pixels,
            reading: options.reading,
            allow_external_paths: options.allow_external_paths,
            condition: None,
            embeddings: match both.iter().all(|name| self.has_vectors(name)) {
                true => EmbeddingType::F32,
                false => EmbeddingType::None,
            },
        };
        let mut store = ScoreStore::open_or_create(directory, &spec)?;
        store.record(&shards.identities)?;
        for (shard, identity) in shards.set.shards.iter().zip(&shards.identities) {
            if store.coverage(identity)?.complete {
                continue;
            }
            let mut first = 0;
            self.for_each(shard, &mut |batch| {
                let end = first + batch.num_rows() as u64;
                let rows = self.rows(batch, first, spec.embeddings)?;
                store.commit_part(identity, first..end, &[rows])?;
                first = end;
                Ok(())
            })?;
            store.complete(identity)?;
        }
        self.derive(&store, shards, provenance)?;
        store.reread()
    }

    /// Every batch of the score columns.
    fn for_each(
        &self,
        shard: &Shard,
        take: &mut dyn FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let known = [
            CLIP_SCORE,
            STATUS,
            WIDTH,
            HEIGHT,
            IMAGE_EMBEDDING,
            TEXT_EMBEDDING,
        ];
        let names = known
            .into_iter()
            .chain(ScoreColumn::derived().map(ScoreColumn::name));
        let mut columns: Vec<usize> = names.filter_map(|name| self.place(name)).collect();
        columns.sort_unstable();
        let plan = ReadPlan {
            columns,
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
            ..ReadPlan::default()
        };
        let reader = ShardReader::open(shard, plan)?;
        for group in 0..shard.row_groups.len() {
            for batch in reader.row_group(group, None)? {
                take(&batch?)?;
            }
        }
        Ok(())
    }

    /// The columns that a store keeps of each row.
    fn rows(
        &self,
        batch: &RecordBatch,
        first: u64,
        embeddings: EmbeddingType,
    ) -> Result<RecordBatch> {
        let len = batch.num_rows();
        let number = |row: u64| i64::try_from(row).unwrap_or(i64::MAX);
        let numbers = Int64Array::from_iter_values((first..first + len as u64).map(number));
        let scores = self.column(batch, CLIP_SCORE);
        let scores = scores.ok_or_else(|| Error::internal("find the scores of an output"))?;
        let good = scores.as_primitive::<Float32Type>();
        let statuses = match self.column(batch, STATUS) {
            Some(statuses) => cast(statuses, &DataType::Utf8)
                .map_err(|error| Error::input("read the column status").source(error))?,
            None => Arc::new(StringArray::from_iter_values((0..len).map(|row| {
                let status = match good.is_valid(row) {
                    true => Status::Ok,
                    false => Status::NotEncoded,
                };
                status.as_str()
            }))),
        };
        let unknown = "the output does not say why";
        let reasons = (0..len).map(|row| good.is_null(row).then_some(unknown));
        // Of another type they are columns of the input.
        let edge = |name: &str| match self.column(batch, name) {
            Some(column) if column.data_type() == &DataType::UInt32 => Arc::clone(column),
            _ => new_null_array(&DataType::UInt32, len),
        };
        let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("row", Arc::new(numbers), false),
            ("status", statuses, false),
            ("reason", Arc::new(reasons.collect::<StringArray>()), true),
            ("width", edge(WIDTH), true),
            ("height", edge(HEIGHT), true),
            (CLIP_SCORE, Arc::clone(scores), true),
        ];
        if embeddings != EmbeddingType::None {
            for name in [IMAGE_EMBEDDING, TEXT_EMBEDDING] {
                let vectors = self.column(batch, name);
                let vectors = vectors.ok_or_else(|| Error::internal("find an embedding"))?;
                columns.push((name, Arc::clone(vectors), true));
            }
        }
        RecordBatch::try_from_iter_with_nullable(columns)
            .map_err(|error| Error::internal("shape the rows of an output").source(error))
    }

    /// The derived columns that the output has.
    fn derive(
        &self,
        store: &ScoreStore,
        shards: &BoundShards,
        provenance: &Provenance,
    ) -> Result<()> {
        let there = |column: &ScoreColumn| self.place(column.name()).is_some();
        let derived: Vec<ScoreColumn> = ScoreColumn::derived().filter(there).collect();
        if derived.is_empty() {
            return Ok(());
        }
        let fields = derived
            .iter()
            .map(|column| Field::new(column.name(), column.data_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let made_with = provenance.derived.as_deref();
        let made_with = made_with.and_then(|text| serde_json::from_str(text).ok());
        let spec = DerivedSpec {
            columns: derived
                .iter()
                .map(|column| column.name().to_owned())
                .collect(),
            made_with: made_with.unwrap_or_default(),
            selection: None,
            shards: shards
                .identities
                .iter()
                .map(|shard| shard.fingerprint.clone())
                .collect(),
        };
        let writer = DerivedWriter::new(store, spec);
        for (shard, identity) in shards.set.shards.iter().zip(&shards.identities) {
            let mut batches = Vec::new();
            self.for_each(shard, &mut |batch| {
                batches.push(self.derived_of(batch, &schema));
                Ok(())
            })?;
            writer.shard(identity, &schema, batches)?;
        }
        writer.finish()
    }

    fn derived_of(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = schema.fields().iter().map(|field| {
            let column = self.column(batch, field.name());
            let column = column.ok_or_else(|| Error::internal("find a column of an output"))?;
            cast(column, field.data_type())
                .map_err(|error| Error::input("read a score of an output").source(error))
        });
        RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_>>()?)
            .map_err(|error| Error::internal("shape the scores of an output").source(error))
    }
}
