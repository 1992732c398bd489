//! Scores rows that a host has, batch by batch.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::concat,
    datatypes::{Field, Schema, SchemaRef},
};
use futures::TryStreamExt;

use super::context::{EncodeLimits, RunContext, load, written_schema};
use crate::{
    engine::{AddedColumn, EncodeRuntime, GivenPlan, Purpose, from_datafusion, given_pass},
    error::{Error, Result},
    options::ScoreOptions,
    schema::ScoreColumn,
    source::ColumnBinding,
    summary::ModelCard,
};

/// Rows that go through the model together; of several such portions one is decoded while another is encoded.
const PORTION_ROWS: usize = 256;

/// What is added to rows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScorerOptions {
    /// How rows are scored; its inputs and its store are not looked at.
    pub scoring: ScoreOptions,
    /// The columns that are added, in this order; none that is computed from all rows.
    pub columns: Vec<ScoreColumn>,
    /// Put before the name of every added column.
    pub prefix: String,
}

impl ScorerOptions {
    /// Adds these columns.
    ///
    /// # Errors
    /// When there is none, or one depends on all rows.
    pub fn try_new(
        scoring: ScoreOptions,
        columns: impl IntoIterator<Item = ScoreColumn>,
    ) -> Result<Self> {
        let columns: Vec<ScoreColumn> = columns.into_iter().collect();
        if columns.is_empty() {
            return Err(Error::usage("score rows: no column was named").hint("clip_score, status"));
        }
        match columns.iter().find(|column| column.is_derived()) {
            None => Ok(Self {
                scoring,
                columns,
                prefix: String::new(),
            }),
            Some(column) => Err(Error::usage(format!(
                "add {} to rows as they come: it depends on all rows",
                column.name()
            ))
            .hint("score shards into a store, which computes it")),
        }
    }

    /// Puts this before the name of every added column.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Columns of rows that were scored: those of `input`, then the added ones. Needs no model.
    ///
    /// # Errors
    /// When the columns of image and caption cannot be told, or one has the name of an added column.
    pub fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        self.binding(input)?;
        let added = self.added().into_iter();
        let fields: Vec<Field> = added
            .map(|column| Field::new(column.name, column.added.data_type(), true))
            .collect();
        if let Some(taken) = fields.iter().find(|one| input.index_of(one.name()).is_ok()) {
            let name = taken.name();
            return Err(Error::usage(format!(
                "add the column '{name}': the rows have one of that name"
            ))
            .hint("--prefix new_"));
        }
        let schema = Schema::clone(&written_schema(input, &fields));
        Ok(Arc::new(schema.with_metadata(input.metadata().clone())))
    }

    fn binding(&self, input: &Schema) -> Result<ColumnBinding> {
        ColumnBinding::detect(input, input.metadata(), &self.scoring.columns)
    }

    fn added(&self) -> Vec<AddedColumn> {
        let columns = self.columns.iter();
        let named = columns.map(|&added| AddedColumn {
            added,
            name: format!("{}{}", self.prefix, added.name()),
        });
        named.collect()
    }
}

/// A model that is loaded, to score rows as they come. Its threads start with the first row and end with it.
#[derive(Debug)]
pub struct Scorer {
    options: ScorerOptions,
    card: ModelCard,
    runtime: Arc<EncodeRuntime>,
}

impl Scorer {
    /// Loads the model; blocks.
    ///
    /// # Errors
    /// When it cannot be loaded, or the memory limit is too small for it.
    pub fn load(options: ScorerOptions, context: &RunContext) -> Result<Self> {
        let factory = load(context, None)?;
        let card = factory.card().clone();
        let scoring = &options.scoring;
        let limits = EncodeLimits {
            memory_limit: scoring.memory_limit,
            threads: scoring.threads,
            model_batch_rows: scoring.model_batch_rows,
            max_pixels: scoring.max_pixels,
            reading: scoring.reading,
            // Rows have no directory from which a path could start.
            allow_external_paths: false,
            purpose: Purpose::Run,
        };
        let loaded = limits.loaded(factory, Vec::new(), &|_, _| true)?;
        Ok(Self {
            options,
            card,
            runtime: Arc::new(EncodeRuntime::new(loaded, Arc::clone(&context.counters))),
        })
    }

    /// The model.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// `rows` with the columns added, see [`ScorerOptions::schema`]. A bad row has null scores, and its status says why.
    /// Needs a runtime of tokio.
    ///
    /// # Errors
    /// As [`ScorerOptions::schema`], and when the model fails.
    pub async fn score(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let schema = self.options.schema(&rows.schema())?;
        let binding = self.options.binding(&rows.schema())?;
        let mut wanted = vec![binding.image.as_str(), binding.text.as_str()];
        wanted.dedup();
        let wanted = wanted
            .into_iter()
            .map(|name| rows.schema().index_of(name))
            .collect::<Result<Vec<_>, _>>();
        let pairs = wanted.and_then(|columns| rows.project(&columns));
        let pairs = pairs.map_err(|error| Error::internal("find the pairs").source(error))?;
        let starts = (0..pairs.num_rows()).step_by(PORTION_ROWS);
        let portion = |start| pairs.slice(start, PORTION_ROWS.min(pairs.num_rows() - start));
        let added = self.options.added();
        let scored = match pairs.num_rows() {
            0 => Vec::new(),
            _ => {
                let plan = GivenPlan {
                    rows: starts.map(portion).collect(),
                    binding,
                    added,
                    runtime: Arc::clone(&self.runtime),
                    memory_limit: self.options.scoring.memory_limit,
                };
                let doing = "score rows";
                let batches = given_pass(plan).await?.batches;
                let batches = batches.map_err(|error| from_datafusion(error, doing));
                batches.try_collect().await?
            }
        };
        joined(rows, &scored, schema)
    }
}

/// The columns of `rows`, then those of `scored`, whose rows are the same in portions.
fn joined(rows: &RecordBatch, scored: &[RecordBatch], schema: SchemaRef) -> Result<RecordBatch> {
    let own = rows.columns().len();
    let failed = |error| Error::internal("add columns to rows").source(error);
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    for (position, field) in schema.fields().iter().enumerate().skip(own) {
        let portions: Vec<_> = scored
            .iter()
            .map(|batch| batch.column(position - own).as_ref())
            .collect();
        columns.push(match portions.as_slice() {
            [] => arrow::array::new_empty_array(field.data_type()),
            portions => concat(portions).map_err(failed)?,
        });
    }
    RecordBatch::try_new(schema, columns).map_err(failed)
}
