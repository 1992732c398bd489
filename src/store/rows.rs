//! Stored rows, read shard by shard.

use std::sync::Arc;

use super::{
    blobs::Blobs,
    bundles::{BundledRows, Bundles},
    derived::DerivedPlace,
    score_file::{Batches, ScoreFile, Stored, whole},
};
use crate::{
    error::{Error, Result},
    schema::{STORED_ROW, ScoreColumn},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array},
    compute::{concat, take},
    datatypes::{Int64Type, SchemaRef},
};

/// The stored rows of one shard.
#[derive(Debug, Clone)]
pub struct ShardScores {
    blobs: Arc<dyn Blobs>,
    files: Vec<ScoreFile>,
    /// Every row of the shard is there, so that a row's position is its number.
    dense: bool,
    /// Stored rows, where that is known.
    rows: Option<u64>,
    /// Derived columns of the same rows, in the same order.
    derived: Option<Beside>,
    /// The rows are in a bundle, and in no file of theirs.
    bundled: Option<FromBundle>,
}

/// Where derived columns are, and what keeps bundles that were read.
#[derive(Debug, Clone)]
struct Beside {
    place: DerivedPlace,
    bundles: Arc<Bundles>,
}

impl Beside {
    /// Those of `columns` that are there, from row `first` on; `None` if none is.
    fn rows(self, blobs: &dyn Blobs, columns: &[&str], first: u64) -> Result<Option<Batches>> {
        match self.place {
            DerivedPlace::File(name) => {
                let stored = Stored::open(blobs, &name)?;
                let is_known = |name: &&&str| stored.footer.schema().index_of(name).is_ok();
                let known: Vec<&str> = columns.iter().filter(is_known).copied().collect();
                if known.is_empty() {
                    return Ok(None);
                }
                Ok(Some(Box::new(stored.rows(Some(&known), first)?)))
            }
            DerivedPlace::Bundled {
                rows,
                columns: there,
            } => {
                let is_known = |name: &&&str| there.iter().any(|known| known == **name);
                let known: Vec<&str> = columns.iter().filter(is_known).copied().collect();
                if known.is_empty() {
                    return Ok(None);
                }
                let rows = self.bundles.read(blobs, &rows, &known)?;
                Ok(Some(Box::new(std::iter::once(Ok(from_offset(
                    &rows, first,
                ))))))
            }
        }
    }
}

/// The rows from `first` on.
fn from_offset(rows: &RecordBatch, first: u64) -> RecordBatch {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let first = first.min(rows.num_rows());
    rows.slice(first, rows.num_rows() - first)
}

/// Rows of a bundle.
#[derive(Debug, Clone)]
struct FromBundle {
    bundles: Arc<Bundles>,
    rows: BundledRows,
}

impl ShardScores {
    pub(super) fn complete(blobs: &Arc<dyn Blobs>, name: String, shard_rows: u64) -> Result<Self> {
        let stored = Stored::open(blobs.as_ref(), &name)?;
        let stored = stored.footer.metadata().file_metadata().num_rows();
        Ok(Self {
            dense: u64::try_from(stored) == Ok(shard_rows),
            rows: u64::try_from(stored).ok(),
            files: vec![ScoreFile { name, first_row: 0 }],
            derived: None,
            bundled: None,
            blobs: Arc::clone(blobs),
        })
    }

    pub(super) fn bundled(
        blobs: &Arc<dyn Blobs>,
        bundles: &Arc<Bundles>,
        rows: BundledRows,
        shard_rows: u64,
    ) -> Self {
        let stored = rows.len();
        let bundled = FromBundle {
            bundles: Arc::clone(bundles),
            rows,
        };
        Self {
            blobs: Arc::clone(blobs),
            files: Vec::new(),
            dense: stored == shard_rows,
            rows: Some(stored),
            derived: None,
            bundled: Some(bundled),
        }
    }

    pub(super) fn parts(blobs: &Arc<dyn Blobs>, files: Vec<ScoreFile>) -> Self {
        Self {
            blobs: Arc::clone(blobs),
            files,
            dense: false,
            rows: None,
            derived: None,
            bundled: None,
        }
    }

    /// Stored rows of a finished shard.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// True if every row of the shard is stored, so that a cursor may start at any.
    pub fn is_dense(&self) -> bool {
        self.dense
    }

    pub(super) fn with_derived(
        mut self,
        place: Option<DerivedPlace>,
        bundles: &Arc<Bundles>,
    ) -> Self {
        self.derived = place.map(|place| Beside {
            place,
            bundles: Arc::clone(bundles),
        });
        self
    }

