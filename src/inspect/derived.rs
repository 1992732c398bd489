//! The columns of a store that are computed from its embeddings, and their adapters.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{cells::CellFacts, content::Content, distribution::Scores};
use crate::{
    adapt::{Adapters, TrainingRecord},
    schema::ScoreColumn,
    score::ADAPTERS,
    store::{DerivedSpec, ScoreStore},
};

/// The columns of a store that are computed from its embeddings.
#[derive(Debug, Serialize)]
pub struct DerivedFacts {
    /// Parameters by name, as they are compared when a run asks for the columns.
    pub made_with: BTreeMap<String, String>,
    /// What `selection_score` was made with besides, if it is there.
    pub selection: Option<String>,
    /// Shards of the store that the columns were made over; other shards have none.
    pub shards: usize,
    /// How the adapters were fitted, if there are any.
    pub fit: Option<TrainingRecord>,
    /// Cells, if there are any.
    pub cells: Option<CellFacts>,
    /// The other columns.
    pub columns: Vec<DerivedColumn>,
}

/// A column of numbers.
#[derive(Debug, Serialize)]
pub struct DerivedColumn {
    /// Its name.
    pub name: &'static str,
    /// Its distribution; `None` if there is not one number.
    pub scores: Option<Scores>,
}

/// The derived columns that this program knows.
pub(super) fn known(spec: Option<&DerivedSpec>) -> Vec<ScoreColumn> {
    let names = spec.iter().flat_map(|spec| &spec.columns);
    names
        .filter_map(|name| ScoreColumn::derived_from_name(name))
        .collect()
}

impl DerivedFacts {
    pub(super) fn of(store: &ScoreStore, content: &mut Content) -> Option<Self> {
        let spec = store.derived()?;
        let shards = store.shards().iter();
        let columns = std::mem::take(&mut content.derived);
        Some(Self {
            made_with: spec.made_with.clone(),
            selection: spec.selection.clone(),
            shards: shards
                .filter(|shard| spec.shards.contains(&shard.fingerprint))
                .count(),
            fit: store
                .artifact(ADAPTERS)
                .and_then(|bytes| Adapters::from_bytes(&bytes).ok())
                .map(|adapters| adapters.record().clone()),
            cells: std::mem::take(&mut content.cells).facts(),
            columns: columns
                .into_iter()
                .map(|(column, scores)| DerivedColumn {
                    name: column.name(),
                    scores,
                })
                .collect(),
        })
    }
}
