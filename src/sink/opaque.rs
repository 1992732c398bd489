//! A column of byte strings that is written as it comes: neither compressed nor looked at, and not copied either.
//!
//! Its pages go to the file as soon as they are full. A page is made of pieces of what was read; where the values lie in
//! memory as a page has them, each behind its length, one piece is many values.

use std::{io::Write, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ByteView},
    buffer::{Buffer, NullBuffer},
    datatypes::{DataType, Field, SchemaRef},
};
use parquet::{
    basic::{Compression, Encoding, EncodingMask, PageType, Type},
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, PageEncodingStats},
        page_index::offset_index::{OffsetIndexMetaData, PageLocation},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::{ColumnDescPtr, SchemaDescriptor},
};

use crate::source::{LevelRuns, level_width};

/// A page is closed at this size, or at so many values.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_VALUES: usize = 20_000;
/// Values up to this size are gathered in one piece.
const SMALL_VALUE_BYTES: usize = 16 << 10;

/// The pages of a column chunk under way.
pub(super) struct OpaqueColumn {
    /// Its number among the leaves.
    pub(super) leaf: usize,
    descr: ColumnDescPtr,
    /// The column that it is in, and the way down from there.
    path: Vec<usize>,
    page: Page,
    locations: Vec<PageLocation>,
    /// Bytes of the values of each page.
    value_bytes: Vec<i64>,
    /// Bytes of the pages, and rows in them.
    chunk_bytes: usize,
    rows: usize,
}

impl OpaqueColumn {
    /// The first column of a file that is of this kind.
    pub(super) fn of(
        schema: &SchemaRef,
        stored: &SchemaDescriptor,
        properties: &WriterProperties,
    ) -> Option<Self> {
        let leaf = stored.columns().iter().position(|descr| {
            let path = descr.path();
            descr.physical_type() == Type::BYTE_ARRAY
                && descr.max_rep_level() == 0
                && properties.compression(path) == Compression::UNCOMPRESSED
                && !properties.dictionary_enabled(path)
                && properties.statistics_enabled(path) == EnabledStatistics::None
                && !properties.offset_index_disabled()
        })?;
        let descr = stored.column(leaf);
        let column = stored.get_column_root_idx(leaf);
        let (mut path, mut field) = (vec![column], schema.fields().get(column)?);
        let mut nullable = i16::from(field.is_nullable());
        for name in descr.path().parts().get(1..)? {
            let DataType::Struct(fields) = field.data_type() else {
                return None;
            };
            let at = fields.iter().position(|field| field.name() == name)?;
            path.push(at);
            field = &fields[at];
            nullable += i16::from(field.is_nullable());
        }
        let fits = *field.data_type() == DataType::BinaryView && nullable == descr.max_def_level();
        fits.then(|| Self {
            leaf,
            page: Page::new(descr.max_def_level()),
            descr,
            path,
            locations: Vec::new(),
            value_bytes: Vec::new(),
            chunk_bytes: 0,
            rows: 0,
        })
    }

