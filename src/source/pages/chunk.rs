//! What is the same for all pages of a column chunk.

use parquet::{
    basic::{Compression, Type},
    errors::ParquetError,
    file::metadata::ColumnChunkMetaData,
    schema::types::ColumnDescriptor,
};

use super::{header::invalid, values::Width};
use crate::source::ShardBytes;

/// How much of a page is in memory at one time.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct PageSizes {
    /// Pages of up to as many bytes are read as a whole, which is quicker.
    pub(in crate::source) whole_bytes: u64,
    /// Others are read in parts of about as many.
    pub(in crate::source) part_bytes: u64,
}

impl PageSizes {
    /// Asked for at a time of a column that is far.
    pub(super) fn window_bytes(self) -> u64 {
        self.part_bytes.saturating_mul(2)
    }
}

/// Where a column chunk lies and how its values are written.
#[derive(Debug, Clone)]
pub(super) struct ChunkFacts {
    pub(super) file: ShardBytes,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) codec: Compression,
    pub(super) width: Width,
    pub(super) definition: i16,
    pub(super) repetition: i16,
    pub(super) sizes: PageSizes,
}

impl ChunkFacts {
    pub(super) fn new(
        file: ShardBytes,
        chunk: &ColumnChunkMetaData,
        sizes: PageSizes,
    ) -> Result<Self, ParquetError> {
        let column = chunk.column_descr();
        let number = |value: i64| {
            u64::try_from(value).map_err(|_| invalid("a column chunk at a negative place"))
        };
        let first = match chunk.dictionary_page_offset() {
            Some(offset) if offset > 0 => offset.min(chunk.data_page_offset()),
            _ => chunk.data_page_offset(),
        };
        let start = number(first)?;
        Ok(Self {
            file,
            start,
            end: start.saturating_add(number(chunk.compressed_size())?),
            codec: chunk.compression(),
            width: width(column),
            definition: column.max_def_level(),
            repetition: column.max_rep_level(),
            sizes,
        })
    }
}

fn width(column: &ColumnDescriptor) -> Width {
    match column.physical_type() {
        Type::BYTE_ARRAY => Width::Variable,
        Type::BOOLEAN => Width::Bits,
        Type::INT32 | Type::FLOAT => Width::Fixed(4),
        Type::INT64 | Type::DOUBLE => Width::Fixed(8),
        Type::INT96 => Width::Fixed(12),
        Type::FIXED_LEN_BYTE_ARRAY => {
            Width::Fixed(u32::try_from(column.type_length()).unwrap_or(0))
        }
    }
}
