//! The wide pass: every pair that the store lacks is encoded once and committed.
//!
//! Encoding hardly waits for a disk: a thread of its own commits, several batches with one sync where they have
//! come meanwhile. What a kill costs is the batches under way, at most nine of 256 rows: three in work, one
//! each at the four hand-overs, and those that are being committed.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::{Int64Type, UInt32Type},
};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::{
    config::ByteSize,
    engine::{
        AddedColumn, EncodeRuntime, MemoryPlan, RowCondition, ShardStarts, ShardTable, WidePlan,
        from_datafusion, wide_pass,
    },
    error::{Error, Result},
    pipeline::context::{BadRow, RunContext, bad_row, column, interrupted, key_of},
    schema::{ROW, SHARD, ScoreColumn, Status},
    source::BoundShards,
    store::{ScoreStore, ShardIdentity},
    summary::{Counters, Pass, Stage},
};

/// Batches that wait while others are committed.
const BATCHES_WAITING: usize = 1;
/// Most batches that are committed with one sync.
const BATCHES_TOGETHER: usize = 2;

pub(super) struct Fill<'a> {
    pub(super) shards: &'a BoundShards,
    pub(super) runtime: Arc<EncodeRuntime>,
    pub(super) memory: &'a MemoryPlan,
    pub(super) memory_limit: ByteSize,
    pub(super) condition: Option<RowCondition>,
    /// The first bad row is an error.
    pub(super) fail_on_bad: bool,
}

#[derive(Debug, Default)]
pub(super) struct Filled {
    /// Rows that were encoded.
    pub(super) rows: u64,
    /// From the first row asked for to the last.
    pub(super) took: Duration,
}

/// Encodes what `store` lacks; when it returns without an error the store lacks nothing.
pub(super) async fn fill(
    fill: Fill<'_>,
    store: &Arc<ScoreStore>,
    context: &RunContext,
) -> Result<Filled> {
    let mut committer = Committer::new(store, &fill.shards.identities, &context.counters)?;
    let starts = committer.decided.clone();
    let rows_of = |shard: &ShardIdentity| shard.rows;
    let nothing_to_read = starts
        .iter()
        .zip(fill.shards.identities.iter().map(rows_of))
        .all(|(&start, rows)| start >= rows);
    if nothing_to_read {
        committer.finish()?;
        return Ok(Filled::default());
    }
    let names = Names::of(&fill, store);
    let query = wide_pass(wide_plan(&fill, &names, starts, context)).await?;
    (context.explain)(&query.plan);
    // Sessions are made and run once before the clock starts: what is measured is encoding.
    fill.runtime.start().await?;
    let start = Instant::now();
    let _scoring = context.counters.pass(Pass::Score);
    let (sender, batches) = mpsc::channel(BATCHES_WAITING);
    let committing = tokio::task::spawn_blocking(move || committer.run(batches));
    let narrowed = query.batches.map(|batch| {
        let batch = batch.map_err(|error| from_datafusion(error, "score a batch"))?;
        names.narrow(&batch, &fill)
    });
    let sent = send_all(narrowed, sender, context).await;
    let failed = |error| Error::internal("commit scores").source(error);
    // Where committing has failed, that is why no more was sent.
    let mut committer = committing.await.map_err(failed)??;
    let rows = sent?;
    let finished = tokio::task::spawn_blocking(move || committer.finish()).await;
    finished.map_err(failed)??;
    Ok(Filled {
        rows,
        took: start.elapsed(),
    })
}

/// Gives all portions to the committer, until it takes no more; the rows that it got.
async fn send_all(
    portions: impl Stream<Item = Result<Vec<StoreRows>>>,
    committer: mpsc::Sender<StoreRows>,
    context: &RunContext,
) -> Result<u64> {
    let mut portions = std::pin::pin!(portions);
    let cancel = &context.cancel;
    let mut rows = 0;
    loop {
        let next = tokio::select! {
            next = portions.next() => next,
            _ = cancel.cancelled() => return Err(interrupted()),
        };
        let Some(portions) = next else {
            return Ok(rows);
        };
        for portion in portions? {
            rows += portion.rows.num_rows() as u64;
            if committer.send(portion).await.is_err() {
                return Ok(rows);
            }
        }
    }
}

fn wide_plan(fill: &Fill<'_>, names: &Names, starts: Vec<u64>, context: &RunContext) -> WidePlan {
    let table = ShardTable::new(
        Arc::clone(&fill.shards.set),
        &fill.shards.binding.image,
        (fill.memory.batch_rows, fill.memory.batch_bytes),
        Arc::clone(&context.counters),
    );
    WidePlan {
        table: table.starting_at(Arc::new(Decided(starts))),
        binding: fill.shards.binding.clone(),
        carried: names.key.iter().cloned().collect(),
        added: names.added.clone(),
        condition: fill.condition.clone(),
        runtime: Arc::clone(&fill.runtime),
        memory_limit: fill.memory_limit,
    }
}

/// For each shard the rows that the store has decided.
#[derive(Debug)]
struct Decided(Vec<u64>);

impl ShardStarts for Decided {
    fn first_row(&self, shard: usize) -> Result<Option<u64>> {
        Ok(self.0.get(shard).copied())
    }
}

/// Columns of the wide pass.
struct Names {
    /// In the order of the store's columns behind the row.
    added: Vec<AddedColumn>,
    key: Option<String>,
}

/// Stored rows of one batch.
struct StoreRows {
    shard: usize,
    rows: RecordBatch,
}

