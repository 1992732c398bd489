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

use super::{Cancel, interrupted, score_pass::SCORE};
use crate::{
    engine::MemoryPlan,
    error::{Error, Result},
    report::{Counters, Stage},
    schema::{ROW, SHARD},
    select::Selection,
    sink::{DatasetWriter, Staged, WriterPolicy},
    source::{ReadPlan, ShardReader, ShardSet, conform, view_schema},
    store::SpoolRows,
};
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
    datatypes::{Int64Type, Schema, SchemaRef, UInt32Type},
};

pub(super) struct Emit {
    pub(super) set: Arc<ShardSet>,
    pub(super) policy: WriterPolicy,
    pub(super) staged: Staged,
    pub(super) memory: MemoryPlan,
    pub(super) counters: Arc<Counters>,
}

impl Emit {
    /// Writes the selected rows in row order and commits; reading and writing overlap.
    pub(super) fn run(
        self,
        rows: &SpoolRows,
        selection: &Selection,
        cancel: &Cancel,
    ) -> Result<Vec<PathBuf>> {
        let Self {
            set,
            policy,
            staged,
            memory,
            counters,
        } = self;
        let schema = written_schema(&policy);
        let mut added = AddedRows::open(rows, selection, &policy)?;
        let mut writer = DatasetWriter::create(staged, policy, Arc::clone(&schema))?;
        let plan = ReadPlan {
            columns: (0..set.schema.fields().len()).collect(),
            batch_rows: memory.batch_rows,
            batch_bytes: memory.batch_bytes,
            ..ReadPlan::default()
        };
        std::thread::scope(|scope| {
            // One batch waits while the next is read.
            let (sender, batches) = sync_channel(1);
            let reader = scope.spawn(|| read_selected(&set, &plan, selection, sender));
            let written = write_all(
                &batches,
                &mut writer,
                &mut added,
                (&schema, &counters, cancel),
            );
            // Without a receiver the reader stops at its next batch.
            drop(batches);
            let read = reader
                .join()
                .map_err(|_| Error::internal("read the selected rows"))?;
            written.and(read)
        })?;
        writer.commit()
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

fn read_selected(
    set: &ShardSet,
    plan: &ReadPlan,
    selection: &Selection,
    sender: SyncSender<Result<RecordBatch>>,
) -> Result<()> {
    for (number, shard) in set.shards.iter().enumerate() {
        let mut reader = None;
        let mut first = 0;
        for (group, &rows) in shard.row_groups.iter().enumerate() {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            let runs = selection.runs(number, first..first + rows);
            first += rows;
            if runs.is_empty() {
                continue;
            }
            let reader = match &mut reader {
                Some(reader) => reader,
                none => none.insert(ShardReader::open(shard, plan.clone())?),
            };
            let wanted = runs
                .into_iter()
                .map(|(start, length)| start..start + length);
            for batch in reader.row_group(group, Some(wanted.collect()))? {
                if sender.send(batch).is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn write_all(
    batches: &Receiver<Result<RecordBatch>>,
    writer: &mut DatasetWriter,
    added: &mut AddedRows<'_>,
    (schema, counters, cancel): (&SchemaRef, &Counters, &Cancel),
) -> Result<()> {
    for batch in batches {
        if *cancel.borrow() {
            return Err(interrupted());
        }
        let batch = batch?;
        let start = Instant::now();
        let failed = |error| Error::internal("join scores to the selected rows").source(error);
        let read = batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| conform(column, field.data_type()));
        let mut columns = read
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed)?;
        columns.extend(added.next(batch.num_rows())?);
        let whole = RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)?;
        writer.write(&whole)?;
        counters.add_busy(Stage::Write, start.elapsed());
        counters
            .rows_written
            .fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// The added columns of the selected rows, in row order.
struct AddedRows<'a> {
    batches: Box<dyn Iterator<Item = Result<RecordBatch>> + 'a>,
    /// Filtered rows that were not asked for yet.
    rest: RecordBatch,
    columns: Vec<String>,
}

impl<'a> AddedRows<'a> {
    fn open(rows: &SpoolRows, selection: &'a Selection, policy: &WriterPolicy) -> Result<Self> {
        let columns: Vec<String> = policy
            .added
            .iter()
            .enumerate()
            // The score comes first and is spooled under one name.
            .map(|(position, field)| {
                if position == 0 {
                    SCORE.to_owned()
                } else {
                    field.name().clone()
                }
            })
            .collect();
        let batches = rows
            .read(&[])?
            .map(move |batch| only_selected(&batch?, selection));
        Ok(Self {
            batches: Box::new(batches),
            rest: RecordBatch::new_empty(Arc::new(Schema::empty())),
            columns,
        })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        while self.rest.num_rows() < rows {
            let more = self
                .batches
                .next()
                .ok_or_else(|| Error::internal("find the scores of selected rows"))??;
            self.rest = if self.rest.num_rows() == 0 {
                more
            } else {
                concat_batches(&more.schema(), [&self.rest, &more])
                    .map_err(|error| Error::internal("join portions of scores").source(error))?
            };
        }
        let taken = self.rest.slice(0, rows);
        self.rest = self.rest.slice(rows, self.rest.num_rows() - rows);
        let column = |name: &String| {
            taken
                .column_by_name(name)
                .cloned()
                .ok_or_else(|| Error::internal(format!("find the spooled column {name}")))
        };
        self.columns.iter().map(column).collect()
    }
}

fn only_selected(batch: &RecordBatch, selection: &Selection) -> Result<RecordBatch> {
    let failed = || Error::internal("find row references in the spool");
    let shards = batch
        .column_by_name(SHARD)
        .ok_or_else(failed)?
        .as_primitive::<UInt32Type>();
    let rows = batch
        .column_by_name(ROW)
        .ok_or_else(failed)?
        .as_primitive::<Int64Type>();
    let mask: BooleanArray = shards
        .values()
        .iter()
        .zip(rows.values())
        .map(|(&shard, &row)| {
            Some(usize::try_from(row).is_ok_and(|row| selection.contains(shard as usize, row)))
        })
        .collect();
    filter_record_batch(batch, &mask)
        .map_err(|error| Error::internal("pick scores of selected rows").source(error))
}
