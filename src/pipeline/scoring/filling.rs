//! The wide pass: every pair that the store lacks is encoded once and committed.
//!
//! Encoding hardly waits for a disk: a thread of its own commits, several batches with one sync where they have
//! come meanwhile. What a kill costs is the batches under way, at most nine of 256 rows: three in work, one
//! each at the four hand-overs, and those that are being committed; and of small shards the rows of one bundle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::{Int64Type, UInt32Type},
};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::{
    claiming::{Left, OpenShards},
    committing::Committer,
};
use crate::{
    config::{ByteSize, Share},
    engine::{
        AddedColumn, EncodeRuntime, MemoryPlan, RowCondition, ShardStarts, ShardTable, WidePlan,
        from_datafusion, wide_pass,
    },
    error::{Error, Result},
    pipeline::context::{BadRow, RunContext, bad_row, column, interrupted, key_of},
    schema::{ROW, SHARD, ScoreColumn, Status},
    source::BoundShards,
    store::ScoreStore,
    summary::Pass,
};

/// Batches that wait while others are committed.
const BATCHES_WAITING: usize = 1;
/// How often it is looked at what others have done, where nothing else is left.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

pub(super) struct Fill<'a> {
    pub(super) shards: &'a BoundShards,
    /// What is encoded of them; others do the rest.
    pub(super) share: Option<Share>,
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

impl Filled {
    fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.took += more.took;
    }
}

/// Encodes what `store` lacks; when it returns without an error the store lacks nothing of what is to be done here.
pub(super) async fn fill(
    fill: Fill<'_>,
    store: &Arc<ScoreStore>,
    context: &RunContext,
) -> Result<Filled> {
    let open = OpenShards::of(
        store,
        &fill.shards.identities,
        fill.share,
        &context.counters,
    )?;
    let open = Arc::new(open);
    let mut filled = Filled::default();
    let mut waits = false;
    loop {
        match open.look()? {
            Left::Nothing => break,
            Left::Work => filled.add(pass(&fill, &open, context).await?),
            Left::Others(shards) => {
                if !waits {
                    (context.say)(&format!(
                        "waiting for other processes, which score what is left: {shards} shards"
                    ));
                }
                waits = true;
                wait(context).await?;
            }
        }
    }
    Ok(filled)
}

/// Until others may have got further.
async fn wait(context: &RunContext) -> Result<()> {
    let cancel = context.cancel.clone();
    let pause = tokio::task::spawn_blocking(|| std::thread::sleep(BETWEEN_LOOKS));
    tokio::select! {
        _ = pause => Ok(()),
        () = cancel.cancelled() => Err(interrupted()),
    }
}

/// Encodes the shards that can be claimed while it goes on.
async fn pass(fill: &Fill<'_>, open: &Arc<OpenShards>, context: &RunContext) -> Result<Filled> {
    let names = Names::of(fill, open.store());
    let query = wide_pass(wide_plan(fill, &names, open, context)).await?;
    (context.explain)(&query.plan);
    // Sessions are made and run once before the clock starts: what is measured is encoding.
    fill.runtime.start().await?;
    let start = Instant::now();
    let _scoring = context.counters.pass(Pass::Score);
    let (sender, batches) = mpsc::channel(BATCHES_WAITING);
    let committer = Committer::new(open, &context.counters);
    let committing = tokio::task::spawn_blocking(move || committer.run(batches));
    let narrowed = query.batches.map(|batch| {
        let batch = batch.map_err(|error| from_datafusion(error, "score a batch"))?;
        names.narrow(&batch, fill)
    });
    let sent = send_all(narrowed, sender, context).await;
    let failed = |error| Error::internal("commit scores").source(error);
    // Where committing has failed, that is why no more was sent.
    let committer = committing.await.map_err(failed)??;
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
    committer: mpsc::Sender<Vec<StoreRows>>,
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
        let portions = portions?;
        let sent = portions
            .iter()
            .map(|portion| portion.rows.num_rows() as u64);
        rows += sent.sum::<u64>();
        if committer.send(portions).await.is_err() {
            return Ok(rows);
        }
    }
}

fn wide_plan(
    fill: &Fill<'_>,
    names: &Names,
    open: &Arc<OpenShards>,
    context: &RunContext,
) -> WidePlan {
    let table = ShardTable::new(
        Arc::clone(&fill.shards.set),
        &fill.shards.binding.image,
        fill.memory.batch(),
        Arc::clone(&context.counters),
    );
    let table = table.with_captions(&fill.shards.binding.text);
    WidePlan {
        table: table.starting_at(Arc::clone(open) as Arc<dyn ShardStarts>),
        binding: fill.shards.binding.clone(),
        carried: names.key.iter().cloned().collect(),
        added: names.added.clone(),
        condition: fill.condition.clone(),
        runtime: Arc::clone(&fill.runtime),
        memory_limit: fill.memory_limit,
    }
}

/// Columns of the wide pass.
struct Names {
    /// In the order of the store's columns behind the row.
    added: Vec<AddedColumn>,
    key: Option<String>,
}

/// Stored rows of one batch.
pub(super) struct StoreRows {
    pub(super) shard: usize,
    pub(super) rows: RecordBatch,
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
        let narrow = self.stored_columns(batch)?;
        let mut first = 0;
        for same in shards.chunk_by(|a, b| a == b) {
            let shard = same[0] as usize;
            if fill.fail_on_bad {
                self.refuse_bad(&batch.slice(first, same.len()), fill, shard)?;
            }
            let rows = narrow.slice(first, same.len());
            portions.push(StoreRows { shard, rows });
            first += same.len();
        }
        Ok(portions)
    }

    fn stored_columns(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<(&str, ArrayRef, bool)> = vec![(
            crate::schema::STORED_ROW,
            Arc::clone(column(batch, ROW)?),
            false,
        )];
        for added in &self.added {
            let values = Arc::clone(column(batch, &added.name)?);
            columns.push((added.added.name(), values, true));
        }
        RecordBatch::try_from_iter_with_nullable(columns)
            .map_err(|error| Error::internal("narrow a scored batch").source(error))
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
