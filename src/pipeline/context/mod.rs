//! What the steps of a run share: its shards, its model, and how it is told to stop.
//!
//! | what | file |
//! |---|---|
//! | a word to stop | `cancel` |
//! | shards and columns that nothing was found wrong with | `prepared` |
//! | where outputs go, and their commit | `placing` |
//! | one of several workers writes a share of the output | `shares` |
//! | what a killed run leaves to the next | `work` |
//! | a model, loaded with the memory that it may use | `loading` |
//! | a store that has every wanted row | `scored` |
//! | rows that fulfil conditions | `conditions` |
//! | keys of rows, and the error that names a bad one | `keys`, `bad_row` |

mod bad_row;
mod cancel;
mod conditions;
mod keys;
mod loading;
mod placing;
mod prepared;
mod scored;
mod shares;
mod work;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    config::Tell,
    encode::EncoderSource,
    engine::MemoryPlan,
    error::Result,
    summary::{Counters, RunSummary, Stage},
};

pub(super) use bad_row::{BadRow, bad_row};
pub use cancel::Cancel;
pub(super) use cancel::interrupted;
pub(super) use conditions::Narrow;
pub(super) use keys::{column, key_of, keys_of};
pub(super) use loading::{EncodeLimits, PagesRead, load, load_of_store, loaded};
pub(super) use placing::check_store;
pub use prepared::Prepared;
pub(super) use prepared::{Clash, written_schema};
pub(super) use scored::Scored;
pub(super) use shares::OwnShare;
pub use shares::{MergedOutput, merge_output};

/// What a run works with besides its options. It owns all of it: a run may be moved to any thread.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunContext {
    /// The model.
    pub model: Arc<dyn EncoderSource>,
    /// Progress, for whoever looks at it while the run goes on. They count one run: a second one needs its own.
    pub counters: Arc<Counters>,
    /// Tells the run to stop.
    pub cancel: Cancel,
    /// Gets the physical plans of the queries.
    pub explain: Tell,
    /// Gets what the user should know at once.
    pub say: Tell,
}

impl RunContext {
    /// A run with `model` that nobody watches or stops.
    pub fn new(model: Arc<dyn EncoderSource>) -> Self {
        Self {
            model,
            counters: Arc::default(),
            cancel: Cancel::default(),
            explain: Arc::new(|_| {}),
            say: Arc::new(|_| {}),
        }
    }

    /// Counts in `counters`, of which the caller keeps a clone.
    #[must_use]
    pub fn with_counters(mut self, counters: Arc<Counters>) -> Self {
        self.counters = counters;
        self
    }

    /// Stops when `cancel` says so, of which the caller keeps a clone.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Gives the physical plans of queries to `explain`.
    #[must_use]
    pub fn with_explain(mut self, explain: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.explain = Arc::new(explain);
        self
    }

    /// Gives what the user should know at once to `say`, line by line.
    #[must_use]
    pub fn with_say(mut self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.say = Arc::new(say);
        self
    }

    /// An error once the run is told to stop.
    pub(super) fn stopping(&self) -> impl Fn() -> Result<()> + use<> {
        let cancel = self.cancel.clone();
        move || cancel.check()
    }
}

/// Rows that are settled before a run starts, so that its progress begins where the last one ended.
pub(super) fn count_settled(counters: &Counters, rows_total: u64, settled: u64) {
    counters.rows_total.store(rows_total, Ordering::Relaxed);
    counters.rows_skipped.fetch_add(settled, Ordering::Relaxed);
}

/// What encoders had while a summary's stages were measured.
pub(super) struct StageTimes<'a> {
    pub(super) threads: usize,
    pub(super) memory: &'a MemoryPlan,
    pub(super) wall: Duration,
}

impl StageTimes<'_> {
    /// `summary` with what stages did meanwhile, and what encoders have to say; every pass has one thread that reads
    /// and one that writes.
    pub(super) fn added_to(&self, summary: RunSummary, counters: &Counters) -> RunSummary {
        let mut summary = summary.with_stages(counters, self.wall, |stage| match stage {
            Stage::Read | Stage::Write => 1,
            Stage::Decode => self.threads,
            Stage::Encode => self.memory.encoders,
        });
        let images = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        summary.images_unturned = images(&counters.images_unturned);
        summary.images_filled = images(&counters.images_filled);
        summary
            .warnings
            .extend(RunSummary::encoder_warnings(counters));
        summary
    }
}
