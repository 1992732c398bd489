//! Columns that were derived before, and the order that is made of them.

use arrow::{
    array::AsArray,
    datatypes::{Float32Type, UInt32Type},
};

use super::{
    Deriving, ObjectiveState,
    publish::DerivedValues,
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::{Block, Sides, StoredRows},
};
use crate::{
    error::{Error, Result},
    schema::ScoreColumn,
    store::DerivedSpec,
};

impl Deriving<'_> {
    /// The columns that the store has and that are still right.
    pub(super) fn known(&self, spec: &DerivedSpec) -> Vec<ScoreColumn> {
        let same =
            |known: &&DerivedSpec| known.made_with == spec.made_with && known.shards == spec.shards;
        let Some(known) = self.store.derived().filter(same) else {
            return Vec::new();
        };
        let right = |column: &ScoreColumn| {
            *column != ScoreColumn::SELECTION_SCORE
                || spec.selection.is_none()
                || known.selection == spec.selection
        };
        let names = known.columns.iter();
        let names = names.filter_map(|name| ScoreColumn::derived_from_name(name));
        names.filter(right).collect()
    }

    /// Copies of columns that the store has.
    pub(super) fn known_columns(
        &self,
        names: &[ScoreColumn],
        rows: &StoredRows<'_>,
    ) -> Result<DerivedValues> {
        let mut columns = DerivedValues::new();
        if names.is_empty() {
            return Ok(columns);
        }
        for name in names {
            columns.insert(*name, ScratchColumn::create(&self.directory())?);
        }
        let stored: Vec<&str> = names.iter().map(|name| name.name()).collect();
        for (_, shard) in rows.shards() {
            let mut cursor = self.store.scores(shard)?.cursor(&stored, 0)?;
            while let Some(found) = cursor.advance()? {
                for (name, values) in names.iter().zip(&found.columns) {
                    let Some(column) = columns.get_mut(name) else {
                        continue;
                    };
                    match values.as_primitive_opt::<Float32Type>() {
                        Some(values) => column.append(
                            &values
                                .iter()
                                .map(|value| value.unwrap_or(f32::NAN))
                                .collect::<Vec<_>>(),
                        )?,
                        None => {
                            let cells = values.as_primitive::<UInt32Type>();
                            let cells = cells.iter().map(|cell| cell.unwrap_or(NO_CELL));
                            column.append_cells(&cells.collect::<Vec<_>>())?;
                        }
                    }
                }
            }
        }
        Ok(columns)
    }

    /// Adds what `align-diverse` orders by; what it was computed with, to be kept.
    pub(super) fn order(
        &self,
        columns: &mut DerivedValues,
        rows: &StoredRows<'_>,
    ) -> Result<Vec<u8>> {
        let mut state = ObjectiveState::default();
        let inputs = |columns: &DerivedValues, block: &Block| -> Result<Vec<(f32, Option<f32>)>> {
            let stored = || block.first..block.first + block.len as u64;
            let read = |name: ScoreColumn| match columns.get(&name) {
                Some(column) => column.read(stored()),
                None => Err(Error::internal(format!("find the column {}", name.name()))),
            };
            let (alignments, diversities) = (read(ScoreColumn::SAS)?, read(ScoreColumn::SDS)?);
            let pairs = alignments.into_iter().zip(diversities);
            Ok(pairs
                .map(|(sas, sds)| (sas, (!sds.is_nan()).then_some(sds)))
                .collect())
        };
        rows.for_each(Sides::None, &mut |block| {
            for (sas, sds) in inputs(columns, block)? {
                if !sas.is_nan() {
                    state.push(sas, sds)?;
                }
            }
            Ok(())
        })?;
        let objective = state.finish(self.options.diversity_weight);
        let mut column = ScratchColumn::create(&self.directory())?;
        rows.for_each(Sides::None, &mut |block| {
            let scores = inputs(columns, block)?
                .into_iter()
                .map(|(sas, sds)| match sas.is_nan() {
                    true => f32::NAN,
                    false => objective.score(sas, sds),
                });
            column.append(&scores.collect::<Vec<_>>())
        })?;
        columns.insert(ScoreColumn::SELECTION_SCORE, column);
        serde_json::to_vec(&state)
            .map_err(|error| Error::internal("keep the state of the objective").source(error))
    }
}