    /// Reads the named columns from row `first` on.
    ///
    /// # Errors
    /// When a file cannot be opened or lacks a column.
    pub fn cursor(&self, columns: &[&str], first: u64) -> Result<ScoreCursor> {
        let derived = |name: &&str| ScoreColumn::derived_from_name(name).is_some();
        let mut cursor = ScoreCursor {
            blobs: Arc::clone(&self.blobs),
            waiting: self.files.clone(),
            bundled: self.bundled.clone(),
            dense: self.dense,
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            derived: self.derived.clone().filter(|_| columns.iter().any(derived)),
            types: None,
            next_row: first,
            batches: None,
            beside: None,
            current: None,
        };
        cursor.waiting.reverse();
        cursor.open_next()?;
        Ok(cursor)
    }
}

/// A stretch of stored rows.
#[derive(Debug, Clone)]
pub struct ScoreRows {
    first: i64,
    /// Row numbers, ascending; `None` where they follow each other from `first` on.
    numbers: Option<Int64Array>,
    /// The columns that were asked for, in that order.
    pub columns: Vec<ArrayRef>,
    len: usize,
}

impl ScoreRows {
    /// Rows in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of a row within its shard.
    #[expect(clippy::cast_possible_wrap, reason = "a batch has few rows")]
    pub fn row(&self, position: usize) -> i64 {
        match &self.numbers {
            Some(numbers) => numbers.value(position),
            None => self.first + position as i64,
        }
    }

    fn last(&self) -> i64 {
        self.row(self.len - 1)
    }

    /// Positions of `rows`, null where a row is not in it.
    fn positions(&self, rows: &[i64]) -> UInt32Array {
        let position = |row: &i64| match &self.numbers {
            Some(numbers) => numbers.values().binary_search(row).ok(),
            None => usize::try_from(row - self.first).ok(),
        };
        rows.iter()
            .map(|row| position(row).and_then(|position| u32::try_from(position).ok()))
            .collect()
    }
}

/// Reads the scores of a shard once, from front to back.
pub struct ScoreCursor {
    blobs: Arc<dyn Blobs>,
    /// Files to read, the next one last.
    waiting: Vec<ScoreFile>,
    /// Rows to read instead.
    bundled: Option<FromBundle>,
    dense: bool,
    columns: Vec<String>,
    derived: Option<Beside>,
    types: Option<SchemaRef>,
    next_row: u64,
    batches: Option<Batches>,
    /// Derived columns of `batches`.
    beside: Option<Batches>,
    current: Option<ScoreRows>,
}

impl ScoreCursor {
    /// The stored rows that follow, whichever they are; `None` behind the last.
    ///
    /// # Errors
    /// When a page is damaged.
    pub fn advance(&mut self) -> Result<Option<&ScoreRows>> {
        self.current = None;
        loop {
            let Some(batches) = &mut self.batches else {
                return Ok(None);
            };
            match batches.next() {
                Some(batch) => {
                    let batch = batch?;
                    let beside = self.beside.as_mut().and_then(Iterator::next).transpose()?;
                    let rows = self.arrange(&batch, beside.as_ref())?;
                    if rows.is_empty() {
                        continue;
                    }
                    return Ok(Some(self.current.insert(rows)));
                }
                None => self.open_next()?,
            }
        }
    }

    /// The columns of `rows`, which ascend over all calls; null where the store does not have a row.
    ///
    /// # Errors
    /// When a page is damaged.
    pub fn take(&mut self, rows: &[i64]) -> Result<Vec<ArrayRef>> {
        let mut pieces: Vec<Vec<ArrayRef>> = Vec::new();
        let mut from = 0;
        while from < rows.len() {
            if !self.reach(rows[from])? {
                pieces.push(self.nulls(rows.len() - from)?);
                break;
            }
            let Some(current) = &self.current else { break };
            let last = current.last();
            let here = rows[from..].partition_point(|&row| row <= last);
            pieces.push(pick(current, &rows[from..from + here])?);
            from += here;
        }
        match pieces.as_slice() {
            [] => self.nulls(0),
            [one] => Ok(one.clone()),
            several => (0..self.columns.len())
                .map(|column| {
                    let parts: Vec<&dyn Array> =
                        several.iter().map(|piece| piece[column].as_ref()).collect();
                    concat(&parts)
                        .map_err(|error| Error::internal("join stretches of scores").source(error))
                })
                .collect(),
        }
    }

