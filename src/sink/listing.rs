//! Lists of rows as Parquet.

use std::{fs::File, path::Path};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::arrow::ArrowWriter;

use super::{Destination, Staged};
use crate::error::{Error, Result};

/// A Parquet file of a few facts per row, under its temporary name; removed unless it is committed.
pub struct Listing {
    staged: Staged,
    writer: ArrowWriter<File>,
}

impl Listing {
    /// Starts the file that will be `path`, beside it. A leftover of a run that was killed is replaced.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self> {
        let staged = Destination::File(path.to_path_buf()).stage_at(temporary(path))?;
        let file = File::create(staged.part(0)).map_err(|error| failed(&staged, error))?;
        let writer =
            ArrowWriter::try_new(file, schema, None).map_err(|error| failed(&staged, error))?;
        Ok(Self { staged, writer })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer
            .write(rows)
            .map_err(|error| failed(&self.staged, error))
    }

    /// Syncs the file; it keeps its temporary name.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<Staged> {
        self.writer
            .finish()
            .map_err(|error| failed(&self.staged, error))?;
        self.writer
            .inner()
            .sync_all()
            .map_err(|error| failed(&self.staged, error))?;
        Ok(self.staged)
    }
}

/// Writes `bytes` beside `path`, synced, to be renamed later. A leftover of a run that was killed is replaced.
///
/// # Errors
/// When the disk is full.
pub fn stage_bytes(path: &Path, bytes: &[u8]) -> Result<Staged> {
    let temporary = temporary(path);
    super::commit::write_temporary(&temporary, bytes)?;
    Ok(Staged::at(Destination::File(path.to_path_buf()), temporary))
}

fn temporary(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.clip-filter.tmp"))
}

fn failed(staged: &Staged, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::output("write a list of rows")
        .with("file", staged.part(0).display())
        .source(error)
}
