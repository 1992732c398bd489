//! What shards, a score store or a model are, without running a model.

mod cells;
mod content;
mod derived;
mod distribution;
mod model;
mod shards;
mod store;
mod stretches;
mod subject;

use serde::Serialize;

use crate::{
    encode::ModelSpec,
    error::Result,
    model::ModelCheck,
    source::{Found, Places},
    store::StoreAt,
};

pub use cells::CellFacts;
pub use derived::{DerivedColumn, DerivedFacts};
pub(super) use distribution::Distribution;
pub use distribution::{QUANTILES, Quantile, Scores};
pub use model::{ExampleCaption, FileSize, ModelFacts, TokenizerFacts};
pub use shards::{ColumnFinding, EarlierRun, Pairs, ShardFacts};
pub use store::{FileState, Progress, StoreFacts, StoredModel, StoredShard};
pub use subject::{Subject, subject};

/// The facts of a [`Subject`].
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Inspection {
    /// Parquet files.
    Shards(Box<ShardFacts>),
    /// A score store.
    Store(Box<StoreFacts>),
    /// A model.
    Model(Box<ModelFacts>),
}

impl Inspection {
    /// Reads the footers of the files that were found, none of their rows.
    ///
    /// # Errors
    /// When none of them can be read.
    pub fn of_shards(found: &Found) -> Result<Self> {
        Ok(Self::Shards(Box::new(ShardFacts::read(found)?)))
    }

    /// Reads a score store, also while another process writes to it, and looks for its shards in `places`. Its scores are
    /// read twice, and never held.
    ///
    /// # Errors
    /// When it is damaged, or of another format.
    pub fn of_store(at: impl Into<StoreAt>, places: &Places) -> Result<Self> {
        let facts = StoreFacts::read(at.into().in_places(places), places)?;
        Ok(Self::Store(Box::new(facts)))
    }

    /// What the files of a model say.
    ///
    /// # Errors
    /// When its tokenizer is damaged.
    pub fn of_model(spec: &ModelSpec) -> Result<Self> {
        Ok(Self::Model(Box::new(ModelFacts::of(spec)?)))
    }

    /// The same with what a check of the model found.
    #[must_use]
    pub fn with_check(mut self, check: ModelCheck) -> Self {
        if let Self::Model(facts) = &mut self {
            facts.check = Some(check);
        }
        self
    }
}
