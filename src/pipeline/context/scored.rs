//! A store that has every row that is wanted.

use std::{sync::Arc, time::Duration};

use crate::{
    config::ByteSize,
    engine::{MemoryPlan, WholePage, check_limit},
    error::Result,
    store::ScoreStore,
};

/// A store that has every row that is wanted of the shards.
pub(in crate::pipeline) struct Scored {
    pub(in crate::pipeline) store: Arc<ScoreStore>,
    pub(in crate::pipeline) memory: MemoryPlan,
    /// Rows that this run encoded.
    pub(in crate::pipeline) rows_scored: u64,
    /// The store holds only rows that fulfil the early parts of this run's condition.
    pub(in crate::pipeline) is_private: bool,
    /// From the first row asked for to the last; loading the model is not in it.
    pub(in crate::pipeline) took: Duration,
    /// Holds a store that is needed no longer than the run.
    pub(in crate::pipeline) _temporary: Option<tempfile::TempDir>,
}

impl Scored {
    /// The rows of a store as they are.
    ///
    /// # Errors
    /// When `limit` is too small, or has no room for what is `written`.
    pub(in crate::pipeline) fn stored(
        store: ScoreStore,
        limit: ByteSize,
        written: Option<&WholePage>,
    ) -> Result<Self> {
        check_limit(limit, written)?;
        Ok(Self {
            store: Arc::new(store),
            memory: MemoryPlan::without_model(limit),
            rows_scored: 0,
            is_private: false,
            took: Duration::ZERO,
            _temporary: None,
        })
    }

    /// Keeps the directory of a store that is needed no longer than its rows.
    pub(in crate::pipeline) fn holding(self, temporary: tempfile::TempDir) -> Self {
        Self {
            _temporary: Some(temporary),
            ..self
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    pub(in crate::pipeline) fn pairs_per_sec(&self) -> f64 {
        self.rows_scored as f64 / self.took.as_secs_f64().max(1e-9)
    }
}
