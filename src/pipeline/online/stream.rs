//! The stream that a consumer reads.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use serde::Serialize;

use super::sieve::Sieve;
use crate::{
    engine::MemoryPlan,
    error::{Error, ErrorKind, Result},
    pipeline::context::{Cancel, StageTimes},
    sink::Provenance,
    summary::{BadShard, Counters, RunSummary},
};

/// The rows that are kept, in row order; see [`super::online`].
///
/// An error is its last item.
#[must_use = "nothing is read before somebody asks for rows"]
pub struct OnlineStream {
    /// `None` once it has ended, so that all work for it is stopped.
    batches: Option<Batches>,
    stopped: BoxFuture<'static, ()>,
    is_complete: bool,
    pass: OnlineRun,
    start: Instant,
    /// From the start to the last batch that was scored.
    scoring: Duration,
}

/// Scored rows, none left out yet.
pub(super) type Batches = BoxStream<'static, Result<RecordBatch>>;

/// What a stream is made with.
pub(super) struct OnlineRun {
    pub(super) sieve: Sieve,
    pub(super) schema: SchemaRef,
    pub(super) plain: SchemaRef,
    /// Rows of all shards.
    pub(super) rows_in: u64,
    pub(super) left_out: LeftOutFiles,
    pub(super) provenance: Provenance,
    pub(super) memory: MemoryPlan,
    pub(super) threads: usize,
    pub(super) counters: Arc<Counters>,
}

/// What is told of files that are not read.
pub(super) struct LeftOutFiles {
    pub(super) bad_shards: Vec<BadShard>,
    pub(super) notes: Vec<String>,
}

/// What an [`OnlineStream`] has done.
#[derive(Debug, Clone, Serialize)]
pub struct OnlineSummary {
    /// The counts. Of a stream that was not read to its end `rows_in` are the rows that were decided.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Good rows that fulfilled the condition and the threshold, of which the budget kept its part.
    pub candidates: u64,
    /// Part of the candidates that was kept; `None` without one.
    pub kept_fraction: Option<f64>,
    /// The stream was read to its end.
    pub complete: bool,
}

impl OnlineStream {
    pub(super) fn new(batches: Batches, pass: OnlineRun, cancel: Cancel) -> Self {
        Self {
            batches: Some(batches),
            stopped: async move { cancel.cancelled().await }.boxed(),
            is_complete: false,
            pass,
            start: Instant::now(),
            scoring: Duration::ZERO,
        }
    }

    /// Columns of its batches; strings and bytes are views. The metadata names model, selection and command.
    pub fn schema(&self) -> &SchemaRef {
        &self.pass.schema
    }

    /// The same columns with the types that the shards declare, and no views.
    pub fn plain_schema(&self) -> &SchemaRef {
        &self.pass.plain
    }

    /// What was done so far.
    #[expect(clippy::cast_precision_loss, reason = "rates for a person")]
    pub fn summary(&self) -> OnlineSummary {
        let OnlineRun {
            sieve,
            provenance,
            counters,
            ..
        } = &self.pass;
        let tally = &sieve.tally;
        let rows_bad = tally.bad.values().sum();
        let rows_in = match self.is_complete {
            true => self.pass.rows_in,
            false => tally.scored + counters.rows_skipped.load(Ordering::Relaxed),
        };
        let run = RunSummary {
            rows_in,
            bad_shards: self.pass.left_out.bad_shards.clone(),
            warnings: self.pass.left_out.notes.clone(),
            rows_kept: tally.kept,
            rows_nan: counters.rows_nan.load(Ordering::Relaxed),
            rows_cut: rows_in - tally.kept - rows_bad,
            rows_bad,
            bad: tally.bad.clone(),
            rows_written: tally.given,
            rows_scored: tally.scored,
            pairs_per_sec: tally.scored as f64 / self.scoring.as_secs_f64().max(1e-9),
            seconds: self.start.elapsed().as_secs_f64(),
            selection: provenance.selection.clone(),
            lowest_kept_score: tally.lowest_score,
            model: provenance.model.clone(),
            ..RunSummary::default()
        };
        let effort = StageTimes {
            threads: self.pass.threads,
            memory: &self.pass.memory,
            wall: self.scoring,
        };
        let run = effort.added_to(run, counters);
        let candidates = tally.candidates;
        OnlineSummary {
            run,
            candidates,
            kept_fraction: (candidates > 0).then(|| tally.kept as f64 / candidates as f64),
            complete: self.is_complete,
        }
    }

    /// Drops all work for the stream.
    fn end(&mut self) {
        self.batches = None;
    }
}

impl Stream for OnlineStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(batches) = &mut this.batches else {
                return Poll::Ready(None);
            };
            if this.stopped.poll_unpin(context).is_ready() {
                this.end();
                return Poll::Ready(Some(Err(interrupted())));
            }
            let Some(batch) = ready!(batches.poll_next_unpin(context)) else {
                this.is_complete = true;
                this.end();
                return Poll::Ready(None);
            };
            this.scoring = this.start.elapsed();
            match batch.and_then(|batch| this.pass.sieve.take(&batch)) {
                Ok(batch) if batch.num_rows() == 0 => {}
                Ok(batch) => return Poll::Ready(Some(Ok(batch))),
                Err(error) => {
                    this.end();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: it was interrupted")
        .hint("an online run keeps no scores: the next one begins with the first row")
}
