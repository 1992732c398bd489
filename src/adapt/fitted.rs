//! What a fit gives.

use super::Adapters;

/// Adapters, and how rows are scored by them.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The adapters, or the identity when they were rejected; their record says which.
    pub adapters: Adapters,
    /// In closed form, those that rows of each fold are scored by: fitted to the others. None where nothing is changed.
    pub folds: Vec<Adapters>,
}

impl Fitted {
    /// The same adapters for all rows.
    pub fn of(adapters: Adapters) -> Self {
        Self {
            adapters,
            folds: Vec::new(),
        }
    }

    /// Whether they improve on the embeddings as they are.
    pub fn accepted(&self) -> bool {
        self.adapters.record.accepted()
    }
}
