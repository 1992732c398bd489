//! One file of scores, or of columns beside them.

use arrow::{array::RecordBatch, datatypes::Schema};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};

use super::{
    blobs::{BlobFile, Blobs},
    columns::is_stored_as,
    parts::from_row,
    side_by_side::side_by_side,
};
use crate::{
    error::{Error, Result},
    source::{ContainedBatches, read_footer},
};

/// Rows read at one time.
const BATCH_ROWS: usize = 8192;

pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A file of scores, or a part of them.
#[derive(Debug, Clone)]
pub(super) struct ScoreFile {
    /// In the store.
    pub(super) name: String,
    /// Rows before this one are another file's.
    pub(super) first_row: u64,
}

/// Batches without the rows before `first`.
pub(super) fn whole(
    batches: impl Iterator<Item = Result<RecordBatch>> + Send + 'static,
    first: u64,
) -> Batches {
    match first {
        0 => Box::new(batches),
        first => Box::new(batches.map(move |batch| from_row(&batch?, first))),
    }
}

/// Batches of a store's file, all columns.
pub(super) fn read_file(blobs: &dyn Blobs, file: &ScoreFile) -> Result<Batches> {
    let batches = Stored::open(blobs, &file.name)?.rows(None, 0)?;
    Ok(whole(batches, file.first_row))
}

/// The named columns of a store's file, batch by batch.
pub(super) fn read_columns(blobs: &dyn Blobs, name: &str, columns: &[&str]) -> Result<Batches> {
    let batches = Stored::open(blobs, name)?.rows(Some(columns), 0)?;
    Ok(Box::new(batches))
}

/// The key-value pairs of a store's file.
pub(super) fn read_metadata(blobs: &dyn Blobs, name: &str) -> Result<Vec<(String, String)>> {
    let stored = Stored::open(blobs, name)?;
    let pairs = stored
        .footer
        .metadata()
        .file_metadata()
        .key_value_metadata();
    let pairs = pairs.into_iter().flatten();
    Ok(pairs
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect())
}

/// A file that is read.
pub(super) struct Stored {
    file: BlobFile,
    pub(super) footer: ArrowReaderMetadata,
    place: String,
}

impl Stored {
    pub(super) fn open(blobs: &dyn Blobs, name: &str) -> Result<Self> {
        let place = blobs.place(name);
        let file = blobs.open(name).map_err(|error| damaged(&place, error))?;
        let footer = read_footer(&file, ArrowReaderOptions::new())
            .map_err(|error| damaged(&place, error))?;
        Ok(Self {
            file,
            footer,
            place,
        })
    }

    /// Batches from row `first` on; all columns if none is named.
    pub(super) fn rows(
        self,
        columns: Option<&[&str]>,
        first: u64,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let mut first = usize::try_from(first).unwrap_or(usize::MAX);
        let mut groups = Vec::new();
        for (number, group) in self.footer.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            if groups.is_empty() && first >= rows {
                first -= rows;
            } else {
                groups.push(number);
            }
        }
        check_types(self.footer.schema(), columns, &self.place)?;
        let is_asked = |name: &str| columns.is_none_or(|names| names.contains(&name));
        let file = side_by_side(&self.file, self.footer.metadata(), &groups, is_asked);
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer)
            .with_batch_size(BATCH_ROWS)
            .with_row_groups(groups)
            .with_offset(first);
        let place = self.place;
        if let Some(names) = columns {
            check_columns(builder.schema(), names, &place)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder = builder.with_projection(mask);
        }
        let reader = builder.build().map_err(|error| damaged(&place, error))?;
        Ok(ContainedBatches::new(reader)
            .map(move |batch| batch.map_err(|error| damaged(&place, error))))
    }
}

fn check_columns(schema: &Schema, names: &[&str], place: &str) -> Result<()> {
    match names.iter().find(|name| schema.index_of(name).is_err()) {
        None => Ok(()),
        Some(name) => Err(Error::input(format!("find the column {name} in the score store"))
            .with("file", place)
            .hint("the store keeps no embeddings; score into another directory with --embeddings f16")),
    }
}

/// Whoever reads a column relies on its type.
fn check_types(schema: &Schema, names: Option<&[&str]>, place: &str) -> Result<()> {
    let asked = |name: &str| names.is_none_or(|names| names.contains(&name));
    let mut fields = schema.fields().iter().filter(|field| asked(field.name()));
    match fields.find(|field| !is_stored_as(field.name(), field.data_type())) {
        None => Ok(()),
        Some(field) => {
            let found = format!("the column {} is {}", field.name(), field.data_type());
            Err(damaged(place, found))
        }
    }
}

pub(super) fn damaged(place: &str, error: impl Into<super::files::BoxedError>) -> Error {
    Error::input("read the score store")
        .with("file", place)
        .source(error)
        .hint("the file is damaged: remove it and run `clip-filter score` again, which encodes only its rows")
}
