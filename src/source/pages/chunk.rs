//! What is the same for all pages of a column chunk.

use parquet::{
    basic::{Compression, Type},
    errors::ParquetError,
    file::metadata::ColumnChunkMetaData,
    schema::types::ColumnDescriptor,
};

use super::{buffer::FreeBuffers, header::invalid, values::Width};
use crate::source::ShardBytes;

/// How much of a page is in memory at one time.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct PageSizes {
    /// Pages of up to as many bytes are read as a whole, which is quicker.
    pub(in crate::source) whole_bytes: u64,
    /// Others are read in parts of about as many.
    pub(in crate::source) part_bytes: u64,
    /// Asked for at a time where they are far, of all columns together.
    pub(in crate::source) window_bytes: u64,
    /// What the columns that are read have together, as they are stored.
    pub(in crate::source) read_bytes: u64,
}

/// Asked for at a time of a column that is far, however small its part is.
const LEAST_WINDOW_BYTES: u64 = 128 << 10;

impl PageSizes {
    /// Asked for at a time of a column of so many bytes that is far: the part that it is of all that are read, so that
    /// columns side by side come to their ends together and the many hold no more than the one.
    pub(super) fn window_of(self, column_bytes: u64) -> u64 {
        let all = u128::from(self.read_bytes.max(column_bytes).max(1));
        let part = u128::from(self.window_bytes) * u128::from(column_bytes) / all;
        u64::try_from(part)
            .unwrap_or(self.window_bytes)
            .max(LEAST_WINDOW_BYTES)
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
    pub(super) free: FreeBuffers,
}

impl ChunkFacts {
    pub(super) fn new(
        file: ShardBytes,
        chunk: &ColumnChunkMetaData,
        sizes: PageSizes,
        free: FreeBuffers,
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
            free,
        })
    }

    /// Whether values are byte strings that lie as they are, so that each can be read alone where the file is at hand.
    pub(super) fn is_chosen_from(&self) -> bool {
        self.codec == Compression::UNCOMPRESSED && self.width == Width::Variable
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
