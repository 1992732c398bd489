//! Parquet files of strangers: what the library would panic at is an error.

use arrow::{array::RecordBatch, error::ArrowError};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader},
    errors::ParquetError,
    file::{metadata::ParquetMetaData, reader::ChunkReader},
};

use super::{ShardBytes, pages::largest_page};
use crate::error::contained;

const LIBRARY: &str = "parquet";

/// The footer of a Parquet file, whose row groups and chunks have places and sizes that exist.
///
/// # Errors
/// When it is damaged, or the file cannot be read.
pub(crate) fn read_footer(
    file: &impl ChunkReader,
    options: ArrowReaderOptions,
) -> Result<ArrowReaderMetadata, ParquetError> {
    // An Arrow schema within it is read by assertions.
    let footer = contained(LIBRARY, || ArrowReaderMetadata::load(file, options));
    let footer = footer.map_err(|error| ParquetError::External(Box::new(error)))??;
    match are_sizes(footer.metadata()) {
        true => Ok(footer),
        false => Err(ParquetError::General(
            "a size or a place in the footer is negative or too large".to_owned(),
        )),
    }
}

/// Whether all numbers of rows and bytes are natural, and their sums numbers.
fn are_sizes(footer: &ParquetMetaData) -> bool {
    let add = |sum: i64, number: i64| sum.checked_add(number).filter(|_| number >= 0);
    let groups = footer.row_groups();
    let rows = groups.iter().map(|group| group.num_rows()).try_fold(0, add);
    let chunks = groups.iter().flat_map(|group| group.columns());
    let mut places = chunks.clone().flat_map(|chunk| {
        let places = [
            Some(chunk.data_page_offset()),
            chunk.dictionary_page_offset(),
        ];
        places.into_iter().flatten()
    });
    let sizes = chunks.flat_map(|chunk| [chunk.compressed_size(), chunk.uncompressed_size()]);
    rows.is_some() && sizes.into_iter().try_fold(0, add).is_some() && places.all(|place| place >= 0)
}

/// Refuses a file with a page of more than `most` bytes, before any is unpacked.
///
/// # Errors
/// When it has one, or the header of a page cannot be read.
pub(crate) fn check_pages(
    file: &ShardBytes,
    footer: &ParquetMetaData,
    most: u64,
) -> Result<(), ParquetError> {
    let groups = footer.row_groups().iter();
    for chunk in groups.flat_map(|group| group.columns()) {
        let bytes = largest_page(file, chunk)?;
        if bytes > most {
            return Err(ParquetError::General(format!(
                "a page of the column {} has {bytes} bytes, more than {most}",
                chunk.column_path().string()
            )));
        }
    }
    Ok(())
}

/// Batches of a file, which end at one that the library panics at.
pub(crate) struct ContainedBatches(Option<ParquetRecordBatchReader>);

impl ContainedBatches {
    /// Those of `reader`.
    pub(crate) fn new(reader: ParquetRecordBatchReader) -> Self {
        Self(Some(reader))
    }
}

impl Iterator for ContainedBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.0.as_mut()?;
        contained(LIBRARY, || reader.next()).unwrap_or_else(|error| {
            self.0 = None;
            Some(Err(ArrowError::ExternalError(Box::new(error))))
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn footers_that_a_fuzzer_found_are_errors() {
        let files: [&[u8]; 2] = [
            include_bytes!("../../tests/data/found/arrow-schema.parquet"),
            include_bytes!("../../tests/data/found/negative-chunk.parquet"),
        ];
        let found = files.map(|file| {
            let footer = read_footer(&Bytes::from_static(file), ArrowReaderOptions::new());
            footer.unwrap_err().to_string()
        });
        assert!(
            found[0].contains("the library parquet gave up"),
            "{}",
            found[0]
        );
        assert!(found[1].contains("negative"), "{}", found[1]);
    }
}
