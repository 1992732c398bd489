//! `selection_score` where `sas` and `sds` are stored: two passes over the store, no temporary files.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float32Array, RecordBatch},
    datatypes::{Field, Float32Type, Schema, SchemaRef},
};

use super::{OBJECTIVE, Objective, ObjectiveState, stored_rows::StoredRows};
use crate::{
    error::{Error, Result},
    schema::ScoreColumn,
    store::{DerivedSpec, DerivedWriter, ScoreCursor, ScoreStore, ShardIdentity},
};

/// Adds what `align-diverse` orders by to columns that a store has.
pub(super) struct Ordering<'a> {
    pub(super) store: &'a ScoreStore,
    pub(super) rows: &'a StoredRows<'a>,
    /// Of diversity.
    pub(super) weight: f32,
    pub(super) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Ordering<'_> {
    /// Makes the columns of `spec`: those that are `known`, and `selection_score`. Keeps the artifacts, and the state
    /// of the objective beside them.
    pub(super) fn add(
        &self,
        spec: DerivedSpec,
        known: &[ScoreColumn],
        artifacts: Vec<(&str, Vec<u8>)>,
    ) -> Result<()> {
        let state = self.state()?;
        let objective = state.finish(self.weight);
        let columns = known.iter().chain([&ScoreColumn::SELECTION_SCORE]);
        let fields = columns.map(|column| Field::new(column.name(), column.data_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let writer = DerivedWriter::new(self.store, spec);
        for (_, shard) in self.rows.shards() {
            let mut known = known.to_vec();
            // Twice where they are among the known ones: arrays are shared.
            known.extend([ScoreColumn::SAS, ScoreColumn::SDS]);
            let mut batches = Batches {
                cursor: self.cursor(shard, &known)?,
                objective: &objective,
                schema: &schema,
            };
            let batches = std::iter::from_fn(|| {
                let next = (self.cancelled)().and_then(|()| batches.next());
                next.transpose()
            });
            writer.shard(shard, &schema, batches)?;
        }
        for (name, bytes) in artifacts {
            writer.artifact(name, &bytes)?;
        }
        let state = serde_json::to_vec(&state)
            .map_err(|error| Error::internal("keep the state of the objective").source(error))?;
        writer.artifact(OBJECTIVE, &state)?;
        writer.finish()
    }

    fn state(&self) -> Result<ObjectiveState> {
        let mut state = ObjectiveState::default();
        for (_, shard) in self.rows.shards() {
            let mut cursor = self.cursor(shard, &[ScoreColumn::SAS, ScoreColumn::SDS])?;
            while let Some(rows) = cursor.advance()? {
                (self.cancelled)()?;
                let alignments = rows.columns[0].as_primitive::<Float32Type>();
                let diversities = rows.columns[1].as_primitive::<Float32Type>();
                for (sas, sds) in alignments.iter().zip(diversities) {
                    if let Some(sas) = sas {
                        state.push(sas, sds)?;
                    }
                }
            }
        }
        Ok(state)
    }

    fn cursor(&self, shard: &ShardIdentity, columns: &[ScoreColumn]) -> Result<ScoreCursor> {
        let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
        self.store.scores(shard)?.cursor(&names, 0)
    }
}

/// The columns of one shard.
struct Batches<'a> {
    /// Gives the known columns, then `sas` and `sds`.
    cursor: ScoreCursor,
    objective: &'a Objective,
    schema: &'a SchemaRef,
}

impl Batches<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(rows) = self.cursor.advance()? else {
            return Ok(None);
        };
        let (known, inputs) = rows.columns.split_at(self.schema.fields().len() - 1);
        let alignments = inputs[0].as_primitive::<Float32Type>().iter();
        let scores = alignments.zip(inputs[1].as_primitive::<Float32Type>());
        let scores = scores.map(|(sas, sds)| sas.map(|sas| self.objective.score(sas, sds)));
        let mut columns = known.to_vec();
        columns.push(Arc::new(scores.collect::<Float32Array>()) as ArrayRef);
        RecordBatch::try_new(Arc::clone(self.schema), columns)
            .map(Some)
            .map_err(|error| Error::internal("shape derived columns").source(error))
    }
}
