//! Memory that parts of pages are made in, used again for the next ones.
//!
//! A part is a few megabytes, and each lives for a moment: fresh memory for each would cost more than what is put there.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::errors::ParquetError;

/// Buffers that wait to be used again, at most.
const MOST_WAITING: usize = 16;

/// What bytes are appended to.
pub(super) trait Room {
    /// The next `len` bytes, whatever they are now.
    fn room(&mut self, len: usize) -> Result<&mut [u8], ParquetError>;
}

impl Room for Vec<u8> {
    fn room(&mut self, len: usize) -> Result<&mut [u8], ParquetError> {
        let from = self.len();
        let reserved = self.try_reserve_exact(len);
        reserved.map_err(|error| ParquetError::External(error.into()))?;
        self.resize(from + len, 0);
        Ok(&mut self[from..])
    }
}

/// Buffers that were used and are free; all of the same size.
#[derive(Debug, Clone, Default)]
pub(in crate::source) struct FreeBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Memory of a part under way.
#[derive(Debug)]
pub(super) struct PartBuffer {
    /// Of which the first `len` are in use.
    bytes: Vec<u8>,
    len: usize,
    /// What it was made with.
    usual: usize,
    free: FreeBuffers,
}

impl FreeBuffers {
    /// One of `size` bytes, with nothing in it.
    pub(super) fn take(&self, size: usize) -> PartBuffer {
        let waiting = self.0.lock().ok().and_then(|mut free| free.pop());
        let waiting = waiting.filter(|bytes| bytes.len() == size);
        PartBuffer {
            bytes: waiting.unwrap_or_else(|| vec![0; size]),
            len: 0,
            usual: size,
            free: self.clone(),
        }
    }
}

impl PartBuffer {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ParquetError> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// The bytes, the first of them overwritten with `start` or preceded by it.
    pub(super) fn freeze(mut self, room: usize, start: &[u8]) -> Bytes {
        match room.checked_sub(start.len()) {
            Some(from) => {
                self.bytes[from..room].copy_from_slice(start);
                Bytes::from_owner(self).slice(from..)
            }
            None => [start, &self.bytes[room..self.len]].concat().into(),
        }
    }
}

impl Room for PartBuffer {
    fn room(&mut self, len: usize) -> Result<&mut [u8], ParquetError> {
        let from = self.len;
        let lacking = (from + len).saturating_sub(self.bytes.len());
        if lacking > 0 {
            self.bytes.room(lacking)?;
        }
        self.len += len;
        Ok(&mut self.bytes[from..self.len])
    }
}

impl AsRef<[u8]> for PartBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for PartBuffer {
    fn drop(&mut self) {
        // One that had to grow is not kept: it would hold more than is counted with.
        if self.bytes.len() == self.usual
            && let Ok(mut free) = self.free.0.lock()
            && free.len() < MOST_WAITING
        {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}
