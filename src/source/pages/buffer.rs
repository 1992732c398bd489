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

/// Buffers that were used and are free.
#[derive(Debug, Clone, Default)]
pub(in crate::source) struct FreeBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Memory of a part under way.
#[derive(Debug)]
pub(super) struct PartBuffer {
    /// Of which the first `len` are in use; behind them is what was there before.
    bytes: Vec<u8>,
    len: usize,
    /// What it was made with.
    capacity: usize,
    free: FreeBuffers,
}

impl FreeBuffers {
    /// One with room for `size` bytes, and not for many more, with nothing in it.
    pub(super) fn take(&self, size: usize) -> PartBuffer {
        let fits = |bytes: &Vec<u8>| (size..=2 * size).contains(&bytes.capacity());
        let waiting = self.0.lock().ok().and_then(|mut free| {
            let place = free.iter().position(fits)?;
            Some(free.swap_remove(place))
        });
        let bytes = waiting.unwrap_or_else(|| Vec::with_capacity(size));
        PartBuffer {
            capacity: bytes.capacity(),
            bytes,
            len: 0,
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

    /// The bytes behind the first `room` ones, in which `start` is put right before them, if it fits there.
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
        if self.bytes.capacity() == self.capacity
            && let Ok(mut free) = self.free.0.lock()
            && free.len() < MOST_WAITING
        {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_for_what_fits() {
        let free = FreeBuffers::default();
        let mut first = free.take(1000);
        first.push(&[7; 900]).unwrap();
        let place = first.as_ref().as_ptr();
        drop(first);
        assert_ne!(free.take(100).bytes.as_ptr(), place, "far too large");
        let mut second = free.take(800);
        second.room(4).unwrap();
        second.push(&[1, 2]).unwrap();
        assert_eq!(second.bytes.as_ptr(), place);
        let frozen = second.freeze(4, &[9]);
        assert_eq!(frozen[..], [9, 1, 2]);
        drop(frozen);
        let mut grown = free.take(900);
        assert_eq!(grown.bytes.as_ptr(), place);
        grown.push(&[0; 5000]).unwrap();
        drop(grown);
        assert!(
            free.0
                .lock()
                .unwrap()
                .iter()
                .all(|bytes| bytes.capacity() < 5000)
        );
    }

    #[test]
    fn levels_that_do_not_fit_before_the_values_are_copied_with_them() {
        let mut bytes = FreeBuffers::default().take(10);
        bytes.room(2).unwrap();
        bytes.push(&[5, 6]).unwrap();
        assert_eq!(bytes.freeze(2, &[1, 2, 3])[..], [1, 2, 3, 5, 6]);
    }
}
