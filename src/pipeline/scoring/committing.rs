//! Encoded rows become parts of the score store, and parts files.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use tokio::sync::mpsc;

use super::{
    claiming::{ClaimedShard, OpenShards},
    filling::StoreRows,
};
use crate::{
    error::{Error, Result},
    summary::{Counters, Stage},
};

/// Most batches that are committed with one sync.
const BATCHES_TOGETHER: usize = 2;

/// Puts rows into the store, in the order in which the scan comes to shards.
pub(super) struct Committer {
    open: Arc<OpenShards>,
    /// The shard whose rows come now.
    current: Option<ClaimedShard>,
    /// Rows of small shards, until all of their bundle are there.
    bundled: HashMap<usize, Vec<RecordBatch>>,
    counters: Arc<Counters>,
}

impl Committer {
    pub(super) fn new(open: &Arc<OpenShards>, counters: &Arc<Counters>) -> Self {
        Self {
            open: Arc::clone(open),
            current: None,
            bundled: HashMap::new(),
            counters: Arc::clone(counters),
        }
    }

    pub(super) fn run(mut self, mut batches: mpsc::Receiver<Vec<StoreRows>>) -> Result<Self> {
        let counters = Arc::clone(&self.counters);
        while let Some(mut waiting) = counters.starved(Stage::Write, || batches.blocking_recv()) {
            let mut span = counters.span(Stage::Write).of("scores");
            for _ in 1..BATCHES_TOGETHER {
                if let Ok(next) = batches.try_recv() {
                    waiting.extend(next);
                }
            }
            span.rows(waiting.iter().map(|next| next.rows.num_rows()).sum());
            let mut rest = waiting.as_slice();
            while let Some(first) = rest.first() {
                let same = rest.iter().take_while(|next| next.shard == first.shard);
                let (now, later) = rest.split_at(same.count());
                let rows: Vec<RecordBatch> = now.iter().map(|next| next.rows.clone()).collect();
                self.commit(first.shard, &rows)?;
                rest = later;
            }
        }
        Ok(self)
    }

    fn commit(&mut self, shard: usize, batches: &[RecordBatch]) -> Result<()> {
        let last = batches.iter().rev().find(|batch| batch.num_rows() > 0);
        let Some(last) = last else { return Ok(()) };
        let rows = last.column(0).as_primitive::<Int64Type>();
        let end = u64::try_from(rows.value(rows.len() - 1))
            .map_err(|error| Error::internal("number a scored row").source(error))?
            + 1;
        let mut claimed = self.reach(shard)?;
        if claimed.bundle.is_some() {
            let rows = self.bundled.entry(shard).or_default();
            rows.extend(batches.iter().cloned());
            self.current = Some(claimed);
            return Ok(());
        }
        let (store, identity) = (self.open.store(), self.open.shard(shard));
        if claimed.decided == 0 && end == identity.rows {
            return store.commit_whole(identity, batches);
        }
        store.commit_part(identity, claimed.decided..end, batches)?;
        claimed.claim.renew();
        claimed.decided = end;
        if end == identity.rows {
            return self.complete(&claimed);
        }
        self.current = Some(claimed);
        Ok(())
    }

    /// The claim on a shard whose rows come now. Those that the scan came to before have had all of theirs.
    fn reach(&mut self, shard: usize) -> Result<ClaimedShard> {
        while let Some(next) = self.current.take().or_else(|| self.open.next_read()) {
            if next.shard == shard {
                return Ok(next);
            }
            self.complete(&next)?;
        }
        Err(Error::internal("find the claim on a shard that is scored"))
    }

    /// Makes the files of all shards that the scan came to, and of those that it had no need to come to.
    pub(super) fn finish(mut self) -> Result<()> {
        let counters = Arc::clone(&self.counters);
        let _span = counters.span(Stage::Write).of("scores");
        while let Some(next) = self.current.take().or_else(|| self.open.next_read()) {
            self.complete(&next)?;
        }
        self.open.finish_unread()
    }

    /// Keeps what is known of a shard of which no more rows come; of one in a bundle, with the others of that.
    fn complete(&mut self, claimed: &ClaimedShard) -> Result<()> {
        match claimed.bundle {
            None => self.open.store().complete(self.open.shard(claimed.shard)),
            Some(bundle) if self.open.is_last_of(claimed.shard, bundle) => {
                let rows = std::mem::take(&mut self.bundled);
                self.open.commit_bundle(bundle, &rows)
            }
            Some(_) => Ok(()),
        }
    }
}
