//! Rows that fulfil conditions, decided by a query over the store and the narrow columns of the shards.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int64Type, UInt32Type},
};
use futures::StreamExt;

use super::{Prepared, RunContext, Scored, interrupted};
use crate::{
    engine::{
        NarrowPlan, PASSES, RowCondition, RunningQuery, ShardTable, early_condition, early_pass,
        from_datafusion, nan_pass, narrow_pass,
    },
    error::{Error, Result},
    options::RunOptions,
    schema::{ROW, SHARD},
    score::Considered,
    select::Decided,
    selection::Selection,
};

/// Shards and their scores, for passes that read no image.
pub(in crate::pipeline) struct Narrow<'a> {
    pub(in crate::pipeline) options: &'a RunOptions,
    pub(in crate::pipeline) prepared: &'a Prepared,
    pub(in crate::pipeline) scored: &'a Scored,
    pub(in crate::pipeline) context: &'a RunContext,
}

impl Narrow<'_> {
    /// What the parts of the condition that need no score let through; `None` if that is every stored row.
    pub(in crate::pipeline) async fn early(&self) -> Result<Option<Considered>> {
        // Rows that fail a condition which needs no score are not in a private store.
        let condition = self.prepared.condition(self.options);
        let Some(condition) = condition.filter(|_| !self.scored.is_private) else {
            return Ok(None);
        };
        let Some(early) = early_condition(&condition, &self.prepared.shards.set.schema)? else {
            return Ok(None);
        };
        // The other parts may name columns that are computed over these rows.
        let decided = self.decide(early_pass(self.plan(condition)).await?).await?;
        Ok(Some(Considered {
            rows: decided.considered,
            condition: early,
        }))
    }

    /// What the condition says of every row; `None` if every stored row fulfils it.
    pub(in crate::pipeline) async fn decided(&self) -> Result<Option<Decided>> {
        let condition = self.prepared.condition(self.options);
        let is_open = self.prepared.needs_scores() || !self.scored.is_private;
        let Some(condition) = condition.filter(|_| is_open) else {
            return Ok(self.rows_in());
        };
        let query = narrow_pass(self.plan(condition)).await?;
        self.decide(query).await.map(Some)
    }

    /// All rows, where some are left out: a store may have scored them before a table gave them up.
    fn rows_in(&self) -> Option<Decided> {
        let shards = &self.prepared.shards;
        shards.set.leaves_out_rows().then(|| Decided {
            considered: shards.rows_in(),
            passing: shards.rows_in(),
        })
    }

    /// The rows that fulfil a condition of its own.
    pub(in crate::pipeline) async fn rows_where(&self, condition: &str) -> Result<Selection> {
        let plan = self.plan(RowCondition {
            text: condition.to_owned(),
            scored: self.prepared.scored().to_vec(),
        });
        Ok(self.decide(narrow_pass(plan).await?).await?.passing)
    }

    /// How many rows have NaN in a column that the condition names.
    pub(in crate::pipeline) async fn rows_of_nan(&self) -> Result<u64> {
        let Some(condition) = self.prepared.condition(self.options) else {
            return Ok(0);
        };
        let shards = &self.prepared.shards;
        // Rows that are read once more are not progress.
        let table = ShardTable::new(
            Arc::clone(&shards.set),
            &shards.binding.image,
            self.scored.memory.batch(),
            Arc::default(),
        );
        let limit = self.options.scoring.memory_limit;
        let Some(mut query) = nan_pass(table, &condition, limit).await? else {
            return Ok(0);
        };
        let mut rows = 0;
        while let Some(batch) = self.next_of(&mut query).await? {
            rows += batch.num_rows() as u64;
        }
        Ok(rows)
    }

    /// The next rows of a query, unless the run is interrupted first.
    async fn next_of(&self, query: &mut RunningQuery) -> Result<Option<RecordBatch>> {
        let next = tokio::select! {
            next = query.batches.next() => next,
            _ = self.context.cancel.cancelled() => return Err(interrupted()),
        };
        let next = next.transpose();
        next.map_err(|error| from_datafusion(error, "select rows"))
    }

    fn plan(&self, condition: RowCondition) -> NarrowPlan {
        NarrowPlan {
            table: self.prepared.table(&self.scored.store, &self.scored.memory),
            shards: Arc::clone(&self.prepared.shards.set.schema),
            condition,
            memory_limit: self.options.scoring.memory_limit,
        }
    }

    async fn decide(&self, mut query: RunningQuery) -> Result<Decided> {
        (self.context.explain)(&query.plan);
        let no_rows = || self.prepared.shards.no_rows();
        let (mut considered, mut passing) = (no_rows(), no_rows());
        while let Some(batch) = self.next_of(&mut query).await? {
            let column = |name: &str| {
                batch
                    .column_by_name(name)
                    .ok_or_else(|| Error::internal(format!("find the column {name}")))
            };
            let shards = column(SHARD)?.as_primitive::<UInt32Type>();
            let rows = column(ROW)?.as_primitive::<Int64Type>();
            let passes = column(PASSES)?.as_boolean();
            for row in 0..batch.num_rows() {
                let shard = shards.value(row) as usize;
                let Ok(position) = usize::try_from(rows.value(row)) else {
                    continue;
                };
                considered.select(shard, position);
                if passes.is_valid(row) && passes.value(row) {
                    passing.select(shard, position);
                }
            }
        }
        Ok(Decided {
            considered: considered.finish(),
            passing: passing.finish(),
        })
    }
}
