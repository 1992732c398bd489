//! The bytes of some members, read together where they lie together.

use std::{collections::HashMap, io, ops::Range};

use arrow::buffer::Buffer;
use bytes::Bytes;

use super::stream::{TarStream, WINDOW_BYTES};
use crate::source::ShardBytes;

/// What lies between two members that are read together: headers and padding, and small members that nobody wants.
const MOST_GAP_BYTES: u64 = 8 << 10;
/// Members are read together up to here.
const MOST_TOGETHER_BYTES: u64 = 4 << 20;

/// Where a value lies in the blocks that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchedAt {
    pub(super) block: usize,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// Members that were read.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    blocks: Vec<Bytes>,
    /// By where they begin in the tar, and how long they are.
    places: HashMap<Range<u64>, FetchedAt>,
}

impl Fetched {
    pub(super) fn place(&self, range: &Range<u64>) -> Option<FetchedAt> {
        self.places.get(range).copied()
    }

    pub(super) fn bytes(&self, range: &Range<u64>) -> Option<&[u8]> {
        let place = self.place(range)?;
        let block = self.blocks.get(place.block)?;
        block.get(place.offset..place.offset + place.length)
    }

    /// The blocks, for arrays of views.
    pub(super) fn buffers(&self) -> impl Iterator<Item = Buffer> {
        self.blocks.iter().cloned().map(Buffer::from)
    }

    fn add(&mut self, block: Bytes, start: u64, ranges: &[Range<u64>]) -> io::Result<()> {
        let number = self.blocks.len();
        for range in ranges {
            let offset = usize::try_from(range.start - start).map_err(io::Error::other)?;
            let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
            if offset + length > block.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let place = FetchedAt {
                block: number,
                offset,
                length,
            };
            self.places.insert(range.clone(), place);
        }
        self.blocks.push(block);
        Ok(())
    }
}

/// Reads ranges of a tar.
pub(super) enum Fetch {
    /// Anywhere.
    Ranges(ShardBytes),
    /// From front to back.
    Stream(TarStream),
}

impl Fetch {
    /// One that is best for who will read `ranges`, ascending.
    pub(super) fn of(file: &ShardBytes, ranges: &[Range<u64>]) -> Self {
        Self::Ranges(file.planned(ranges, WINDOW_BYTES))
    }

    /// The bytes of `ranges`, which ascend; two are the same or apart.
    pub(super) fn fetch(&mut self, ranges: &[Range<u64>]) -> io::Result<Fetched> {
        let mut fetched = Fetched::default();
        let mut at = 0;
        while let Some(first) = ranges.get(at) {
            let mut end = first.end;
            let mut next = at + 1;
            while let Some(range) = ranges.get(next) {
                let is_near = range.start.saturating_sub(end) <= MOST_GAP_BYTES;
                let is_small = range.end.saturating_sub(first.start) <= MOST_TOGETHER_BYTES;
                if !is_near || !is_small {
                    break;
                }
                end = end.max(range.end);
                next += 1;
            }
            let block = self.read(first.start..end)?;
            fetched.add(block, first.start, &ranges[at..next])?;
            at = next;
        }
        Ok(fetched)
    }

    fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        match self {
            Self::Ranges(file) => file.read_at(range),
            Self::Stream(stream) => {
                stream.skip_to(range.start)?;
                stream.read(range.end - range.start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::memory::MemoryFile;

    #[test]
    fn what_lies_together_is_one_request_and_nothing_far_is_read() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10 << 20).collect();
        let file = Arc::new(MemoryFile::new(bytes.clone()));
        let wanted = [
            10..20,
            600..900,
            600..900,
            7000..7000,
            (1 << 20)..(1 << 20) + 5,
            (2 << 20)..(8 << 20),
            (8 << 20) + 1..(8 << 20) + 2,
        ];
        let shard = ShardBytes::new(Arc::clone(&file) as _);
        let fetched = Fetch::of(&shard, &wanted).fetch(&wanted).unwrap();
        for range in &wanted {
            let place = |at: u64| usize::try_from(at).unwrap();
            let expected = &bytes[place(range.start)..place(range.end)];
            assert_eq!(fetched.bytes(range), Some(expected), "{range:?}");
        }
        assert_eq!(fetched.bytes(&(10..21)), None);
        assert_eq!(file.ranges(), 4);
        assert_eq!(file.bytes_read(), 6990 + 5 + (6 << 20) + 1);
        let beyond = (10 << 20) - 1..(10 << 20) + 1;
        let mut fetch = Fetch::of(&shard, std::slice::from_ref(&beyond));
        assert!(fetch.fetch(&[beyond]).is_err());
    }
}
