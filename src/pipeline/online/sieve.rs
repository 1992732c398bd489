//! Rows that are kept, batch by batch.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Float32Type, Int64Type, SchemaRef, UInt32Type},
};

use crate::{
    config::OnError,
    engine::PASSES,
    error::{Error, Result},
    options::RunOptions,
    pipeline::context::{BadRow, Prepared, bad_row, column, key_of},
    schema::{ROW, SHARD, ScoreColumn},
    select::OnlineSelector,
    source::BoundShards,
    summary::BadRows,
};

/// Counts of what has been decided so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Rows that were scored.
    pub(super) scored: u64,
    /// Good rows that fulfil the conditions, of which the budget keeps its part.
    pub(super) candidates: u64,
    pub(super) kept: u64,
    /// Rows given out: the kept ones, and under `--on-error keep` the bad ones.
    pub(super) given: u64,
    pub(super) bad: BadRows,
    pub(super) lowest_score: Option<f32>,
}

/// Lets through the rows that are kept, in the order they come.
pub(super) struct Sieve {
    shards: BoundShards,
    /// Columns given out, the first ones under the names of the schema.
    schema: SchemaRef,
    score: String,
    status: String,
    reason: String,
    selector: Option<OnlineSelector>,
    min_score: f32,
    on_error: OnError,
    pub(super) tally: Tally,
}

impl Sieve {
    pub(super) fn try_new(
        options: &RunOptions,
        prepared: &Prepared,
        selector: Option<OnlineSelector>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let name = |added: ScoreColumn| {
            let mut columns = prepared.scored().iter();
            let found = columns.find(|column| column.added == added);
            let name = found.map(|column| column.name.clone());
            name.ok_or_else(|| Error::internal(format!("find the column {}", added.name())))
        };
        Ok(Self {
            shards: prepared.shards.clone(),
            schema,
            score: name(ScoreColumn::CLIP_SCORE)?,
            status: name(ScoreColumn::STATUS)?,
            reason: name(ScoreColumn::REASON)?,
            selector,
            min_score: options.select.min_score.unwrap_or(f32::NEG_INFINITY),
            on_error: options.on_error,
            tally: Tally::default(),
        })
    }

    /// The rows of `batch` that are kept.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let scores = column(batch, &self.score)?.as_primitive::<Float32Type>();
        let passes = column(batch, PASSES)?.as_boolean();
        let mut given = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            given.push(if scores.is_null(row) {
                self.take_bad(batch, row)?
            } else {
                let passes = passes.is_valid(row) && passes.value(row);
                self.keeps(scores.value(row), passes)
            });
        }
        let given = BooleanArray::from(given);
        self.tally.scored += batch.num_rows() as u64;
        self.tally.given += given.true_count() as u64;
        let fields = self.schema.fields().iter();
        let columns = fields.map(|field| Ok(Arc::clone(column(batch, field.name())?)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .and_then(|batch| filter_record_batch(&batch, &given))
            .map_err(|error| Error::internal("filter a scored batch").source(error))
    }

    fn keeps(&mut self, score: f32, passes: bool) -> bool {
        if !(passes && score >= self.min_score) {
            return false;
        }
        self.tally.candidates += 1;
        let selector = self.selector.as_mut();
        if !selector.is_none_or(|selector| selector.push(score)) {
            return false;
        }
        self.tally.kept += 1;
        let lowest = self
            .tally
            .lowest_score
            .map_or(score, |lowest| lowest.min(score));
        self.tally.lowest_score = Some(lowest);
        true
    }

    /// Whether a bad row is given out.
    fn take_bad(&mut self, batch: &RecordBatch, row: usize) -> Result<bool> {
        let statuses = column(batch, &self.status)?.as_string::<i32>();
        if self.on_error == OnError::Fail {
            return Err(self.failure(batch, row, statuses.value(row))?);
        }
        let status = statuses.value(row).to_owned();
        *self.tally.bad.entry(status).or_default() += 1;
        Ok(self.on_error == OnError::Keep)
    }

    fn failure(&self, batch: &RecordBatch, row: usize, status: &str) -> Result<Error> {
        let shard = column(batch, SHARD)?
            .as_primitive::<UInt32Type>()
            .value(row);
        let shard = self.shards.set.shards.get(shard as usize);
        let path = shard.map(|shard| shard.location.to_string());
        let key = match &self.shards.binding.key {
            Some(name) => key_of(column(batch, name)?, row),
            None => String::new(),
        };
        Ok(bad_row(BadRow {
            shard: &path.unwrap_or_default(),
            row: column(batch, ROW)?.as_primitive::<Int64Type>().value(row),
            key: &key,
            status,
            reason: column(batch, &self.reason)?.as_string::<i32>().value(row),
        }))
    }
}
