//! Row ranges of a shard in work.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};

use super::{
    blobs::Blobs,
    names,
    score_file::{ScoreFile, read_file},
};
use crate::{
    error::{Error, Result},
    schema::STORED_ROW,
};

/// The parts that cover a shard from row 0 on, each from where the one before ends.
///
/// A power loss may keep a later part and lose one before it: what is behind a gap is encoded again. Where a claim was
/// lost two processes may have written parts that overlap; their rows are the same.
#[derive(Debug)]
pub(super) struct Parts {
    blobs: Arc<dyn Blobs>,
    /// Decided rows, each with the end of the name of a part that has them.
    chain: Vec<(Range<u64>, String)>,
    folder: String,
}

impl Parts {
    pub(super) fn of(blobs: &Arc<dyn Blobs>, scored: &str) -> Result<Self> {
        let folder = names::parts(scored);
        let found = blobs.list(&folder)?.into_iter();
        let mut found: Vec<(Range<u64>, String)> = found
            .filter_map(|name| Some((names::rows_of_part(&name)?, name)))
            .collect();
        // Of two that start alike the longer one was written over a gap that has closed since.
        found.sort_by_key(|(rows, _)| (rows.start, std::cmp::Reverse(rows.end)));
        let mut chain: Vec<(Range<u64>, String)> = Vec::new();
        let mut end = 0;
        for (rows, name) in found {
            if rows.start <= end && rows.end > end {
                chain.push((end..rows.end, name));
                end = rows.end;
            }
        }
        Ok(Self {
            blobs: Arc::clone(blobs),
            chain,
            folder,
        })
    }

    /// Rows from the first on that are decided.
    pub(super) fn decided_rows(&self) -> u64 {
        self.chain.last().map_or(0, |(rows, _)| rows.end)
    }

    pub(super) fn files(&self) -> Vec<ScoreFile> {
        let file = |(rows, name): &(Range<u64>, String)| ScoreFile {
            name: format!("{}/{name}", self.folder),
            first_row: rows.start,
        };
        self.chain.iter().map(file).collect()
    }

    /// Every row, once and in order.
    pub(super) fn batches(&self) -> impl Iterator<Item = Result<RecordBatch>> + use<> {
        let blobs = Arc::clone(&self.blobs);
        self.files().into_iter().flat_map(move |file| {
            let batches = read_file(blobs.as_ref(), &file);
            batches.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
        })
    }
}

/// The rows of a batch from number `first` on.
pub(super) fn from_row(batch: &RecordBatch, first: u64) -> Result<RecordBatch> {
    let numbers = batch.column_by_name(STORED_ROW);
    let numbers = numbers.ok_or_else(|| Error::internal("find the numbers of stored rows"))?;
    let numbers = numbers.as_primitive::<Int64Type>().values();
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let before = numbers.partition_point(|&number| number < first);
    Ok(batch.slice(before, batch.num_rows() - before))
}
