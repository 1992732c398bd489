//! The emit pass: back to the shards for the selected rows only, with the added columns beside them.
//!
//! Its work is a sequence of [`crate::sink::ShardUnit`], one of each shard, which know nothing of each other. Here they
//! are read one after the other into one output, in row order, while what was read before is written.

use std::sync::{
    Arc,
    atomic::Ordering,
    mpsc::{Receiver, sync_channel},
};

use arrow::datatypes::Schema;

use super::context::{Cancel, Prepared, RunContext, RunOptions, Scored, written_schema};
use crate::{
    error::{Error, Result},
    selection::Selection,
    sink::{
        BATCH_ROWS, DatasetWriter, OutputWriter, Portion, Provenance, Shuffled, Staged, TarPolicy,
        TarWriter, UnitSource, WriterPolicy, Written,
    },
    source::view_schema,
    summary::Stage,
};

/// What was written and is safe, and not visible yet.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    /// Final names of the output's files.
    pub(super) outputs: Vec<String>,
    /// In the order in which they become visible.
    pub(super) staged: Vec<Staged>,
    /// What is to be told of them, one line each.
    pub(super) notes: Vec<String>,
}

/// What is written, and as what.
pub(super) struct Emitting<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) prepared: &'a Prepared,
    pub(super) provenance: &'a Provenance,
    /// Files that become visible before the output does.
    pub(super) others: Vec<Staged>,
}

/// Writes the selected rows in row order; nothing of it is visible yet.
pub(super) async fn emit(
    emitting: Emitting<'_>,
    scored: Scored,
    written: Selection,
    context: &RunContext,
) -> Result<Emitted> {
    let (options, prepared) = (emitting.options, emitting.prepared);
    if !prepared.writes() {
        return Ok(Emitted::default());
    }
    let output = prepared.stage_output(options)?;
    let policy = prepared.writer_policy(options, emitting.provenance, &scored.memory);
    let shards = &prepared.shards;
    let stored = prepared.written(options);
    let tars = prepared.tar_policy(options, &scored.memory);
    let shuffle = tars.as_ref().and_then(|tars| tars.options.shuffle);
    let (carried, read) = match tars {
        None => (shards.set.carried(), shards.set.carried_schema()?),
        // What becomes JSON is read as what it means.
        Some(_) => (Vec::new(), view_schema(&shards.set.schema)),
    };
    let ways = shuffle.map_or(1, |_| WAYS);
    let writing = Writing {
        source: UnitSource {
            set: Arc::clone(&shards.set),
            identities: shards.identities.clone(),
            stored: stored.map(|column| column.added.name()).collect(),
            added: Arc::new(Schema::new(policy.added.clone())),
            schema: written_schema(&read, &policy.added),
            store: Arc::clone(&scored.store),
            carried,
            batch_rows: BATCH_ROWS.min(shuffle.map_or(usize::MAX, |_| SHUFFLED_ROWS)),
            batch_bytes: scored.memory.batch_bytes / ways as u64,
            counters: Arc::clone(&context.counters),
        },
        policy,
        tars,
        cancel: context.cancel.clone(),
    };
    let written = tokio::task::spawn_blocking(move || writing.run(output, &written))
        .await
        .map_err(|error| Error::internal("write the output").source(error))??;
    let outputs = written.staged.outputs();
    // The output last: where it is, all of the run is.
    let mut staged = emitting.others;
    staged.push(written.staged);
    Ok(Emitted {
        outputs,
        staged,
        notes: written.notes,
    })
}

/// Shards that are read side by side where rows are shuffled.
const WAYS: usize = 4;
/// Most rows of a batch there: batches are drawn from the shards in turn.
const SHUFFLED_ROWS: usize = 128;

/// The channels of shards that are read side by side.
enum Turns {
    /// One after the other.
    InOrder,
    /// Which is next is drawn.
    Drawn(Shuffled),
}

/// The writing half of the pass.
struct Writing {
    source: UnitSource,
    policy: WriterPolicy,
    tars: Option<TarPolicy>,
    cancel: Cancel,
}

impl Writing {
    /// Reading and writing overlap.
    fn run(self, output: Staged, kept: &Selection) -> Result<Written> {
        let schema = Arc::clone(&self.source.schema);
        let mut writer = match &self.tars {
            Some(tars) => OutputWriter::Tars(TarWriter::new(output, tars, &schema)),
            None => {
                let policy = self.policy.clone();
                OutputWriter::parquet(DatasetWriter::create(output, policy, schema)?)
            }
        };
        let layout = writer.layout();
        let seed = self.tars.as_ref().and_then(|tars| tars.options.shuffle);
        let shards = self.source.set.shards.len();
        let (order, ways, turns) = match seed {
            None => ((0..shards).collect(), 1, Turns::InOrder),
            Some(seed) => {
                let mut drawn = Shuffled::new(seed);
                (drawn.order(shards), WAYS.min(shards), Turns::Drawn(drawn))
            }
        };
        std::thread::scope(|scope| {
            let (mut readers, mut portions) = (Vec::new(), Vec::new());
            for way in 0..ways.max(1) {
                // One batch waits while the next is read.
                let (sender, receiver) = sync_channel(1);
                portions.push(receiver);
                let own: Vec<usize> = order.iter().skip(way).step_by(ways).copied().collect();
                let (source, layout) = (&self.source, layout.as_ref());
                let read = move || {
                    let counters = &source.counters;
                    let mut send =
                        |portion| counters.blocked(Stage::Read, || sender.send(portion).is_ok());
                    for shard in own {
                        if !source.unit(shard, kept, layout).read(&mut send)? {
                            break;
                        }
                    }
                    Ok(())
                };
                readers.push(scope.spawn(read));
            }
            let written = self.write_all(portions, turns, &mut writer);
            // Without a receiver a reader stops at its next batch.
            let mut read = Ok(());
            for reader in readers {
                let done = reader.join();
                let done = done.map_err(|_| Error::internal("read the selected rows"))?;
                read = read.and(done);
            }
            written.and(read)
        })?;
        writer.close()
    }

    fn write_all(
        &self,
        mut portions: Vec<Receiver<Result<Portion>>>,
        mut turns: Turns,
        writer: &mut OutputWriter,
    ) -> Result<()> {
        let counters = &self.source.counters;
        while !portions.is_empty() {
            let next = match &mut turns {
                Turns::InOrder => 0,
                Turns::Drawn(drawn) => drawn.below(portions.len()),
            };
            let Ok(portion) = counters.starved(Stage::Write, || portions[next].recv()) else {
                portions.remove(next);
                continue;
            };
            self.cancel.check()?;
            let portion = portion?;
            let mut span = counters.span(Stage::Write).of("rows");
            let rows = writer.write(&portion)?;
            span.rows(rows);
            counters
                .rows_written
                .fetch_add(rows as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
