//! A file that lies far away, for who reads several of its columns side by side.

use std::{io, ops::Range, sync::Arc};

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;

use crate::source::{ShardBytes, ShardFile};

/// Asked for at a time; of each column a few are held.
const WINDOW_BYTES: u64 = 1 << 20;
/// A smaller file has come whole with its footer.
const SMALL_BYTES: u64 = 64 << 10;

/// Each column by a plan of its own: front to back, over all row groups.
#[derive(Debug)]
struct SideBySide {
    file: ShardBytes,
    /// Ascending, with the column that lies there.
    chunks: Vec<(Range<u64>, usize)>,
    columns: Vec<ShardBytes>,
}

/// The file, for who reads the columns that `are_read`, by the names of their roots, of some row groups.
pub(super) fn side_by_side(
    file: &ShardBytes,
    footer: &ParquetMetaData,
    groups: &[usize],
    are_read: impl Fn(&str) -> bool,
) -> ShardBytes {
    if !file.is_planned() || file.size_bytes() <= SMALL_BYTES {
        return file.clone();
    }
    let schema = footer.file_metadata().schema_descr();
    let is_read = |column: &usize| are_read(schema.get_column_root(*column).name());
    let (mut chunks, mut columns) = (Vec::new(), Vec::new());
    for column in (0..schema.num_columns()).filter(is_read) {
        let ranges = groups.iter().map(|&group| {
            let (start, length) = footer.row_group(group).column(column).byte_range();
            start..start.saturating_add(length)
        });
        let mut ranges: Vec<Range<u64>> = ranges.collect();
        ranges.sort_by_key(|range| range.start);
        chunks.extend(ranges.iter().map(|range| (range.clone(), columns.len())));
        columns.push(file.planned(&ranges, WINDOW_BYTES));
    }
    chunks.sort_by_key(|(range, _)| range.start);
    ShardBytes::new(Arc::new(SideBySide {
        file: file.clone(),
        chunks,
        columns,
    }))
}

impl SideBySide {
    /// What holds a position, and where that ends.
    fn at(&self, position: u64) -> (&ShardBytes, u64) {
        let behind = self
            .chunks
            .partition_point(|(chunk, _)| chunk.start <= position);
        match behind.checked_sub(1).map(|chunk| &self.chunks[chunk]) {
            Some((chunk, column)) if position < chunk.end => (&self.columns[*column], chunk.end),
            _ => (&self.file, u64::MAX),
        }
    }
}

impl ShardFile for SideBySide {
    fn size_bytes(&self) -> u64 {
        self.file.size_bytes()
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.at(range.start).0.read_at(range)
    }

    fn read_some(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (file, end) = self.at(range.start);
        file.read_at(range.start..range.end.min(end))
    }
}