    /// Bytes of the chunk so far.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes + self.page.bytes
    }

    /// Bytes that wait for their page to be full.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.page.bytes
    }

    /// Appends the values of a batch. `position` is where `out` is in the file.
    pub(super) fn write(
        &mut self,
        schema: &SchemaRef,
        columns: &[ArrayRef],
        out: &mut impl Write,
        position: usize,
    ) -> Result<()> {
        let lacking = || ParquetError::General("a column that is not there".into());
        let mut at = position;
        let (&column, path) = self.path.split_first().ok_or_else(lacking)?;
        let mut array = columns.get(column).ok_or_else(lacking)?;
        let mut field: &Field = schema.field(column);
        // Of each that may be null on the way down.
        let mut nulls: Vec<Option<&NullBuffer>> = Vec::new();
        for &child in path {
            nulls.extend(field.is_nullable().then(|| array.nulls()));
            let (DataType::Struct(fields), Some(group)) =
                (field.data_type(), array.as_struct_opt())
            else {
                return Err(lacking());
            };
            (array, field) = (group.column(child), &fields[child]);
        }
        nulls.extend(field.is_nullable().then(|| array.nulls()));
        let values = array.as_binary_view_opt().ok_or_else(lacking)?;
        for (row, &view) in values.views().iter().enumerate() {
            let is_there =
                |nulls: &&Option<&NullBuffer>| nulls.is_none_or(|nulls| nulls.is_valid(row));
            let level = nulls.iter().take_while(is_there).count();
            let is_value = level == nulls.len();
            let level = u32::try_from(level).unwrap_or(u32::MAX);
            self.page.levels.push(level);
            self.page.values += 1;
            if is_value {
                let view = ByteView::from(view);
                match values.data_buffers().get(view.buffer_index as usize) {
                    Some(buffer) if view.length > 12 => {
                        let from = view.offset as usize;
                        self.page.push(buffer, from..from + view.length as usize)?;
                    }
                    _ => self.page.push_bytes(values.value(row))?,
                }
            }
            if self.page.bytes >= PAGE_BYTES || self.page.values >= PAGE_VALUES {
                at += self.end_page(out, at)?;
            }
        }
        Ok(())
    }

    /// Writes the page that is under way; its bytes in the file.
    fn end_page(&mut self, out: &mut impl Write, position: usize) -> Result<usize> {
        if self.page.values == 0 {
            return Ok(0);
        }
        let page = std::mem::replace(&mut self.page, Page::new(self.descr.max_def_level()));
        let number = |number: usize| {
            i64::try_from(number).map_err(|_| ParquetError::General("a page too large".into()))
        };
        self.locations.push(PageLocation {
            offset: number(position)?,
            compressed_page_size: 0,
            first_row_index: number(self.rows)?,
        });
        self.rows += page.values;
        self.value_bytes.push(number(page.value_bytes)?);
        let written = page.write(self.descr.max_def_level() > 0, out)?;
        if let Some(location) = self.locations.last_mut() {
            location.compressed_page_size = i32::try_from(written)
                .map_err(|_| ParquetError::General("a page too large".into()))?;
        }
        self.chunk_bytes += written;
        Ok(written)
    }

    /// Ends the chunk: what there is to say of it. `position` is where `out` is in the file.
    pub(super) fn close(
        &mut self,
        out: &mut impl Write,
        position: usize,
    ) -> Result<ColumnCloseResult> {
        self.end_page(out, position)?;
        let locations = std::mem::take(&mut self.locations);
        let (bytes, rows) = (self.chunk_bytes, self.rows);
        (self.chunk_bytes, self.rows) = (0, 0);
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let metadata = ColumnChunkMetaData::builder(Arc::clone(&self.descr))
            .set_compression_codec(Compression::UNCOMPRESSED.into())
            .set_encodings_mask(EncodingMask::new_from_encodings(
                [Encoding::PLAIN, Encoding::RLE].iter(),
            ))
            .set_page_encoding_stats(vec![PageEncodingStats {
                page_type: PageType::DATA_PAGE,
                encoding: Encoding::PLAIN,
                count: i32::try_from(locations.len()).unwrap_or(i32::MAX),
            }])
            .set_total_compressed_size(number(bytes))
            .set_total_uncompressed_size(number(bytes))
            .set_num_values(number(rows))
            .set_data_page_offset(locations.first().map_or(0, |page| page.offset));
        Ok(ColumnCloseResult {
            bytes_written: bytes as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(OffsetIndexMetaData {
                page_locations: locations,
                unencoded_byte_array_data_bytes: Some(std::mem::take(&mut self.value_bytes)),
            }),
        })
    }
}

/// A page under way.
struct Page {
    levels: LevelRuns,
    /// Values, and nulls among them.
    values: usize,
    pieces: Vec<Piece>,
    /// Of values and their lengths.
    bytes: usize,
    /// Of values alone.
    value_bytes: usize,
}

/// Bytes of a page.
enum Piece {
    Gathered(Vec<u8>),
    AsRead(Buffer, Range<usize>),
}

impl Page {
    fn new(highest: i16) -> Self {
        Self {
            levels: LevelRuns::new(level_width(highest)),
            values: 0,
            pieces: Vec::new(),
            bytes: 0,
            value_bytes: 0,
        }
    }

