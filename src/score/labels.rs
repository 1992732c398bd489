//! The values of one column of the shards, as groups of rows.

use std::{collections::HashMap, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, StringViewArray, UInt32Array},
    compute::take,
};

use super::{
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::{Sides, StoredRows},
};
use crate::{
    error::{Error, Result},
    source::{ReadPlan, RowGroupReader, Shard, ShardReader, ShardSet},
};

/// Groups are counted in memory.
const MOST_GROUPS: usize = 1 << 20;
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: u64 = 16 << 20;

/// The values of a column as text.
type NamesOf<'a> = &'a dyn Fn(&ArrayRef) -> Result<StringViewArray>;

/// A column of the shards whose values are groups.
pub(crate) struct GroupColumn<'a> {
    pub(crate) name: &'a str,
    /// Values that come first, in this order.
    pub(crate) known: &'a [String],
    pub(crate) names_of: NamesOf<'a>,
}

/// Rows by the value of a column.
pub(crate) struct Groups {
    /// The group of each stored row.
    pub(crate) of_rows: ScratchColumn,
    /// Stored rows.
    pub(crate) rows: u64,
    /// The values, by group.
    pub(crate) names: Vec<String>,
}

impl Groups {
    /// Reads the groups of all rows.
    pub(crate) fn read(
        rows: &StoredRows<'_>,
        set: &ShardSet,
        column: GroupColumn<'_>,
        directory: &Path,
    ) -> Result<Self> {
        let GroupColumn {
            name: column,
            known,
            names_of,
        } = column;
        let mut of_rows = ScratchColumn::create(directory)?;
        let mut names = known.to_vec();
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (id, name) in (0..).zip(known) {
            ids.entry(name.clone()).or_insert(id);
        }
        let position = set.schema.index_of(column).map_err(|_| {
            Error::usage(format!(
                "group rows by '{column}': the shards have no such column"
            ))
        })?;
        let mut reading: Option<(usize, ColumnRows)> = None;
        let stored = rows.for_each(Sides::None, &mut |block| {
            if reading
                .as_ref()
                .is_none_or(|(shard, _)| *shard != block.shard)
            {
                let values = ColumnRows::open(&set.shards[block.shard], position)?;
                reading = Some((block.shard, values));
            }
            let mut groups = Vec::with_capacity(block.rows.len());
            if let Some((_, values)) = &mut reading {
                values.take(&block.rows, &mut |values| {
                    for name in names_of(values)?.iter() {
                        let Some(name) = name else {
                            groups.push(NO_CELL);
                            continue;
                        };
                        if let Some(id) = ids.get(name) {
                            groups.push(*id);
                            continue;
                        }
                        let id = u32::try_from(names.len()).unwrap_or(NO_CELL);
                        if names.len() >= MOST_GROUPS {
                            return Err(Error::usage(format!(
                                "group rows by '{column}': it has more than {MOST_GROUPS} values"
                            )));
                        }
                        ids.insert(name.to_owned(), id);
                        names.push(name.to_owned());
                        groups.push(id);
                    }
                    Ok(())
                })?;
            }
            of_rows.append_cells(&block.spread(&groups, NO_CELL))
        })?;
        Ok(Self {
            of_rows,
            rows: stored,
            names,
        })
    }
}

/// A column of one shard, read from front to back.
struct ColumnRows {
    reader: ShardReader,
    groups: std::ops::Range<usize>,
    batches: Option<RowGroupReader>,
    current: Option<ArrayRef>,
    /// Number of the first row of `current`.
    first: i64,
}

impl ColumnRows {
    fn open(shard: &Shard, column: usize) -> Result<Self> {
        let plan = ReadPlan {
            columns: vec![column],
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
            ..ReadPlan::default()
        };
        Ok(Self {
            // Rows are found by counting them.
            reader: ShardReader::open(&shard.with_every_row(), plan)?,
            groups: 0..shard.row_groups.len(),
            batches: None,
            current: None,
            first: 0,
        })
    }

    /// Gives the values of `rows`, which ascend over all calls, piece by piece.
    fn take(&mut self, rows: &[i64], give: &mut dyn FnMut(&ArrayRef) -> Result<()>) -> Result<()> {
        let failed = |error| Error::internal("read a column of a shard").source(error);
        let mut rest = rows;
        while let Some(&next) = rest.first() {
            self.reach(next)?;
            let Some(current) = &self.current else {
                return Err(Error::internal("find a stored row in its shard"));
            };
            let len = i64::try_from(current.len()).unwrap_or(i64::MAX);
            let here = rest.partition_point(|&row| row - self.first < len);
            let offsets = rest[..here].iter();
            let offsets: UInt32Array = offsets
                .map(|row| u32::try_from(row - self.first).ok())
                .collect();
            give(&take(current, &offsets, None).map_err(failed)?)?;
            rest = &rest[here..];
        }
        Ok(())
    }

    /// Reads on until `row` is in the current batch.
    fn reach(&mut self, row: i64) -> Result<()> {
        loop {
            let len = self.current.as_ref().map_or(0, |current| current.len());
            if row < self.first + i64::try_from(len).unwrap_or(0) {
                return Ok(());
            }
            self.first += i64::try_from(len).unwrap_or(0);
            self.current = None;
            match self.batches.as_mut().and_then(Iterator::next) {
                Some(batch) => self.current = Some(Arc::clone(batch?.column(0))),
                None => match self.groups.next() {
                    Some(group) => self.batches = Some(self.reader.row_group(group, None)?),
                    None => return Err(Error::internal("find a stored row in its shard")),
                },
            }
        }
    }
}
