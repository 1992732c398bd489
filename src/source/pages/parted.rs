//! The pages of a column chunk, where they may be large: a page of more than a part is handed on in parts.

use std::sync::Arc;

use parquet::{
    arrow::arrow_reader::RowSelection,
    basic::{Compression, Encoding},
    column::page::{Page, PageMetadata, PageReader},
    errors::ParquetError,
    file::reader::ChunkReader,
};

use super::{
    chunk::ChunkFacts,
    dictionary::LargeDictionary,
    header::{PageHeader, PageKind, invalid},
    hybrid::{Hybrid, level_width},
    open_page::OpenPage,
    stream::{PageStream, StoredPage},
    unpack::{all_of, behind_levels},
    values::{Values, Width, is_read},
    wanted::Wanted,
};

/// A page of more values than this has no large ones.
const MOST_VALUES: u32 = 1 << 24;
/// Values of this size on average are passed over rather than read.
const CHOSEN_VALUE_BYTES: u64 = 8 << 10;

/// Repetition and definition levels, and what lies behind them.
type LevelsAndRest = ([Option<Hybrid>; 2], PageStream);

/// Reads a column chunk page by page, and large pages part by part.
pub(super) struct PartedPages {
    chunk: ChunkFacts,
    position: u64,
    /// The header at `position`, if it was looked at.
    header: Option<PageHeader>,
    open: Option<OpenPage>,
    dictionary: Option<Arc<LargeDictionary>>,
    /// Rows that will be read; `None` for all. Of lists it is not known where a row begins.
    wanted: Option<Wanted>,
    /// The first row that was not handed on.
    row: u64,
}

impl PartedPages {
    /// Pages of `chunk`; `wanted` are the rows that will be read, or all.
    pub(super) fn new(chunk: ChunkFacts, wanted: Option<&RowSelection>) -> Self {
        let wanted = wanted.filter(|_| chunk.repetition == 0);
        Self {
            wanted: wanted.map(Wanted::new),
            row: 0,
            position: chunk.start,
            chunk,
            header: None,
            open: None,
            dictionary: None,
        }
    }

    /// The next header that is of a page with values or a dictionary.
    fn header(&mut self) -> Result<Option<PageHeader>, ParquetError> {
        while self.header.is_none() && self.position < self.chunk.end {
            let header = PageHeader::read(&mut self.chunk.file.get_read(self.position)?)?;
            let bytes = header.header_bytes + header.stored_bytes;
            if self.position + bytes > self.chunk.end {
                return Err(invalid("a page that is larger than its column chunk"));
            }
            let is_empty = match header.kind {
                PageKind::First { values, .. } | PageKind::Second { values, .. } => values == 0,
                PageKind::Dictionary { .. } => self.is_taken(&header)?,
                PageKind::Other => true,
            };
            match is_empty {
                true => self.position += bytes,
                false => self.header = Some(header),
            }
        }
        Ok(self.header.clone())
    }

    /// Whether the dictionary is a large one, which is read here.
    fn is_taken(&mut self, header: &PageHeader) -> Result<bool, ParquetError> {
        let PageKind::Dictionary { values, .. } = header.kind else {
            return Ok(false);
        };
        if header.uncompressed_bytes <= self.chunk.sizes.whole_bytes
            || self.chunk.width != Width::Variable
        {
            return Ok(false);
        }
        let page = self.stored(header);
        self.dictionary = Some(Arc::new(LargeDictionary::open(page, values)?));
        Ok(true)
    }

    fn stored(&self, header: &PageHeader) -> StoredPage {
        let start = self.position + header.header_bytes;
        StoredPage {
            file: self.chunk.file.clone(),
            start,
            end: start + header.stored_bytes,
            codec: self.chunk.codec,
            bytes: header.uncompressed_bytes,
        }
    }

    /// Goes on behind the page of `header`, of which the rows are handed on or left out, too, if it `is_done`.
    fn pass(&mut self, header: &PageHeader, is_done: bool) {
        if let (true, PageKind::First { values, .. } | PageKind::Second { values, .. }) =
            (is_done, &header.kind)
        {
            self.row += u64::from(*values);
        }
        self.header = None;
        self.position += header.header_bytes + header.stored_bytes;
    }

    /// Opens the page of `header` if it is to be read in parts.
    fn opened(&self, header: &PageHeader) -> Result<Option<OpenPage>, ParquetError> {
        let (PageKind::First {
            values, encoding, ..
        }
        | PageKind::Second {
            values, encoding, ..
        }) = header.kind
        else {
            return Ok(None);
        };
        let indices = matches!(
            encoding,
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY
        );
        let dictionary = self.dictionary.as_ref().filter(|_| indices);
        let is_large = values <= MOST_VALUES
            && (header.uncompressed_bytes > self.chunk.sizes.whole_bytes
                || self.is_worth_choosing(header, values));
        let is_wanted = dictionary.is_some() || is_large && is_read(encoding, self.chunk.width);
        if !is_wanted {
            return Ok(None);
        }
        let Some((levels, mut stream)) = self.levels(header)? else {
            return Ok(None);
        };
        let [repetition, definition] = levels;
        let values_of = match dictionary {
            Some(dictionary) => {
                let [width] = stream.array::<1>()?;
                let mut indices = Vec::new();
                stream.append(stream.left(), &mut indices)?;
                let indices = Hybrid::new(indices.into(), u32::from(width))?;
                Values::Indices(indices, Arc::clone(dictionary))
            }
            None => Values::open(stream, encoding, self.chunk.width, values)?,
        };
        Ok(Some(OpenPage {
            left: values,
            repetition,
            definition,
            values: values_of,
        }))
    }