    /// Appends the value that is `range` of `buffer`, with its length if that does not lie before it.
    fn push(&mut self, buffer: &Buffer, range: Range<usize>) -> Result<()> {
        let prefix = prefix(range.len())?;
        let lies_before = range.start.checked_sub(prefix.len());
        let lies_before =
            lies_before.filter(|&at| buffer.get(at..range.start) == Some(&prefix[..]));
        let Some(start) = lies_before else {
            if range.len() <= SMALL_VALUE_BYTES {
                return self.push_bytes(&buffer[range]);
            }
            self.count(range.len());
            self.gather([&prefix, &[]]);
            self.pieces.push(Piece::AsRead(buffer.clone(), range));
            return Ok(());
        };
        self.count(range.len());
        match self.pieces.last_mut() {
            Some(Piece::AsRead(last, before))
                if before.end == start
                    && last.as_ptr() == buffer.as_ptr()
                    && last.len() == buffer.len() =>
            {
                before.end = range.end;
            }
            _ => self
                .pieces
                .push(Piece::AsRead(buffer.clone(), start..range.end)),
        }
        Ok(())
    }

    fn push_bytes(&mut self, value: &[u8]) -> Result<()> {
        let prefix = prefix(value.len())?;
        self.count(value.len());
        self.gather([&prefix, value]);
        Ok(())
    }

    fn count(&mut self, len: usize) {
        self.bytes += 4 + len;
        self.value_bytes += len;
    }

    /// Appends to the piece that small values are gathered in.
    fn gather(&mut self, parts: [&[u8]; 2]) {
        match self.pieces.last_mut() {
            Some(Piece::Gathered(bytes)) => parts.iter().for_each(|part| bytes.extend(*part)),
            _ => self.pieces.push(Piece::Gathered(parts.concat())),
        }
    }

    /// Writes it with its header; the bytes of both.
    fn write(self, has_levels: bool, out: &mut impl Write) -> Result<usize> {
        let levels = match has_levels {
            true => self.levels.finish(),
            false => Vec::new(),
        };
        let bytes = levels.len() + self.bytes;
        let mut header = header(self.values, bytes)?;
        header.extend(levels);
        out.write_all(&header)?;
        for piece in &self.pieces {
            out.write_all(match piece {
                Piece::Gathered(bytes) => bytes,
                Piece::AsRead(buffer, range) => &buffer[range.clone()],
            })?;
        }
        Ok(header.len() + self.bytes)
    }
}

fn prefix(len: usize) -> Result<[u8; 4]> {
    let len = u32::try_from(len).map_err(|_| ParquetError::General("a value too large".into()))?;
    Ok(len.to_le_bytes())
}

/// The header of a page of the first version, PLAIN with levels as runs, in Thrift's compact encoding.
fn header(values: usize, bytes: usize) -> Result<Vec<u8>> {
    /// A field of the next number that is an integer of 32 bits.
    const NEXT_INTEGER: u8 = 0x15;
    /// A field of the number after the next one that is a struct.
    const DATA_PAGE: u8 = 0x2c;
    const END: u8 = 0;
    let large = |_| ParquetError::General("a page too large".into());
    let values = i32::try_from(values).map_err(large)?;
    let bytes = i32::try_from(bytes).map_err(large)?;
    let mut header = Vec::new();
    let integer = |header: &mut Vec<u8>, number: i32| {
        header.push(NEXT_INTEGER);
        let mut left = number.unsigned_abs() << 1;
        while left > 0x7f {
            header.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        header.push(left.to_le_bytes()[0]);
    };
    for number in [PageType::DATA_PAGE as i32, bytes, bytes] {
        integer(&mut header, number);
    }
    header.push(DATA_PAGE);
    let [plain, runs] = [Encoding::PLAIN as i32, Encoding::RLE as i32];
    for number in [values, plain, runs, runs] {
        integer(&mut header, number);
    }
    header.extend([END, END]);
    Ok(header)
}

#[cfg(test)]
mod tests;
