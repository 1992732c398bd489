//! Where the samples of a tar lie: about five bytes for each member, for they stand one behind the other.

use std::ops::Range;

use super::{header::BLOCK, members::padded};

/// A stretch is closed at so many samples or bytes.
const STRETCH_ROWS: u64 = 1024;
const STRETCH_BYTES: u64 = 64 << 20;

/// A member of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its field by number.
    pub(super) field: u16,
    /// Its bytes.
    pub(super) bytes: Range<u64>,
    /// It is not refused.
    pub(super) is_read: bool,
}

/// A sample; it has a member at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// The headers of its first member.
    pub(super) header: Range<u64>,
    /// In their order in the tar.
    pub(super) pieces: Vec<Piece>,
}

impl Sample {
    fn end(&self) -> u64 {
        let last = self.pieces.last();
        last.map_or(self.header.end, |piece| padded(piece.bytes.end))
    }
}

/// Where some samples begin.
#[derive(Debug, Clone)]
struct Stretch {
    /// In the index.
    at: usize,
    /// In the tar.
    position: u64,
    rows: u64,
}

/// The samples of a tar.
#[derive(Debug, Default)]
pub(super) struct Index {
    packed: Vec<u8>,
    stretches: Vec<Stretch>,
    end: u64,
    /// All in one stretch: reading begins nowhere else.
    is_whole: bool,
}

impl Index {
    /// One without samples; they are all read as one stretch if it `is_whole`.
    pub(super) fn new(is_whole: bool) -> Self {
        Self {
            is_whole,
            ..Self::default()
        }
    }

    /// Adds the next sample.
    pub(super) fn push(&mut self, sample: &Sample) {
        let is_full = self.stretches.last().is_none_or(|last| {
            let bytes = self.end.saturating_sub(last.position);
            !self.is_whole && (last.rows >= STRETCH_ROWS || bytes >= STRETCH_BYTES)
        });
        if is_full {
            self.stretches.push(Stretch {
                at: self.packed.len(),
                position: self.end,
                rows: 0,
            });
        }
        let header = &sample.header;
        self.put((header.start - self.end) / BLOCK);
        self.put((header.end - header.start) / BLOCK);
        self.put(sample.pieces.len() as u64);
        let mut end = header.end;
        for piece in &sample.pieces {
            self.put(u64::from(piece.field) << 1 | u64::from(piece.is_read));
            self.put((piece.bytes.start - end) / BLOCK);
            self.put(piece.bytes.end - piece.bytes.start);
            end = padded(piece.bytes.end);
        }
        self.end = sample.end();
        if let Some(last) = self.stretches.last_mut() {
            last.rows += 1;
        }
    }

    /// Nothing more is added.
    pub(super) fn finish(&mut self) {
        self.packed.shrink_to_fit();
        self.stretches.shrink_to_fit();
    }

    /// How many samples each stretch has.
    pub(super) fn rows(&self) -> Vec<u64> {
        self.stretches.iter().map(|stretch| stretch.rows).collect()
    }

    /// The number of the first sample of a stretch.
    pub(super) fn first_row(&self, stretch: usize) -> u64 {
        let before = self.stretches.iter().take(stretch);
        before.map(|stretch| stretch.rows).sum()
    }

    /// The samples of a stretch.
    pub(super) fn samples(&self, stretch: usize) -> Samples<'_> {
        let known = self.stretches.get(stretch);
        Samples {
            packed: known
                .and_then(|known| self.packed.get(known.at..))
                .unwrap_or_default(),
            end: known.map_or(0, |known| known.position),
            left: known.map_or(0, |known| known.rows),
        }
    }

    fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.packed.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.packed.push(number.to_le_bytes()[0]);
    }
}

/// Walks over samples.
pub(super) struct Samples<'a> {
    packed: &'a [u8],
    end: u64,
    left: u64,
}

impl Samples<'_> {
    fn take(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.packed.split_first()?;
            self.packed = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn sample(&mut self) -> Option<Sample> {
        let start = self.end + self.take()? * BLOCK;
        let header = start..start + self.take()? * BLOCK;
        let count = self.take()?;
        let mut pieces = Vec::new();
        let mut end = header.end;
        for _ in 0..count {
            let field = self.take()?;
            let start = end + self.take()? * BLOCK;
            let bytes = start..start + self.take()?;
            end = padded(bytes.end);
            pieces.push(Piece {
                field: u16::try_from(field >> 1).ok()?,
                bytes,
                is_read: field & 1 == 1,
            });
        }
        let sample = Sample { header, pieces };
        self.end = sample.end();
        Some(sample)
    }
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        self.left = self.left.checked_sub(1)?;
        self.sample()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Sample> {
        let mut at = 0;
        let mut next = |bytes: u64| {
            let start = at + BLOCK * (1 + bytes % 3);
            at = padded(start + bytes);
            start..start + bytes
        };
        let sample = |number: u64, next: &mut dyn FnMut(u64) -> Range<u64>| {
            let pieces: Vec<Piece> = (0..number % 4 + 1)
                .map(|piece| Piece {
                    field: u16::try_from(piece * 200).unwrap(),
                    bytes: next(number * 70_001 % 300_000),
                    is_read: !(number + piece).is_multiple_of(5),
                })
                .collect();
            let start = pieces[0].bytes.start;
            Sample {
                header: start - BLOCK..start,
                pieces,
            }
        };
        (0..3000).map(|number| sample(number, &mut next)).collect()
    }

    #[test]
    fn samples_come_out_as_they_went_in_from_any_stretch_on() {
        let samples = samples();
        for is_whole in [false, true] {
            let mut index = Index::new(is_whole);
            samples.iter().for_each(|sample| index.push(sample));
            index.finish();
            let rows = index.rows();
            assert_eq!(rows.len() == 1, is_whole, "{rows:?}");
            assert_eq!(rows.iter().sum::<u64>(), 3000);
            for stretch in (0..rows.len()).rev() {
                let first = usize::try_from(index.first_row(stretch)).unwrap();
                let read: Vec<Sample> = index.samples(stretch).collect();
                assert_eq!(read.len() as u64, rows[stretch]);
                assert!(read == samples[first..first + read.len()]);
            }
            let members: usize = samples.iter().map(|sample| sample.pieces.len()).sum();
            assert!(index.packed.len() < 7 * members + 3000 * 4);
        }
        assert!(Index::new(false).rows().is_empty());
    }
}
