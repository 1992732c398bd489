//! Pages of a row group in bounded memory.
//!
//! Writers look at the size of a page once per thousand rows, or never: a page of pictures, or the dictionary before it,
//! may be a gigabyte. Such a page is decompressed as a stream and handed to the parquet crate's own decoders as many
//! small ones, so that reading costs what a part does. What cannot be read in parts is said by [`whole_page_bytes`].
//!
//! | page | in parts |
//! |---|---|
//! | PLAIN of any type but booleans, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY | yes |
//! | a dictionary of byte strings, and the indices behind it | yes: from where it lies, or from a temporary file |
//! | numbers that are packed or split into streams, LZ4 in Hadoop's framing | no |

mod blocks;
mod buffer;
mod chunk;
mod delta;
mod dictionary;
mod header;
mod hybrid;
mod open_page;
mod parted;
mod stream;
#[cfg(test)]
mod tests;
mod unpack;
mod values;
mod wanted;
mod whole;

use std::{ops::Range, sync::Arc};

use parquet::{
    arrow::arrow_reader::RowSelection,
    bloom_filter::Sbbf,
    column::page::PageReader,
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        page_index::offset_index::PageLocation,
        reader::{FileReader, RowGroupReader},
        serialized_reader::SerializedPageReader,
    },
    record::reader::RowIter,
    schema::types::Type,
};

pub(super) use self::buffer::FreeBuffers;
pub(super) use self::chunk::PageSizes;
pub(crate) use self::hybrid::{Runs, level_width};
pub(super) use self::whole::{largest_page, whole_chunk_bytes, whole_page_bytes};
use self::{chunk::ChunkFacts, parted::PartedPages};
use super::ShardBytes;

/// One row group of a shard, as a file of its own.
pub(super) struct GroupPages {
    file: Arc<ShardBytes>,
    footer: Arc<ParquetMetaData>,
    group: usize,
    alone: ParquetMetaData,
    sizes: PageSizes,
    /// Rows that will be read; `None` for all.
    wanted: Option<RowSelection>,
    free: FreeBuffers,
}

impl GroupPages {
    /// Pages of the row group `group`, those that are large in parts; `wanted` are the rows that will be read, or all.
    pub(super) fn new(
        file: ShardBytes,
        footer: Arc<ParquetMetaData>,
        group: usize,
        sizes: PageSizes,
        wanted: Option<RowSelection>,
        free: FreeBuffers,
    ) -> Self {
        let groups = vec![footer.row_group(group).clone()];
        Self {
            file: Arc::new(file),
            alone: ParquetMetaData::new(footer.file_metadata().clone(), groups),
            footer,
            group,
            sizes,
            wanted,
            free,
        }
    }

    /// The file, for who reads the wanted rows of a column.
    fn file_for(&self, column: usize) -> ShardBytes {
        if !self.file.is_planned() {
            return (*self.file).clone();
        }
        let (start, length) = self.facts().column(column).byte_range();
        let end = start.saturating_add(length);
        let ranges: Vec<Range<u64>> = match (&self.wanted, self.locations(column)) {
            (Some(wanted), Some(pages)) => {
                let dictionary = pages
                    .first()
                    .map_or(start, |page| u64::try_from(page.offset).unwrap_or(start));
                let dictionary = start..dictionary.clamp(start, end);
                let pages = wanted.scan_ranges(pages);
                std::iter::once(dictionary).chain(pages).collect()
            }
            _ => vec![start..end; 1],
        };
        self.file.planned(&ranges, self.sizes.window_of(length))
    }

    /// Where the pages of a column are, if the file says so.
    fn locations(&self, column: usize) -> Option<&Vec<PageLocation>> {
        let index = self.footer.offset_index()?.get(self.group)?.get(column)?;
        Some(&index.page_locations)
    }

    fn facts(&self) -> &RowGroupMetaData {
        self.footer.row_group(self.group)
    }
}

impl FileReader for GroupPages {
    fn metadata(&self) -> &ParquetMetaData {
        &self.alone
    }

    fn num_row_groups(&self) -> usize {
        1
    }

    fn get_row_group(&self, _: usize) -> Result<Box<dyn RowGroupReader + '_>, ParquetError> {
        Ok(Box::new(Columns(self)))
    }

    fn get_row_iter(&self, _: Option<Type>) -> Result<RowIter<'_>, ParquetError> {
        Err(ParquetError::NYI("rows one by one".to_owned()))
    }
}

/// Column chunks of the row group.
struct Columns<'a>(&'a GroupPages);

impl RowGroupReader for Columns<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.0.facts()
    }

    fn num_columns(&self) -> usize {
        self.0.facts().num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> Result<Box<dyn PageReader>, ParquetError> {
        let pages = self.0;
        let chunk = pages.facts().column(column);
        let may_be_large =
            u64::try_from(chunk.uncompressed_size()).unwrap_or(0) > pages.sizes.whole_bytes;
        let file = pages.file_for(column);
        let locations = pages.locations(column).cloned();
        let rows = usize::try_from(pages.facts().num_rows()).unwrap_or(0);
        if stream::is_streamed(chunk.compression()) {
            let free = pages.free.clone();
            let facts = ChunkFacts::new(file.clone(), chunk, pages.sizes, free)?;
            // Of a file that is far, pages are asked for as a whole; and those of one value are found by the index.
            let is_of_pages =
                pages.file.is_planned() || locations.as_ref().is_some_and(|it| 2 * it.len() > rows);
            if may_be_large || pages.wanted.is_some() && !is_of_pages && facts.is_chosen_from() {
                return Ok(Box::new(PartedPages::new(facts, pages.wanted.as_ref())));
            }
        }
        Ok(Box::new(SerializedPageReader::new(
            Arc::new(file),
            chunk,
            rows,
            locations,
        )?))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, _: Option<Type>) -> Result<RowIter<'_>, ParquetError> {
        Err(ParquetError::NYI("rows one by one".to_owned()))
    }
}
