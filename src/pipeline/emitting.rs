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

use super::context::{Cancel, Prepared, RunContext, RunOptions, Scored, written_schema};
use crate::{
    error::{Error, Result},
    selection::{Repeats, Selection},
    sink::{DatasetWriter, Portion, Provenance, Staged, UnitSource, WriterPolicy},
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
pub(super) struct Written {
    pub(super) written: Selection,
    pub(super) repeats: Option<Repeats>,
}

/// Writes the selected rows in row order; nothing of it is visible yet.
pub(super) async fn emit(
    emitting: Emitting<'_>,
    scored: Scored,
    rows: Written,
    context: &RunContext,
) -> Result<Emitted> {
    let Written { written, repeats } = rows;
    let (options, prepared) = (emitting.options, emitting.prepared);
    if !prepared.writes() {
        return Ok(Emitted::default());
    }
    let output = prepared.stage_output(options)?;
    let policy = prepared.writer_policy(options, emitting.provenance, &scored.memory);
    let shards = &prepared.shards;
    let stored = prepared.written(options);
    let writing = Writing {
        source: UnitSource {
            set: Arc::clone(&shards.set),
            identities: shards.identities.clone(),
            repeats,
            stored: stored.map(|column| column.added.name()).collect(),
            added: Arc::new(Schema::new(policy.added.clone())),
            schema: written_schema(&shards.set.carried_schema()?, &policy.added),
            store: Arc::clone(&scored.store),
            batch_bytes: scored.memory.batch_bytes,
            counters: Arc::clone(&context.counters),
        },
        policy,
        cancel: context.cancel.clone(),
        #[cfg(feature = "delta")]
        delta: options.delta,
    };
    let output = tokio::task::spawn_blocking(move || writing.run(output, &written))
        .await
        .map_err(|error| Error::internal("write the output").source(error))??;
    let outputs = output.outputs();
    // The output last: where it is, all of the run is.
    let mut staged = emitting.others;
    staged.push(output);
    Ok(Emitted { outputs, staged })
}

/// The writing half of the pass.
struct Writing {
    source: UnitSource,
    policy: WriterPolicy,
    cancel: Cancel,
    /// Rows are a table's.
    #[cfg(feature = "delta")]
    delta: Option<Nanoseconds>,
}

impl Writing {
    /// A writer of the output, and the types that rows are brought to first, where they are not written as they come.
    #[cfg(feature = "delta")]
    fn writer(&self, output: Staged) -> Result<(DatasetWriter, Option<SchemaRef>)> {
        let Some(nanoseconds) = self.delta else {
            let schema = Arc::clone(&self.source.schema);
            let writer = DatasetWriter::create(output, self.policy.clone(), schema)?;
            return Ok((writer, None));
        };
        let held = delta_schema(&self.source.schema, nanoseconds)?;
        let mut policy = self.policy.clone();
        policy.input = delta_schema(&policy.input, nanoseconds)?;
        let added = delta_schema(&Schema::new(policy.added), nanoseconds)?;
        policy.added = added
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let writer = DatasetWriter::create(output, policy, Arc::clone(&held))?;
        Ok((writer, Some(held)))
    }

    #[cfg(not(feature = "delta"))]
    fn writer(&self, output: Staged) -> Result<(DatasetWriter, Option<SchemaRef>)> {
        let schema = Arc::clone(&self.source.schema);
        let writer = DatasetWriter::create(output, self.policy.clone(), schema)?;
        Ok((writer, None))
    }

    /// Reading and writing overlap.
    fn run(self, output: Staged, kept: &Selection) -> Result<Staged> {
        let (mut writer, held) = self.writer(output)?;
        // Row groups are copied as they lie, or not at all.
        let layout = writer.layout().filter(|_| held.is_none());
        std::thread::scope(|scope| {
            // One batch waits while the next is read.
            let (sender, portions) = sync_channel(1);
            let reader = scope.spawn(|| {
                let sender = sender;
                let counters = &self.source.counters;
                let mut send =
                    |portion| counters.blocked(Stage::Read, || sender.send(portion).is_ok());
                for unit in self.source.units(kept, layout.as_ref()) {
                    if !unit.read(&mut send)? {
                        break;
                    }
                }
                Ok(())
            });
            let written = self.write_all(&portions, &mut writer, held.as_ref());
            // Without a receiver the reader stops at its next batch.
            drop(portions);
            let read = reader
                .join()
                .map_err(|_| Error::internal("read the selected rows"))?;
            written.and(read)
        })?;
        writer.close()
    }

    fn write_all(
        &self,
        portions: &Receiver<Result<Portion>>,
        writer: &mut DatasetWriter,
        held: Option<&SchemaRef>,
    ) -> Result<()> {
        let counters = &self.source.counters;
        while let Ok(portion) = counters.starved(Stage::Write, || portions.recv()) {
            self.cancel.check()?;
            let portion = portion?;
            let mut span = counters.span(Stage::Write).of("rows");
            let rows = match portion {
                Portion::Rows(batch) => {
                    let batch = match held {
                        None => batch,
                        Some(held) => with_types(&batch, held)?,
                    };
                    writer.write(&batch).map(|()| batch.num_rows())?
                }
                Portion::Group(group, added) => {
                    writer.copy(&group, &added).map(|()| added.num_rows())?
                }
            };
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