    /// Reads on until the current stretch ends at or behind `row`; false if none does.
    fn reach(&mut self, row: i64) -> Result<bool> {
        loop {
            if self.current.as_ref().is_some_and(|rows| rows.last() >= row) {
                return Ok(true);
            }
            if self.advance()?.is_none() {
                return Ok(false);
            }
        }
    }

    fn nulls(&self, rows: usize) -> Result<Vec<ArrayRef>> {
        let Some(types) = &self.types else {
            // No file, no types: the caller's own schema says what a null is.
            return Ok(self
                .columns
                .iter()
                .map(|_| new_null_array(&arrow::datatypes::DataType::Null, rows))
                .collect());
        };
        self.columns
            .iter()
            .map(|name| {
                if let Some(derived) = ScoreColumn::derived_from_name(name) {
                    return Ok(new_null_array(&derived.data_type(), rows));
                }
                let field = types
                    .field_with_name(name)
                    .map_err(|error| Error::internal("find a stored column").source(error))?;
                Ok(new_null_array(field.data_type(), rows))
            })
            .collect()
    }

    fn open_next(&mut self) -> Result<()> {
        self.batches = None;
        let (file, bundled) = (self.waiting.pop(), self.bundled.take());
        if file.is_none() && bundled.is_none() {
            return Ok(());
        }
        let (derived, mut wanted): (Vec<&str>, Vec<&str>) = self
            .columns
            .iter()
            .map(String::as_str)
            .partition(|name| ScoreColumn::derived_from_name(name).is_some());
        if !self.dense || wanted.is_empty() {
            wanted.push(STORED_ROW);
        }
        let skipped = if self.dense { self.next_row } else { 0 };
        let blobs = self.blobs.as_ref();
        if let Some(bundled) = bundled {
            let rows = bundled.bundles.read(blobs, &bundled.rows, &wanted)?;
            self.types = Some(rows.schema());
            let left = from_offset(&rows, skipped);
            self.batches = Some(Box::new(std::iter::once(Ok(left))));
        } else if let Some(file) = file {
            let stored = Stored::open(blobs, &file.name)?;
            self.types = Some(Arc::clone(stored.footer.schema()));
            let batches = stored.rows(Some(&wanted), skipped)?;
            self.batches = Some(whole(batches, file.first_row));
        }
        if let Some(from) = self.derived.take() {
            self.beside = from.rows(blobs, &derived, skipped)?;
        }
        Ok(())
    }

    fn arrange(&mut self, batch: &RecordBatch, beside: Option<&RecordBatch>) -> Result<ScoreRows> {
        if beside.is_some_and(|beside| beside.num_rows() != batch.num_rows()) {
            return Err(
                Error::input("read derived columns: they have other rows than the scores").hint(
                    "remove the directory `derived` of the score store; the columns are made again",
                ),
            );
        }
        let find = |name: &str| {
            let derived = || beside.and_then(|beside| beside.column_by_name(name));
            match (
                batch.column_by_name(name).or_else(derived),
                ScoreColumn::derived_from_name(name),
            ) {
                (Some(column), _) => Ok(Arc::clone(column)),
                (None, Some(missing)) => Ok(new_null_array(&missing.data_type(), batch.num_rows())),
                (None, None) => Err(Error::internal(format!("find the stored column {name}"))),
            }
        };
        let columns = self.columns.iter().map(|name| find(name));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let first = i64::try_from(self.next_row)
            .map_err(|error| Error::internal("number a stored row").source(error))?;
        self.next_row += batch.num_rows() as u64;
        let numbers = if self.dense {
            None
        } else {
            Some(find(STORED_ROW)?.as_primitive::<Int64Type>().clone())
        };
        Ok(ScoreRows {
            first,
            numbers,
            columns,
            len: batch.num_rows(),
        })
    }
}

/// The columns of `rows`, all within `stretch`.
fn pick(stretch: &ScoreRows, rows: &[i64]) -> Result<Vec<ArrayRef>> {
    let failed = |error| Error::internal("pick stored rows").source(error);
    let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else {
        return Ok(stretch.columns.clone());
    };
    let gapless = usize::try_from(last - first).is_ok_and(|span| span + 1 == rows.len());
    let start = usize::try_from(first - stretch.first);
    if let (None, true, Ok(start)) = (&stretch.numbers, gapless, start) {
        let slice = |column: &ArrayRef| column.slice(start, rows.len());
        return Ok(stretch.columns.iter().map(slice).collect());
    }
    let positions = stretch.positions(rows);
    let picked = stretch
        .columns
        .iter()
        .map(|column| take(column, &positions, None));
    picked
        .collect::<std::result::Result<_, _>>()
        .map_err(failed)
}
