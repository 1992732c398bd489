//! Small integers as Parquet packs them, runs of one value and stretches of packed bits: levels and dictionary indices,
//! read one by one, and levels written again for a part of a page.

use bytes::Bytes;
use parquet::errors::ParquetError;

use super::header::invalid;

/// Reads one value after another.
#[derive(Debug)]
pub(super) struct Hybrid {
    bytes: Bytes,
    at: usize,
    /// Bits of a value, at most 32.
    width: u32,
    left: u64,
    run: Run,
}

#[derive(Debug)]
enum Run {
    Repeated(u32),
    /// Position of the next value, in bits from the start.
    Packed(usize),
}

/// Bits of levels from 0 to `highest`.
pub(crate) fn level_width(highest: i16) -> u32 {
    i16::BITS - highest.max(0).leading_zeros()
}

impl Hybrid {
    pub(super) fn new(bytes: Bytes, width: u32) -> Result<Self, ParquetError> {
        match width <= 32 {
            true => Ok(Self {
                bytes,
                at: 0,
                width,
                left: 0,
                run: Run::Repeated(0),
            }),
            false => Err(invalid("integers of more than 32 bits")),
        }
    }

    pub(super) fn next(&mut self) -> Result<u32, ParquetError> {
        while self.left == 0 {
            self.begin_run()?;
        }
        self.left -= 1;
        match &mut self.run {
            Run::Repeated(value) => Ok(*value),
            Run::Packed(bit) => {
                let from = *bit / 8;
                let mut word = [0; 8];
                let there = self.bytes.get(from..).unwrap_or_default();
                let len = there.len().min(8);
                word[..len].copy_from_slice(&there[..len]);
                let shifted = u64::from_le_bytes(word) >> (*bit % 8);
                let mask = (1u64 << self.width) - 1;
                *bit += self.width as usize;
                match bit.div_ceil(8) <= self.bytes.len() {
                    true => Ok(u32::try_from(shifted & mask).unwrap_or(u32::MAX)),
                    false => Err(ended()),
                }
            }
        }
    }

    fn begin_run(&mut self) -> Result<(), ParquetError> {
        let mut header = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or_else(ended)?;
            self.at += 1;
            header |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if header & 1 == 1 {
            let groups = header >> 1;
            let bytes = usize::try_from(groups.saturating_mul(u64::from(self.width)));
            self.left = groups.saturating_mul(8);
            self.run = Run::Packed(self.at.saturating_mul(8));
            self.at = self.at.saturating_add(bytes.unwrap_or(usize::MAX));
        } else {
            let len = self.width.div_ceil(8) as usize;
            let value = self.bytes.get(self.at..self.at + len).ok_or_else(ended)?;
            let mut word = [0; 4];
            word[..len].copy_from_slice(value);
            self.at += len;
            self.left = header >> 1;
            self.run = Run::Repeated(u32::from_le_bytes(word));
        }
        Ok(())
    }
}

fn ended() -> ParquetError {
    ParquetError::EOF("levels or indices end early".to_owned())
}

/// Writes levels as runs.
#[derive(Debug)]
pub(crate) struct Runs {
    width: u32,
    value: u32,
    count: u64,
    bytes: Vec<u8>,
}

impl Runs {
    pub(crate) fn new(width: u32) -> Self {
        Self {
            width,
            value: 0,
            count: 0,
            bytes: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, value: u32) {
        if value != self.value {
            self.end_run();
            self.value = value;
        }
        self.count += 1;
    }

    /// The runs, behind their length, as a page of the first version has them.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end_run();
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        [&len.to_le_bytes()[..], &self.bytes].concat()
    }

    fn end_run(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut header = self.count << 1;
        while header > 0x7f {
            self.bytes.push(header.to_le_bytes()[0] | 0x80);
            header >>= 7;
        }
        self.bytes.push(header.to_le_bytes()[0]);
        let len = self.width.div_ceil(8) as usize;
        self.bytes.extend(&self.value.to_le_bytes()[..len]);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back() {
        for (width, levels) in [
            (1, vec![0, 0, 1, 1, 1, 0, 1]),
            (2, vec![3; 1000]),
            (9, vec![1, 300, 300, 2]),
        ] {
            let mut runs = Runs::new(width);
            levels.iter().for_each(|&level| runs.push(level));
            let bytes = Bytes::from(runs.finish()).slice(4..);
            let mut read = Hybrid::new(bytes, width).unwrap();
            let back: Vec<_> = levels.iter().map(|_| read.next().unwrap()).collect();
            assert_eq!(back, levels);
            assert!(read.next().is_err());
        }
    }

    /// The example of the format's description: 0 to 7 in three bits each.
    #[test]
    fn packed_bits_are_read() {
        let bytes = Bytes::from_static(&[3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        let mut read = Hybrid::new(bytes, 3).unwrap();
        let numbers: Vec<_> = (0..8).map(|_| read.next().unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut short = Hybrid::new(Bytes::from_static(&[3, 0b1000_1000]), 3).unwrap();
        assert_eq!((0..8).map_while(|_| short.next().ok()).count(), 2);
    }

    #[test]
    fn widths_are_those_of_the_highest_level() {
        assert_eq!([0, 1, 2, 3, 4].map(level_width), [0, 1, 2, 2, 3]);
    }
}
