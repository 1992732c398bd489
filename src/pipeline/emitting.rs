//! The emit pass: back to the shards for the selected rows only, with the added columns beside them.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{Int64Type, Schema, SchemaRef},
};

use super::context::{Cancel, Prepared, RunContext, RunOptions, Scored, written_schema};
use crate::{
    engine::MemoryPlan,
    error::{Error, Result},
    schema::{IMAGE_EMBEDDING, ROW, TEXT_EMBEDDING},
    selection::Selection,
    sink::{
        ColumnLayout, DatasetWriter, Destination, EncodedGroup, Provenance, Staged, WriterPolicy,
    },
    source::{EncodedRows, ReadPlan, ShardBytes, ShardReader, ShardSet, conform},
    store::{ScoreCursor, ScoreStore, ShardIdentity},
    summary::{Counters, Stage},
};

/// Most rows of a batch, where rows are small.
const BATCH_ROWS: usize = 8192;

/// What was written and synced, and the renames that make it visible.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    /// Final names of the output's files.
    pub(super) outputs: Vec<String>,
    pub(super) moves: Vec<(PathBuf, Destination)>,
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
    let (Some(work), Some(destination)) = (&prepared.work, &prepared.destination) else {
        return Ok(Emitted::default());
    };
    let emit = Emit {
        set: Arc::clone(&prepared.shards.set),
        identities: prepared.shards.identities.clone(),
        stored: prepared
            .written(options)
            .map(|column| column.added.name())
            .collect(),
        policy: prepared.writer_policy(options, emitting.provenance, &scored.memory),
        store: Arc::clone(&scored.store),
        memory: scored.memory.clone(),
        counters: Arc::clone(&context.counters),
        cancel: context.cancel.clone(),
    };
    let staged = Destination::stage_at(destination, work.output())?;
    let output = tokio::task::spawn_blocking(move || emit.run(staged, &written))
        .await
        .map_err(|error| Error::internal("write the output").source(error))??;
    let outputs = output
        .outputs()
        .map_err(|error| Error::output("list the output").source(error))?;
    // The output last: where it is, all of the run is.
    let others = emitting.others.into_iter();
    let moves = others.chain([output]).map(Staged::into_move);
    Ok(Emitted {
        outputs: outputs
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        moves: moves.collect(),
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
        let layout = writer.layout();
        std::thread::scope(|scope| {
            // One batch waits while the next is read.
            let (sender, portions) = sync_channel(1);
            let reader = scope.spawn(|| {
                let reading = Reading {
                    emit: &self,
                    schema: &schema,
                    layout,
                    sender,
                };
                reading.run(selection)
            });
            let written = self.write_all(&portions, &mut writer);
            // Without a receiver the reader stops at its next batch.
            drop(portions);
            let read = reader
                .join()
                .map_err(|_| Error::internal("read the selected rows"))?;
            written.and(read)
        })?;
        writer.finish()
    }

    fn write_all(
        &self,
        portions: &Receiver<Result<Portion>>,
        writer: &mut DatasetWriter,
    ) -> Result<()> {
        let counters = &self.counters;
        while let Ok(portion) = counters.starved(Stage::Write, || portions.recv()) {
            self.cancel.check()?;
            let portion = portion?;
            let mut span = counters.span(Stage::Write).of("rows");
            let rows = match portion {
                Portion::Rows(batch) => writer.write(&batch).map(|()| batch.num_rows())?,
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

/// What is written next.
enum Portion {
    /// Rows with their added columns.
    Rows(RecordBatch),
    /// A row group of which every row is kept, and its added columns.
    Group(EncodedGroup<ShardBytes>, RecordBatch),
}

/// The reading half of the pass.
struct Reading<'a> {
    emit: &'a Emit,
    schema: &'a SchemaRef,
    layout: Option<ColumnLayout>,
    sender: SyncSender<Result<Portion>>,
}

/// One shard under way.
struct OpenShard {
    reader: ShardReader,
    scores: ScoreCursor,
    /// For whole row groups, if they can be taken as they lie.
    whole: Option<EncodedRows>,
}

impl Reading<'_> {
    fn run(&self, selection: &Selection) -> Result<()> {
        for (number, shard) in self.emit.set.shards.iter().enumerate() {
            let mut open = None;
            let mut first = 0;
            for (group, &rows) in shard.row_groups.iter().enumerate() {
                let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                let runs = selection.runs(number, first..first + rows);
                let start = first;
                first += rows;
                if runs.is_empty() {
                    continue;
                }
                let open = match &mut open {
                    Some(open) => open,
                    none => none.insert(self.open(number)?),
                };
                let all = runs == [(0, rows)] && rows <= self.most_copied_rows();
                let go_on = match (all, &open.whole) {
                    (true, Some(rows)) => {
                        let whole = EncodedGroup {
                            file: rows.bytes.clone(),
                            footer: Arc::clone(&rows.footer),
                            group,
                        };
                        self.send_group(whole, start..first, &mut open.scores)
                    }
                    _ => self.send_rows(open, group, runs)?,
                };
                if !go_on {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Embeddings of a large row group would fill the memory: it is written batch by batch.
    fn most_copied_rows(&self) -> usize {
        let embedding = |name: &&str| [IMAGE_EMBEDDING, TEXT_EMBEDDING].contains(name);
        match self.emit.stored.iter().any(embedding) {
            true => BATCH_ROWS,
            false => usize::MAX,
        }
    }

    fn open(&self, number: usize) -> Result<OpenShard> {
        let shard = &self.emit.set.shards[number];
        let plan = ReadPlan {
            columns: (0..self.emit.set.schema.fields().len()).collect(),
            row_numbers: true,
            batch_rows: BATCH_ROWS,
            batch_bytes: self.emit.memory.batch_bytes,
            ..ReadPlan::default()
        };
        let reader = ShardReader::open(shard, plan)?;
        let scores = self.emit.store.scores(&self.emit.identities[number])?;
        let takes = |rows: &EncodedRows| {
            let layout = self.layout.as_ref();
            layout.is_some_and(|layout| layout.takes(&rows.footer))
        };
        let whole = reader.encoded().filter(takes);
        Ok(OpenShard {
            scores: scores.cursor(&self.emit.stored, 0)?,
            reader,
            whole,
        })
    }

    /// False when nobody wants more.
    fn send_group(
        &self,
        group: EncodedGroup<ShardBytes>,
        rows: Range<usize>,
        scores: &mut ScoreCursor,
    ) -> bool {
        let counters = &self.emit.counters;
        let mut span = counters.span(Stage::Read);
        span.rows(rows.len());
        let added = added_of(rows, scores, &self.emit.policy);
        drop(span);
        self.send(added.map(|added| Portion::Group(group, added)))
    }

    /// False when nobody wants more.
    fn send(&self, portion: Result<Portion>) -> bool {
        let counters = &self.emit.counters;
        counters.blocked(Stage::Read, || self.sender.send(portion).is_ok())
    }

    fn send_rows(
        &self,
        open: &mut OpenShard,
        group: usize,
        runs: Vec<(usize, usize)>,
    ) -> Result<bool> {
        let wanted = runs.into_iter().map(|(start, len)| start..start + len);
        let counters = &self.emit.counters;
        let opening = counters.span(Stage::Read);
        let mut batches = open.reader.row_group(group, Some(wanted.collect()))?;
        drop(opening);
        loop {
            let mut span = counters.span(Stage::Read);
            let Some(batch) = batches.next() else {
                return Ok(true);
            };
            let whole = batch.and_then(|batch| join(&batch, &mut open.scores, self.schema));
            span.rows(whole.as_ref().map_or(0, RecordBatch::num_rows));
            drop(span);
            if !self.send(whole.map(Portion::Rows)) {
                return Ok(false);
            }
        }
    }
}

/// The added columns of consecutive rows.
fn added_of(
    rows: Range<usize>,
    scores: &mut ScoreCursor,
    policy: &WriterPolicy,
) -> Result<RecordBatch> {
    let failed = |error| Error::internal("join scores to a row group").source(error);
    let number = |row: usize| i64::try_from(row).unwrap_or(i64::MAX);
    let rows: Vec<i64> = (number(rows.start)..number(rows.end)).collect();
    let stored = scores.take(&rows)?;
    let schema = Arc::new(Schema::new(policy.added.clone()));
    let columns = stored
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()));
    let columns = columns
        .collect::<std::result::Result<_, _>>()
        .map_err(failed)?;
    RecordBatch::try_new(schema, columns).map_err(failed)
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
