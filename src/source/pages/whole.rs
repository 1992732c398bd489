//! Pages that cannot be read in parts, so that whoever plans memory can count them before anything is read.

use parquet::{
    basic::{Encoding, Type},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
    },
};

use super::{header::PageHeader, stream::is_streamed};
use crate::source::ShardBytes;

/// Whether a column chunk may hold large pages that are read as a whole.
fn is_whole(chunk: &ColumnChunkMetaData) -> bool {
    let packed = [Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT];
    let is_variable = chunk.column_type() == Type::BYTE_ARRAY;
    let is_packed = !is_variable && chunk.encodings().any(|encoding| packed.contains(&encoding));
    is_packed || !is_streamed(chunk.compression())
}

fn bytes_of(chunk: &ColumnChunkMetaData) -> u64 {
    u64::try_from(chunk.uncompressed_size()).unwrap_or(0)
}

/// A bound on the pages of a row group that are in memory as a whole, in bytes, from the footer alone; mostly 0.
pub(in crate::source) fn whole_chunk_bytes(footer: &ParquetMetaData) -> u64 {
    let groups = footer.row_groups().iter();
    let groups = groups.map(|group| {
        let chunks = group.columns().iter().filter(|chunk| is_whole(chunk));
        chunks.map(bytes_of).sum()
    });
    groups.max().unwrap_or(0)
}

/// Bytes of pages that are in memory as a whole at one time when `columns` are read, those of more than `least` alone.
///
/// # Errors
/// When a header of a page cannot be read.
pub(in crate::source) fn whole_page_bytes(
    file: &ShardBytes,
    footer: &ParquetMetaData,
    columns: &[usize],
    least: u64,
) -> Result<u64, ParquetError> {
    let schema = footer.file_metadata().schema_descr();
    let mut most = 0;
    for group in footer.row_groups() {
        let mut bytes = 0;
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let is_read = columns.contains(&schema.get_column_root_idx(leaf));
            if is_read && is_whole(chunk) && bytes_of(chunk) > least {
                bytes += largest_page(file, chunk)?;
            }
        }
        most = most.max(bytes);
    }
    Ok(most)
}

/// Bytes of the largest page of a column chunk, as its headers have it.
///
/// # Errors
/// When one cannot be read.
pub(in crate::source) fn largest_page(
    file: &ShardBytes,
    chunk: &ColumnChunkMetaData,
) -> Result<u64, ParquetError> {
    let (start, length) = chunk.byte_range();
    let (mut at, mut largest) = (start, 0);
    while at < start + length {
        let header = PageHeader::read(&mut file.get_read(at)?)?;
        at += header.header_bytes + header.stored_bytes;
        largest = largest.max(header.uncompressed_bytes);
    }
    Ok(largest)
}
