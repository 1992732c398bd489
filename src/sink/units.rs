//! The emit pass of one shard: its kept rows, as they are read, with their added columns.
//!
//! A unit is read without regard to the others, so that units can be taken one by one, by one process or by several.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::cast,
    datatypes::{Int64Type, SchemaRef},
};

use super::{ColumnLayout, EncodedGroup};
use crate::{
    error::{Error, Result},
    schema::{IMAGE_EMBEDDING, TEXT_EMBEDDING},
    selection::{Repeats, Selection},
    source::{EncodedRows, ReadPlan, ShardBytes, ShardIdentity, ShardReader, ShardSet, conform},
    store::{ScoreCursor, ScoreStore},
    summary::{Counters, Stage},
};

/// Most rows of a batch, where rows are small.
pub const BATCH_ROWS: usize = 8192;

/// What is written next.
pub enum Portion {
    /// Rows with their added columns.
    Rows(RecordBatch),
    /// A row group of which every row is kept, and its added columns.
    Group(EncodedGroup<ShardBytes>, RecordBatch),
}

/// What units are read from.
pub struct UnitSource {
    /// The shards.
    pub set: Arc<ShardSet>,
    /// What the store knows them by.
    pub identities: Vec<ShardIdentity>,
    /// Stored names of the added columns.
    pub stored: Vec<&'static str>,
    /// How often each row is to be seen: the last of the added columns, where there are repeats.
    pub repeats: Option<Repeats>,
    /// The added columns of the output.
    pub added: SchemaRef,
    /// All columns of the output, as they are read.
    pub schema: SchemaRef,
    /// Where the added columns are.
    pub store: Arc<ScoreStore>,
    /// Positions of the columns that are read as they are stored.
    pub carried: Vec<usize>,
    /// Most rows of a batch.
    pub batch_rows: usize,
    /// Most bytes of a batch.
    pub batch_bytes: u64,
    /// Count the time that reading takes.
    pub counters: Arc<Counters>,
}

impl UnitSource {
    /// The unit of a shard; `layout` is how the output stores its columns, if whole row groups may be taken into it.
    pub fn unit<'a>(
        &'a self,
        shard: usize,
        kept: &'a Selection,
        layout: Option<&'a ColumnLayout>,
    ) -> ShardUnit<'a> {
        ShardUnit {
            source: self,
            shard,
            kept,
            layout,
        }
    }

    /// Embeddings of a large row group would fill the memory: it is written batch by batch.
    fn most_copied_rows(&self) -> usize {
        let embedding = |name: &&str| [IMAGE_EMBEDDING, TEXT_EMBEDDING].contains(name);
        match self.stored.iter().any(embedding) {
            true => BATCH_ROWS,
            false => usize::MAX,
        }
    }
}

/// The kept rows of one shard.
pub struct ShardUnit<'a> {
    source: &'a UnitSource,
    /// Its number.
    shard: usize,
    /// The kept rows of all shards.
    kept: &'a Selection,
    layout: Option<&'a ColumnLayout>,
}

/// The shard under way; it is not opened before a row of it is wanted.
struct OpenShard {
    reader: ShardReader,
    scores: ScoreCursor,
    /// For whole row groups, if they can be taken as they lie.
    whole: Option<EncodedRows>,
}

/// Takes what is written next; false when nobody wants more.
type Take<'a> = &'a mut dyn FnMut(Result<Portion>) -> bool;

