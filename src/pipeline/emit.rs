//! The emit pass: back to the shards for the selected rows only, with the added columns beside them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Instant,
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{Int64Type, Schema, SchemaRef},
};

use super::{
    Cancel, Prepared, RunContext, RunOptions, interrupted, rejecting, scoring::Scored,
    selecting::Chosen,
};
use crate::{
    engine::MemoryPlan,
    error::{Error, Result},
    report::{Counters, Stage},
    schema::ROW,
    select::Selection,
    sink::{DatasetWriter, Destination, Provenance, RejectsWriter, Staged, WriterPolicy},
    source::{ReadPlan, ShardReader, ShardSet, conform, view_schema},
    store::{ScoreCursor, ScoreStore, ShardIdentity},
};

/// Most rows of a batch, where rows are small.
const BATCH_ROWS: usize = 8192;

/// What was written and synced, and the renames that make it visible.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    /// Final names of the output's files.
    pub(super) outputs: Vec<String>,
    pub(super) moves: Vec<(PathBuf, PathBuf)>,
}

/// Writes the selected rows in row order, and the rejects; nothing of it is visible yet.
pub(super) async fn emit(
    options: &RunOptions,
    prepared: &Prepared,
    (scored, chosen): (Scored, Chosen),
    provenance: &Provenance,
    context: &RunContext<'_>,
) -> Result<Emitted> {
    let (Some(work), Some(destination)) = (&prepared.work, &prepared.destination) else {
        return Ok(Emitted::default());
    };
    let mut moves = Vec::new();
    if let Some(path) = &options.rejects {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.clip-filter.tmp"));
        let writer = RejectsWriter::create(path.clone(), temporary)?;
        moves.push(rejecting::write(writer, prepared, &scored, &chosen)?);
    }
    let emit = Emit {
        set: Arc::clone(&prepared.shards.set),
        identities: prepared.shards.identities.clone(),
        stored: prepared
            .written(options)
            .map(|column| column.added.name())
            .collect(),
        policy: prepared.writer_policy(options, provenance, &scored.memory),
        store: Arc::clone(&scored.store),
        memory: scored.memory.clone(),
        counters: Arc::clone(&context.counters),
        cancel: context.cancel.clone(),
    };
    let staged = Destination::stage_at(destination, work.output())?;
    let written = tokio::task::spawn_blocking(move || emit.run(staged, &chosen.written))
        .await
        .map_err(|error| Error::internal("write the output").source(error))??;
    let outputs = written
        .outputs()
        .map_err(|error| Error::output("list the output").source(error))?;
    moves.push(written.into_move());
    Ok(Emitted {
        outputs: outputs
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        moves,
    })
}

struct Emit {
    set: Arc<ShardSet>,
    identities: Vec<ShardIdentity>,
    /// Stored names of the added columns.
    stored: Vec<&'static str>,
    policy: WriterPolicy,
    store: Arc<ScoreStore>,
    memory: MemoryPlan,
    counters: Arc<Counters>,
    cancel: Cancel,
}

impl Emit {
    /// Reading and writing overlap.
    fn run(self, staged: Staged, selection: &Selection) -> Result<Staged> {
        let schema = written_schema(&self.policy);
        let mut writer = DatasetWriter::create(staged, self.policy.clone(), Arc::clone(&schema))?;
        std::thread::scope(|scope| {
            // One batch waits while the next is read.
            let (sender, batches) = sync_channel(1);
            let reader = scope.spawn(|| self.read_selected(selection, &schema, sender));
            let written = self.write_all(&batches, &mut writer);
            // Without a receiver the reader stops at its next batch.
            drop(batches);
            let read = reader
                .join()
                .map_err(|_| Error::internal("read the selected rows"))?;
            written.and(read)
        })?;
        writer.finish()
    }

    fn read_selected(
        &self,
        selection: &Selection,
        schema: &SchemaRef,
        sender: SyncSender<Result<RecordBatch>>,
    ) -> Result<()> {
        let plan = ReadPlan {
            columns: (0..self.set.schema.fields().len()).collect(),
            row_numbers: true,
            batch_rows: BATCH_ROWS,
            batch_bytes: self.memory.batch_bytes,
            ..ReadPlan::default()
        };
        for (number, shard) in self.set.shards.iter().enumerate() {
            let mut open = None;
            let mut first = 0;
            for (group, &rows) in shard.row_groups.iter().enumerate() {
                let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                let runs = selection.runs(number, first..first + rows);
                first += rows;
                if runs.is_empty() {
                    continue;
                }
                let (reader, cursor) = match &mut open {
                    Some(open) => open,
                    none => {
                        let scores = self.store.scores(&self.identities[number])?;
                        let cursor = scores.cursor(&self.stored, 0)?;
                        none.insert((ShardReader::open(shard, plan.clone())?, cursor))
                    }
                };
                let wanted = runs
                    .into_iter()
                    .map(|(start, length)| start..start + length);
                for batch in reader.row_group(group, Some(wanted.collect()))? {
                    let whole = batch.and_then(|batch| join(&batch, cursor, schema));
                    if sender.send(whole).is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn write_all(
        &self,
        batches: &Receiver<Result<RecordBatch>>,
        writer: &mut DatasetWriter,
    ) -> Result<()> {
        for batch in batches {
            if *self.cancel.borrow() {
                return Err(interrupted());
            }
            let batch = batch?;
            let start = Instant::now();
            writer.write(&batch)?;
            self.counters.add_busy(Stage::Write, start.elapsed());
            self.counters
                .rows_written
                .fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Input columns as they are read, then the added ones.
fn written_schema(policy: &WriterPolicy) -> SchemaRef {
    let viewed = view_schema(&policy.input);
    let added = policy.added.iter().cloned().map(Arc::new);
    Arc::new(Schema::new(
        viewed
            .fields()
            .iter()
            .cloned()
            .chain(added)
            .collect::<Vec<_>>(),
    ))
}

/// The rows of `batch`, whose last column is their number, with their scores.
fn join(batch: &RecordBatch, cursor: &mut ScoreCursor, schema: &SchemaRef) -> Result<RecordBatch> {
    let failed = |error| Error::internal("join scores to the selected rows").source(error);
    let numbers = batch
        .column_by_name(ROW)
        .ok_or_else(|| Error::internal("find the row numbers"))?;
    let stored = cursor.take(numbers.as_primitive::<Int64Type>().values())?;
    let read = &batch.columns()[..batch.num_columns() - 1];
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (column, field) in read.iter().zip(schema.fields()) {
        columns.push(conform(column, field.data_type()).map_err(failed)?);
    }
    for (column, field) in stored.iter().zip(&schema.fields()[read.len()..]) {
        columns.push(cast(column, field.data_type()).map_err(failed)?);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)
}
