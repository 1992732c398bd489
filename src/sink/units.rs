//! The emit pass of one shard: its kept rows, as they are read, with their added columns.
//!
//! A unit is read without regard to the others, so that units can be taken one by one, by one process or by several.

use std::{collections::VecDeque, ops::Range, sync::Arc};

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
    source::{
        EncodedRows, ReadPlan, RowGroupReader, ShardBytes, ShardIdentity, ShardReader, ShardSet,
        conform,
    },
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
    /// Nothing yet: what follows is of this shard.
    Shard(usize),
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

/// Takes what is written next; false when nobody wants more.
type Take<'a> = &'a mut dyn FnMut(Result<Portion>) -> bool;

/// A shard that is open, and what of it is to be read.
pub struct OpenUnit<'a> {
    unit: ShardUnit<'a>,
    reader: ShardReader,
    scores: ScoreCursor,
    /// For whole row groups, if they can be taken as they lie.
    whole: Option<EncodedRows>,
    left: VecDeque<GroupRows>,
    /// The first of those that are left, where it is under way.
    begun: Option<Result<RowGroupReader>>,
}

impl<'a> ShardUnit<'a> {
    /// Opens the shard; `None` if no row of it is kept. Of one that is far, the first rows are asked for.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(self) -> Result<Option<OpenUnit<'a>>> {
        let source = self.source;
        let shard = &source.set.shards[self.shard];
        let left = self.kept_rows();
        if left.is_empty() {
            return Ok(None);
        }
        let plan = ReadPlan {
            columns: (0..source.set.schema.fields().len()).collect(),
            stored: source.carried.clone(),
            row_numbers: true,
            batch_rows: source.batch_rows,
            batch_bytes: source.batch_bytes,
            ..ReadPlan::default()
        };
        let window_bytes = plan.window_bytes();
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
        let mut open = OpenUnit {
            scores: scores.cursor(&source.stored, 0)?,
            unit: self,
            reader,
            whole,
            left,
            begun: None,
        };
        if shard.is_far() {
            let row_bytes = (shard.size_bytes / shard.rows.max(1)).max(1);
            let window_rows = usize::try_from(window_bytes / row_bytes).unwrap_or(usize::MAX);
            for rows in &mut open.left {
                rows.alone = rows.count().saturating_sub(window_rows);
            }
            open.begin();
        }
        Ok(Some(open))
    }

    /// The kept rows of each row group that has some.
    fn kept_rows(&self) -> VecDeque<GroupRows> {
        let groups = &self.source.set.shards[self.shard].row_groups;
        let (mut first, mut left) = (0, VecDeque::new());
        for (group, &rows) in groups.iter().enumerate() {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            let runs = self.kept.runs(self.shard, first..first + rows);
            if !runs.is_empty() {
                left.push_back(GroupRows {
                    group,
                    rows: first..first + rows,
                    runs,
                    alone: usize::MAX,
                });
            }
            first += rows;
        }
        left
    }
}

impl OpenUnit<'_> {
    /// Gives the portions to `take`, in row order; false when that wants no more. `ahead` is called once the last rows of a
    /// shard that is far have been asked for: time to open another.
    ///
    /// # Errors
    /// When a row group cannot be begun. What goes wrong later, `take` is given.
    pub fn read(mut self, take: Take<'_>, ahead: &mut dyn FnMut()) -> Result<bool> {
        while !self.left.is_empty() {
            self.begin();
            let Some(rows) = self.left.pop_front() else {
                break;
            };
            let go_on = match self.begun.take() {
                Some(batches) => self.read_rows(batches?, rows.alone, take, ahead)?,
                None => {
                    let whole = self.whole.as_ref().map(|whole| EncodedGroup {
                        file: whole.of_group(rows.group),
                        footer: Arc::clone(&whole.footer),
                        group: rows.group,
                    });
                    let whole = whole.ok_or_else(|| Error::internal("copy a row group"))?;
                    let added = self.unit.added_of(rows.rows, &mut self.scores);
                    take(added.map(|added| Portion::Group(whole, added)))
                }
            };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins the next row group, unless it is under way or is taken as it lies.
    fn begin(&mut self) {
        if let (None, Some(rows)) = (&self.begun, self.left.front())
            && !(self.whole.is_some()
                && rows.all()
                && rows.count() <= self.unit.source.most_copied_rows())
        {
            let span = self.unit.source.counters.span(Stage::Read);
            let runs = rows.runs.iter();
            let wanted = runs.map(|&(start, len)| start..start + len).collect();
            self.begun = Some(self.reader.row_group(rows.group, Some(wanted)));
            drop(span);
        }
    }

    fn read_rows(
        &mut self,
        mut batches: RowGroupReader,
        alone: usize,
        take: Take<'_>,
        ahead: &mut dyn FnMut(),
    ) -> Result<bool> {
        let counters = Arc::clone(&self.unit.source.counters);
        let (mut passed, mut told) = (0, false);
        loop {
            let mut span = counters.span(Stage::Read);
            let Some(batch) = batches.next() else {
                return Ok(true);
            };
            let whole = batch.and_then(|batch| self.unit.join(&batch, &mut self.scores));
            let rows = whole.as_ref().map_or(0, RecordBatch::num_rows);
            span.rows(rows);
            drop(span);
            passed += rows;
            if passed >= alone && !told {
                told = true;
                match self.left.is_empty() {
                    true => ahead(),
                    false => self.begin(),
                }
            }
            if !take(whole.map(Portion::Rows)) {
                return Ok(false);
            }
        }
    }
}

impl ShardUnit<'_> {
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

/// What is read of a row group.
struct GroupRows {
    group: usize,
    /// All its rows.
    rows: Range<usize>,
    /// Those that are kept, from the start of the group on: start and length of each run.
    runs: Vec<(usize, usize)>,
    /// How many of them are read before what comes next is asked for.
    alone: usize,
}

impl GroupRows {
    fn count(&self) -> usize {
        self.runs.iter().map(|(_, len)| len).sum()
    }

    fn all(&self) -> bool {
        self.count() == self.rows.len()
    }
}

#[cfg(test)]
mod tests;