impl ShardUnit<'_> {
    /// Gives the portions to `take`, in row order; false when that wants no more.
    ///
    /// # Errors
    /// When the shard cannot be opened. What goes wrong later, `take` is given.
    pub fn read(&self, take: Take<'_>) -> Result<bool> {
        let mut open = None;
        let mut first = 0;
        for (group, &rows) in self.source.set.shards[self.shard]
            .row_groups
            .iter()
            .enumerate()
        {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            let runs = self.kept.runs(self.shard, first..first + rows);
            let start = first;
            first += rows;
            if runs.is_empty() {
                continue;
            }
            let open = match &mut open {
                Some(open) => open,
                none => none.insert(self.open()?),
            };
            let all = runs == [(0, rows)] && rows <= self.source.most_copied_rows();
            let go_on = match (all, &open.whole) {
                (true, Some(rows)) => {
                    let whole = EncodedGroup {
                        file: rows.of_group(group),
                        footer: Arc::clone(&rows.footer),
                        group,
                    };
                    take(
                        self.added_of(start..first, &mut open.scores)
                            .map(|added| Portion::Group(whole, added)),
                    )
                }
                _ => self.read_rows(open, GroupRows { group, runs }, take)?,
            };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn open(&self) -> Result<OpenShard> {
        let source = self.source;
        let shard = &source.set.shards[self.shard];
        let plan = ReadPlan {
            columns: (0..source.set.schema.fields().len()).collect(),
            stored: source.carried.clone(),
            row_numbers: true,
            batch_rows: source.batch_rows,
            batch_bytes: source.batch_bytes,
            ..ReadPlan::default()
        };
        let next = self.shard + 1..source.set.shards.len();
        let next = next.filter(|&shard| self.kept.has_rows(shard));
        source.set.ask_ahead(next);
        let reader = ShardReader::open(shard, plan)?;
        let scores = source.store.scores(&source.identities[self.shard])?;
        let takes = |rows: &EncodedRows| {
            let layout = self.layout.as_ref();
            layout.is_some_and(|layout| layout.takes(&rows.footer))
        };
        let whole = reader.encoded().filter(takes);
        Ok(OpenShard {
            scores: scores.cursor(&source.stored, 0)?,
            reader,
            whole,
        })
    }

    fn read_rows(&self, open: &mut OpenShard, rows: GroupRows, take: Take<'_>) -> Result<bool> {
        let wanted = rows.runs.into_iter().map(|(start, len)| start..start + len);
        let counters = &self.source.counters;
        let opening = counters.span(Stage::Read);
        let mut batches = open.reader.row_group(rows.group, Some(wanted.collect()))?;
        drop(opening);
        loop {
            let mut span = counters.span(Stage::Read);
            let Some(batch) = batches.next() else {
                return Ok(true);
            };
            let whole = batch.and_then(|batch| self.join(&batch, &mut open.scores));
            span.rows(whole.as_ref().map_or(0, RecordBatch::num_rows));
            drop(span);
            if !take(whole.map(Portion::Rows)) {
                return Ok(false);
            }
        }
    }

    /// The added columns of consecutive rows.
    fn added_of(&self, rows: Range<usize>, scores: &mut ScoreCursor) -> Result<RecordBatch> {
        let mut span = self.source.counters.span(Stage::Read);
        span.rows(rows.len());
        let failed = |error| Error::internal("join scores to a row group").source(error);
        let number = |row: usize| i64::try_from(row).unwrap_or(i64::MAX);
        let rows: Vec<i64> = (number(rows.start)..number(rows.end)).collect();
        let stored = self.added_columns(&rows, scores)?;
        let schema = &self.source.added;
        let columns = stored
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| cast(column, field.data_type()));
        let columns = columns
            .collect::<std::result::Result<_, _>>()
            .map_err(failed)?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)
    }

    /// What is stored of some rows, and how often each is to be seen.
    fn added_columns(&self, rows: &[i64], scores: &mut ScoreCursor) -> Result<Vec<ArrayRef>> {
        let mut columns = scores.take(rows)?;
        if let Some(repeats) = &self.source.repeats {
            let times = rows.iter().map(|&row| {
                let row = usize::try_from(row).ok()?;
                // Of a bad row that is written all the same there are none.
                Some(repeats.of(self.shard, row)).filter(|&times| times > 0)
            });
            columns.push(Arc::new(times.collect::<UInt32Array>()));
        }
        Ok(columns)
    }

    /// The rows of `batch`, whose last column is their number, with their scores.
    fn join(&self, batch: &RecordBatch, cursor: &mut ScoreCursor) -> Result<RecordBatch> {
        let schema = &self.source.schema;
        let failed = |error| Error::internal("join scores to the selected rows").source(error);
        let numbers = batch.columns().last();
        let numbers = numbers.ok_or_else(|| Error::internal("find the row numbers"))?;
        let stored = self.added_columns(numbers.as_primitive::<Int64Type>().values(), cursor)?;
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
}

/// Rows of a row group: start and length of each run.
struct GroupRows {
    group: usize,
    runs: Vec<(usize, usize)>,
}
