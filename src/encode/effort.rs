//! Time and work of threads, counted for the caller they worked for.

use std::sync::atomic::AtomicU64;

use arrow::array::Array;

use super::pool::{DecodeJob, DecodeWork};

/// What the threads of a pool did for one caller, whose batches may be under way beside those of others.
#[derive(Debug, Default)]
pub struct Effort {
    /// Images decoded.
    pub images_decoded: AtomicU64,
    /// Calls of a tower.
    pub model_batches: AtomicU64,
    /// Busy time of decode threads.
    pub decode_nanos: AtomicU64,
    /// Busy time of encode threads.
    pub encode_nanos: AtomicU64,
}

/// What a trace tells of a job.
impl DecodeJob {
    pub(super) fn what(&self) -> &'static str {
        match self.work {
            DecodeWork::Captions => "captions",
            DecodeWork::Images(_) => "images",
        }
    }

    pub(super) fn rows(&self) -> usize {
        match &self.work {
            DecodeWork::Captions => self.batch.rows(),
            DecodeWork::Images(rows) => rows.len(),
        }
    }

    /// Bytes of its images or captions as they are stored.
    pub(super) fn bytes(&self) -> usize {
        match &self.work {
            DecodeWork::Captions => {
                let captions = self.batch.captions.iter().flatten().flatten();
                captions.map(str::len).sum()
            }
            DecodeWork::Images(rows) => self.batch.images.as_ref().map_or(0, |images| {
                let stored = rows.clone().filter(|&row| images.is_valid(row));
                stored.map(|row| images.value(row).len()).sum()
            }),
        }
    }
}