impl Names {
    fn of(fill: &Fill<'_>, store: &ScoreStore) -> Self {
        let all = [
            ScoreColumn::STATUS,
            ScoreColumn::REASON,
            ScoreColumn::WIDTH,
            ScoreColumn::HEIGHT,
            ScoreColumn::CLIP_SCORE,
            ScoreColumn::IMAGE_EMBEDDING,
            ScoreColumn::TEXT_EMBEDDING,
        ];
        let stored = |added: &ScoreColumn| store.schema().index_of(added.name()).is_ok();
        let named = |added: ScoreColumn| AddedColumn {
            added,
            // No input has it, or has it on purpose.
            name: format!("__scored_{}", added.name()),
        };
        let key = fill.shards.binding.key.clone();
        Self {
            added: all.into_iter().filter(stored).map(named).collect(),
            key: key.filter(|_| fill.fail_on_bad),
        }
    }

    /// The stored rows of a batch, shard by shard: a filter above the scan may put rows of two into one.
    fn narrow(&self, batch: &RecordBatch, fill: &Fill<'_>) -> Result<Vec<StoreRows>> {
        let mut portions = Vec::new();
        let shards = column(batch, SHARD)?.as_primitive::<UInt32Type>().values();
        let mut first = 0;
        for same in shards.chunk_by(|a, b| a == b) {
            let rows = batch.slice(first, same.len());
            first += same.len();
            portions.push(self.narrow_shard(&rows, fill, same[0] as usize)?);
        }
        Ok(portions)
    }

    fn narrow_shard(
        &self,
        batch: &RecordBatch,
        fill: &Fill<'_>,
        shard: usize,
    ) -> Result<StoreRows> {
        if fill.fail_on_bad {
            self.refuse_bad(batch, fill, shard)?;
        }
        let mut columns: Vec<(&str, ArrayRef, bool)> = vec![(
            crate::schema::STORED_ROW,
            Arc::clone(column(batch, ROW)?),
            false,
        )];
        for added in &self.added {
            let values = Arc::clone(column(batch, &added.name)?);
            columns.push((added.added.name(), values, true));
        }
        let rows = RecordBatch::try_from_iter_with_nullable(columns)
            .map_err(|error| Error::internal("narrow a scored batch").source(error))?;
        Ok(StoreRows { shard, rows })
    }

    fn refuse_bad(&self, batch: &RecordBatch, fill: &Fill<'_>, shard: usize) -> Result<()> {
        let text = |added: ScoreColumn| {
            let name = format!("__scored_{}", added.name());
            Ok::<_, Error>(column(batch, &name)?.as_string::<i32>().clone())
        };
        let statuses = text(ScoreColumn::STATUS)?;
        let bad = |row: &usize| statuses.value(*row) != Status::Ok.as_str();
        let Some(row) = (0..batch.num_rows()).find(bad) else {
            return Ok(());
        };
        let key = match &self.key {
            None => String::new(),
            Some(name) => key_of(column(batch, name)?, row),
        };
        Err(bad_row(BadRow {
            shard: fill.shards.set.shards[shard].location.name(),
            row: column(batch, ROW)?.as_primitive::<Int64Type>().value(row),
            key: &key,
            status: statuses.value(row),
            reason: text(ScoreColumn::REASON)?.value(row),
        }))
    }
}

/// Puts rows into the store, in row order.
struct Committer {
    store: Arc<ScoreStore>,
    shards: Vec<ShardIdentity>,
    /// For each shard the rows that are decided.
    decided: Vec<u64>,
    /// For each shard whether its file is to be made.
    open: Vec<bool>,
    /// The shard whose rows come now.
    current: usize,
    counters: Arc<Counters>,
}

impl Committer {
    fn new(
        store: &Arc<ScoreStore>,
        shards: &[ShardIdentity],
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let mut seen = HashSet::new();
        let (mut decided, mut open) = (Vec::new(), Vec::new());
        for shard in shards {
            let coverage = store.coverage(shard)?;
            // Two copies of a file have the same scores.
            let first = seen.insert(&shard.fingerprint);
            decided.push(if first {
                coverage.decided_rows
            } else {
                shard.rows
            });
            open.push(first && !coverage.complete);
        }
        Ok(Self {
            store: Arc::clone(store),
            shards: shards.to_vec(),
            decided,
            open,
            current: 0,
            counters: Arc::clone(counters),
        })
    }

    fn run(mut self, mut batches: mpsc::Receiver<StoreRows>) -> Result<Self> {
        let counters = Arc::clone(&self.counters);
        while let Some(first) = counters.starved(Stage::Write, || batches.blocking_recv()) {
            let mut span = counters.span(Stage::Write).of("scores");
            let mut waiting = vec![first];
            while waiting.len() < BATCHES_TOGETHER
                && let Ok(next) = batches.try_recv()
            {
                waiting.push(next);
            }
            span.rows(waiting.iter().map(|next| next.rows.num_rows()).sum());
            let mut rest = waiting.as_slice();
            while let Some(first) = rest.first() {
                let same = rest.iter().take_while(|next| next.shard == first.shard);
                let (now, later) = rest.split_at(same.count());
                self.complete_before(first.shard)?;
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
        let identity = &self.shards[shard];
        let range = self.decided[shard]..end;
        self.store.commit_part(identity, range, batches)?;
        self.decided[shard] = end;
        if end == identity.rows {
            self.complete_before(shard + 1)?;
        }
        Ok(())
    }

    /// Makes the files of all shards before `shard`: rows come in order, so theirs have all come.
    fn complete_before(&mut self, shard: usize) -> Result<()> {
        while self.current < shard {
            if std::mem::take(&mut self.open[self.current]) {
                self.store.complete(&self.shards[self.current])?;
            }
            self.current += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let counters = Arc::clone(&self.counters);
        let _span = counters.span(Stage::Write).of("scores");
        self.complete_before(self.shards.len())
    }
}
