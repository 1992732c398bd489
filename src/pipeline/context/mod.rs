//! What the steps of a run share: its options, its shards, and how it is told to stop.
//!
//! | what | file |
//! |---|---|
//! | what was asked for | `options` |
//! | shards, columns and destination that nothing was found wrong with | `prepared` |
//! | what a killed run leaves to the next | `work` |
//! | a model, loaded with the memory that it may use | `loading` |
//! | a store that has every wanted row | `scored` |
//! | rows that fulfil conditions | `conditions` |
//! | keys of rows, and the error that names a bad one | `keys`, `bad_row` |

mod bad_row;
mod conditions;
mod keys;
mod loading;
mod options;
mod prepared;
mod scored;
mod work;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    encode::Model,
    engine::MemoryPlan,
    error::{Error, ErrorKind, Result},
    summary::{Counters, RunSummary, Stage},
};

pub(super) use bad_row::{BadRow, bad_row};
pub(super) use conditions::Narrow;
pub(super) use keys::{column, key_of, keys_of};
pub(super) use loading::{EncodeLimits, load, load_of_store, loaded};
pub use options::{RunOptions, ScoreOptions, addable, addable_names};
pub use prepared::Prepared;
pub(super) use prepared::{Clash, written_schema};
pub(super) use scored::Scored;

/// Tells a run to stop; the other end is held by whoever may want that.
pub type Cancel = watch::Receiver<bool>;

/// What a run works with besides its options.
pub struct RunContext<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// Progress, for whoever looks at it while the run goes on.
    pub counters: Arc<Counters>,
    /// Tells the run to stop.
    pub cancel: Cancel,
    /// Gets the physical plans of the queries.
    pub explain: &'a (dyn Fn(&str) + Sync),
    /// Gets what the user should know at once.
    pub say: &'a (dyn Fn(&str) + Sync),
}

impl RunContext<'_> {
    /// An error once the run is told to stop.
    pub(super) fn stopping(&self) -> impl Fn() -> Result<()> + use<> {
        let cancel = self.cancel.clone();
        move || match *cancel.borrow() {
            true => Err(interrupted()),
            false => Ok(()),
        }
    }
}

/// The error of a run that was told to stop.
pub(super) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: it was interrupted")
        .hint("run the same command again: it goes on from the last committed scores")
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
        summary
            .warnings
            .extend(RunSummary::encoder_warnings(counters));
        summary
    }
}
