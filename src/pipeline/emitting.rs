//! The emit pass: back to the shards for the selected rows only, with the added columns beside them.
//!
//! Its work is a sequence of [`crate::sink::ShardUnit`], one of each shard, which know nothing of each other. Here they
//! are read one after the other into one output, in row order, while what was read before is written.

use std::sync::{
    Arc,
    atomic::Ordering,
    mpsc::{Receiver, sync_channel},
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};

use super::context::{Cancel, Prepared, RunContext, Scored, written_schema};
use crate::{
    error::{Error, Result},
    options::RunOptions,
    selection::{Repeats, Selection},
    sink::{
        BATCH_ROWS, Cut, DatasetWriter, LeftShare, OutputWriter, Portion, Provenance, Shuffled,
        Staged, TarPolicy, TarWriter, UnitSource, WriterPolicy, WrittenOutput,
    },
    source::view_schema,
    summary::Stage,
};

#[cfg(feature = "delta")]
use crate::sink::{Nanoseconds, as_delta, delta_schema};

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

impl Emitted {
    /// What an earlier attempt at a share has written.
    pub(super) fn before(left: &LeftShare) -> Self {
        let parts = left.pending.parts.iter();
        Self {
            outputs: parts.map(|part| part.name.clone()).collect(),
            notes: vec!["this part was written before: it is left as it is".to_owned()],
            ..Self::default()
        }
    }
}

/// What is written, and as what.
pub(super) struct Emitting<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) prepared: &'a Prepared,
    pub(super) provenance: &'a Provenance,
    /// Files that become visible before the output does.
    pub(super) others: Vec<Staged>,
}

/// The rows that are written, and how often each is to be seen.
pub(super) struct KeptRows {
    pub(super) written: Selection,
    pub(super) repeats: Option<Repeats>,
    /// The first shard has a file whether or not rows of it are kept: an output without rows is still a file with columns.
    pub(super) first_file: bool,
}

/// Writes the selected rows in row order; nothing of it is visible yet.
pub(super) async fn emit(
    emitting: Emitting<'_>,
    scored: Scored,
    rows: KeptRows,
    context: &RunContext,
) -> Result<Emitted> {
    let KeptRows {
        written,
        repeats,
        first_file,
    } = rows;
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
            repeats,
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
        first_file,
        cancel: context.cancel.clone(),
        #[cfg(feature = "delta")]
        delta: options.delta,
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
    /// As [`KeptRows`] has it.
    first_file: bool,
    cancel: Cancel,
    /// Rows are a table's.
    #[cfg(feature = "delta")]
    delta: Option<Nanoseconds>,
}

impl Writing {
    /// A writer of the output, and the types that rows are brought to first, where they are not written as they come.
    fn writer(&self, output: Staged) -> Result<(OutputWriter, Option<SchemaRef>)> {
        let schema = Arc::clone(&self.source.schema);
        if let Some(tars) = &self.tars {
            return Ok((
                OutputWriter::Tars(Box::new(TarWriter::new(output, tars, &schema))),
                None,
            ));
        }
        #[cfg(feature = "delta")]
        if let Some(nanoseconds) = self.delta {
            let held = delta_schema(&schema, nanoseconds)?;
            let mut policy = self.policy.clone();
            policy.input = delta_schema(&policy.input, nanoseconds)?;
            let added = delta_schema(&Schema::new(policy.added), nanoseconds)?;
            policy.added = added
                .fields()
                .iter()
                .map(|field| field.as_ref().clone())
                .collect();
            let writer = DatasetWriter::create(output, policy, Arc::clone(&held))?;
            return Ok((OutputWriter::parquet(writer), Some(held)));
        }
        let writer = DatasetWriter::create(output, self.policy.clone(), schema)?;
        Ok((OutputWriter::parquet(writer), None))
    }

    /// Reading and writing overlap.
    fn run(self, output: Staged, kept: &Selection) -> Result<WrittenOutput> {
        let (mut writer, held) = self.writer(output)?;
        if self.first_file {
            writer.write(&Portion::Shard(0))?;
        }
        let tells_shards = self.policy.cut == Cut::ByShard;
        // Row groups are copied as they lie, or not at all.
        let layout = writer.layout().filter(|_| held.is_none());
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
                    let mut units = own.into_iter().filter_map(|shard| {
                        let unit = source.unit(shard, kept, layout).open().transpose()?;
                        Some(unit.map(|unit| (shard, unit)))
                    });
                    let mut next = units.next();
                    while let Some(unit) = next {
                        let mut ahead = None;
                        let mut open_next = || ahead = Some(units.next());
                        let (shard, unit) = unit?;
                        let goes_on = !tells_shards || send(Ok(Portion::Shard(shard)));
                        if !goes_on || !unit.read(&mut send, &mut open_next)? {
                            break;
                        }
                        next = ahead.unwrap_or_else(|| units.next());
                    }
                    Ok(())
                };
                readers.push(scope.spawn(read));
            }
            let written = self.write_all(portions, turns, &mut writer, held.as_ref());
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
        held: Option<&SchemaRef>,
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
            let portion = match (portion, held) {
                (Portion::Rows(batch), Some(held)) => Portion::Rows(with_types(&batch, held)?),
                (portion, _) => portion,
            };
            let rows = writer.write(&portion)?;
            span.rows(rows);
            counters
                .rows_written
                .fetch_add(rows as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(feature = "delta")]
fn with_types(batch: &RecordBatch, held: &SchemaRef) -> Result<RecordBatch> {
    as_delta(batch, held)
}

#[cfg(not(feature = "delta"))]
fn with_types(batch: &RecordBatch, _: &SchemaRef) -> Result<RecordBatch> {
    Ok(batch.clone())
}