    /// Whether values that are not wanted are so large, and lie so, that it pays not to read them.
    fn is_worth_choosing(&self, header: &PageHeader, values: u32) -> bool {
        self.wanted.is_some()
            && self.chunk.is_chosen_from()
            && header.uncompressed_bytes / u64::from(values.max(1)) >= CHOSEN_VALUE_BYTES
    }

    /// Repetition and definition levels of a page, and its values behind them; `None` for an encoding of old.
    fn levels(&self, header: &PageHeader) -> Result<Option<LevelsAndRest>, ParquetError> {
        let highest = [self.chunk.repetition, self.chunk.definition];
        let hybrid = |highest, bytes| Hybrid::new(bytes, level_width(highest)).map(Some);
        let mut page = self.stored(header);
        let mut levels = [None, None];
        match header.kind {
            PageKind::First {
                definition,
                repetition,
                ..
            } => {
                let mut stream = PageStream::open(page)?;
                let encodings = [repetition, definition];
                for ((level, highest), encoding) in levels.iter_mut().zip(highest).zip(encodings) {
                    if highest == 0 {
                        continue;
                    }
                    if encoding != Encoding::RLE {
                        return Ok(None);
                    }
                    let length = u64::from(u32::from_le_bytes(stream.array()?));
                    let mut bytes = Vec::new();
                    stream.append(length, &mut bytes)?;
                    *level = hybrid(highest, bytes.into())?;
                }
                Ok(Some((levels, stream)))
            }
            PageKind::Second {
                repetition_bytes,
                definition_bytes,
                is_compressed,
                ..
            } => {
                let lengths = [repetition_bytes, definition_bytes];
                for ((level, highest), length) in levels.iter_mut().zip(highest).zip(lengths) {
                    let bytes = self.chunk.file.get_bytes(page.start, length as usize)?;
                    page.start += u64::from(length);
                    if highest > 0 {
                        *level = hybrid(highest, bytes)?;
                    }
                }
                let levels_bytes = lengths.map(u64::from).iter().sum::<u64>();
                if page.start > page.end || levels_bytes > page.bytes {
                    return Err(invalid("levels that are larger than their page"));
                }
                page.bytes -= levels_bytes;
                if !is_compressed {
                    page.codec = Compression::UNCOMPRESSED;
                }
                Ok(Some((levels, PageStream::open(page)?)))
            }
            _ => Ok(None),
        }
    }

    /// The next part of `open`, which stays open while there are more.
    fn part_of(&mut self, mut open: OpenPage) -> Result<Page, ParquetError> {
        let left = open.left;
        let part = open.part(&self.chunk, self.row, self.wanted.as_mut())?;
        self.row += u64::from(left - open.left);
        self.open = Some(open).filter(|open| open.left > 0);
        Ok(part)
    }

    /// The page of `header` as it is.
    fn whole(&self, header: &PageHeader) -> Result<Page, ParquetError> {
        let page = self.stored(header);
        Ok(match header.kind {
            PageKind::Dictionary {
                values,
                encoding,
                is_sorted,
            } => Page::DictionaryPage {
                buf: all_of(page)?,
                num_values: values,
                encoding,
                is_sorted,
            },
            PageKind::First {
                values,
                encoding,
                definition,
                repetition,
            } => Page::DataPage {
                buf: all_of(page)?,
                num_values: values,
                encoding,
                def_level_encoding: definition,
                rep_level_encoding: repetition,
                statistics: None,
            },
            PageKind::Second {
                values,
                nulls,
                rows,
                encoding,
                definition_bytes,
                repetition_bytes,
                is_compressed,
            } => {
                let levels = u64::from(definition_bytes) + u64::from(repetition_bytes);
                Page::DataPageV2 {
                    buf: behind_levels(page, levels, is_compressed)?,
                    num_values: values,
                    encoding,
                    num_nulls: nulls,
                    num_rows: rows,
                    def_levels_byte_len: definition_bytes,
                    rep_levels_byte_len: repetition_bytes,
                    is_compressed: false,
                    statistics: None,
                }
            }
            PageKind::Other => return Err(invalid("a page of no kind that is known")),
        })
    }
}

impl Iterator for PartedPages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for PartedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        if let Some(open) = self.open.take() {
            return self.part_of(open).map(Some);
        }
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let page = match self.opened(&header)? {
            Some(open) => {
                self.pass(&header, false);
                return self.part_of(open).map(Some);
            }
            None => self.whole(&header)?,
        };
        self.pass(&header, true);
        Ok(Some(page))
    }

    /// Of a page that is open, all that is left: it need not be read to be skipped.
    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        let (num_rows, num_levels, is_dict) = match &self.open {
            Some(open) => (None, open.left, false),
            None => match self.header()?.map(|header| header.kind) {
                Some(PageKind::Second { rows, values, .. }) => (Some(rows as usize), values, false),
                Some(PageKind::First { values, .. }) => (None, values, false),
                Some(PageKind::Dictionary { .. }) => (None, 0, true),
                Some(PageKind::Other) | None => return Ok(None),
            },
        };
        Ok(Some(PageMetadata {
            num_rows,
            num_levels: (!is_dict).then_some(num_levels as usize),
            is_dict,
        }))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        if let Some(open) = self.open.take() {
            self.row += u64::from(open.left);
        } else if let Some(header) = self.header()? {
            self.pass(&header, true);
        }
        Ok(())
    }

    /// Parts may end within a record.
    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        match self.open {
            Some(_) => Ok(false),
            None => Ok(match self.peek_next_page()? {
                None => true,
                Some(next) => next.num_rows.is_some(),
            }),
        }
    }
}
