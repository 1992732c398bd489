//! What writes an output, whatever it is made of.

use super::{ColumnLayout, DatasetWriter, Portion, Staged, TarWriter};
use crate::error::{Error, Result};

/// What writes an output.
pub enum OutputWriter {
    /// As Parquet.
    Parquet(Box<DatasetWriter>),
    /// As samples of tars.
    Tars(Box<TarWriter>),
}

/// An output whose files are safe; they are not visible yet.
pub struct WrittenOutput {
    /// The output.
    pub staged: Staged,
    /// What is to be told of it, one line each.
    pub notes: Vec<String>,
}

impl OutputWriter {
    /// One that writes Parquet.
    pub fn parquet(writer: DatasetWriter) -> Self {
        Self::Parquet(Box::new(writer))
    }

    /// How it stores columns, if whole row groups may be taken into it.
    pub fn layout(&self) -> Option<ColumnLayout> {
        match self {
            Self::Parquet(writer) => writer.layout(),
            Self::Tars(_) => None,
        }
    }

    /// Appends rows; how many there were.
    ///
    /// # Errors
    /// When the disk is full, or a row cannot be written so.
    pub fn write(&mut self, portion: &Portion) -> Result<usize> {
        match (self, portion) {
            (Self::Parquet(writer), Portion::Rows(batch)) => {
                writer.write(batch).map(|()| batch.num_rows())
            }
            (Self::Parquet(writer), Portion::Group(group, added)) => {
                writer.copy(group, added).map(|()| added.num_rows())
            }
            (Self::Parquet(writer), Portion::Shard(shard)) => {
                writer.begin_shard(*shard).map(|()| 0)
            }
            (Self::Tars(_), Portion::Shard(_)) => Ok(0),
            (Self::Tars(writer), Portion::Rows(batch)) => {
                writer.write(batch).map(|()| batch.num_rows())
            }
            (Self::Tars(_), Portion::Group(..)) => {
                Err(Error::internal("copy a row group into a tar"))
            }
        }
    }

    /// Waits until all files are safe.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn close(self) -> Result<WrittenOutput> {
        Ok(match self {
            Self::Parquet(writer) => WrittenOutput {
                staged: writer.close()?,
                notes: Vec::new(),
            },
            Self::Tars(mut writer) => {
                writer.finish()?;
                WrittenOutput {
                    notes: writer.notes(),
                    staged: writer.into_staged(),
                }
            }
        })
    }
}
