//! Snappy and LZ4 blocks, decompressed as a stream.
//!
//! Written by hand because the kept crates decompress a block of these formats only as a whole, and a block may be a
//! page of a gigabyte. Both look back at most 64 KiB: LZ4 by its format, Snappy by what its encoders do; a Snappy block
//! that looks back further is kept whole.

use std::io::{self, BufRead, Read};

/// How far a copy reaches back.
const WINDOW: usize = 1 << 16;
/// Made at a time.
const STEP: usize = 1 << 16;

/// Which of the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Snappy,
    Lz4,
}

/// Reads what a block holds.
#[derive(Debug)]
pub(super) struct Block<R> {
    input: R,
    format: Format,
    out: Vec<u8>,
    /// Position in `out` of the first byte that was not given away.
    taken: usize,
    element: Element,
    /// Further than [`WINDOW`] is looked back: everything is kept.
    keeps_all: bool,
    is_begun: bool,
}

#[derive(Debug, Clone, Copy)]
enum Element {
    None,
    /// Bytes to take as they are; then, of LZ4, a copy whose length has begun.
    Literal {
        left: u64,
        copy: Option<u8>,
    },
    Copy {
        distance: usize,
        left: u64,
    },
    End,
}

impl<R: BufRead> Block<R> {
    /// `keeps_all` is for a block that was found to look back further than usual.
    pub(super) fn new(input: R, format: Format, keeps_all: bool) -> Self {
        Self {
            input,
            format,
            out: Vec::new(),
            taken: 0,
            element: Element::None,
            keeps_all,
            is_begun: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if !self.is_begun && self.format == Format::Snappy {
            // The length of what is held; a page's header has said it.
            self.varint()?;
        }
        self.is_begun = true;
        if !self.keeps_all && self.taken > 4 * WINDOW {
            self.out.drain(..self.taken - WINDOW);
            self.taken = WINDOW;
        }
        while self.out.len() - self.taken < STEP {
            match self.element {
                Element::None => self.element = self.next_element()?,
                Element::Literal { left: 0, copy } => {
                    self.element = match copy {
                        Some(nibble) => self.lz4_copy(nibble)?,
                        None => Element::None,
                    }
                }
                Element::Literal { left, copy } => {
                    let there = self.input.fill_buf()?;
                    let room = STEP.min(usize::try_from(left).unwrap_or(STEP));
                    let len = there.len().min(room);
                    if len == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.out.extend_from_slice(&there[..len]);
                    self.input.consume(len);
                    let left = left - len as u64;
                    self.element = Element::Literal { left, copy };
                }
                Element::Copy { left: 0, .. } => self.element = Element::None,
                Element::Copy { distance, left } => {
                    let len = STEP.min(usize::try_from(left).unwrap_or(STEP));
                    self.copy(distance, len);
                    let left = left - len as u64;
                    self.element = Element::Copy { distance, left };
                }
                Element::End => break,
            }
        }
        Ok(())
    }

    /// Appends `len` bytes from `distance` back, which may overlap what is appended.
    fn copy(&mut self, distance: usize, len: usize) {
        let mut left = len;
        while left > 0 {
            let from = self.out.len() - distance;
            let part = left.min(distance);
            self.out.extend_from_within(from..from + part);
            left -= part;
        }
    }

    fn next_element(&mut self) -> io::Result<Element> {
        let Some(tag) = self.byte_if_any()? else {
            return Ok(Element::End);
        };
        match self.format {
            Format::Snappy => self.snappy_element(tag),
            Format::Lz4 => {
                let left = self.lz4_length(u64::from(tag >> 4))?;
                let copy = Some(tag & 15);
                Ok(Element::Literal { left, copy })
            }
        }
    }

    fn snappy_element(&mut self, tag: u8) -> io::Result<Element> {
        let upper = u64::from(tag >> 2);
        let (distance, left) = match tag & 3 {
            0 => {
                let left = match upper {
                    60.. => self.little(usize::from(tag >> 2) - 59)? + 1,
                    short => short + 1,
                };
                return Ok(Element::Literal { left, copy: None });
            }
            1 => (((upper >> 3) << 8) | self.little(1)?, (upper & 7) + 4),
            2 => (self.little(2)?, upper + 1),
            _ => (self.little(4)?, upper + 1),
        };
        self.checked_copy(distance, left)
    }

    /// The copy behind LZ4's literals; none behind the last ones.
    fn lz4_copy(&mut self, nibble: u8) -> io::Result<Element> {
        let Some(low) = self.byte_if_any()? else {
            return Ok(Element::End);
        };
        let distance = u64::from(low) | (self.little(1)? << 8);
        let left = self.lz4_length(u64::from(nibble))? + 4;
        self.checked_copy(distance, left)
    }

    fn checked_copy(&self, distance: u64, left: u64) -> io::Result<Element> {
        let distance = usize::try_from(distance).unwrap_or(usize::MAX);
        if distance > 0 && distance <= self.out.len() {
            return Ok(Element::Copy { distance, left });
        }
        let kind = match self.keeps_all || distance <= WINDOW {
            true => io::ErrorKind::InvalidData,
            // Whoever reads begins again and keeps all.
            false => io::ErrorKind::Unsupported,
        };
        Err(io::Error::new(
            kind,
            "a copy from before the start of a block",
        ))
    }

    fn lz4_length(&mut self, nibble: u64) -> io::Result<u64> {
        let mut length = nibble;
        if nibble == 15 {
            loop {
                let byte = self.little(1)?;
                length = length.saturating_add(byte);
                if byte != 255 {
                    break;
                }
            }
        }
        Ok(length)
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.little(1)?;
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn little(&mut self, bytes: usize) -> io::Result<u64> {
        let mut word = [0; 8];
        self.input.read_exact(&mut word[..bytes])?;
        Ok(u64::from_le_bytes(word))
    }

    fn byte_if_any(&mut self) -> io::Result<Option<u8>> {
        let first = self.input.fill_buf()?.first().copied();
        if first.is_some() {
            self.input.consume(1);
        }
        Ok(first)
    }
}

impl<R: BufRead> BufRead for Block<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.out.len() {
            self.fill()?;
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, len: usize) {
        self.taken = (self.taken + len).min(self.out.len());
    }
}

impl<R: BufRead> Read for Block<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        self.consume(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that repeat near and far, with noise between.
    fn text(len: usize) -> Vec<u8> {
        let mut state = 7u32;
        let mut out = Vec::new();
        while out.len() < len {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 29 {
                0..4 if out.len() > 50_000 => {
                    let from = out.len() - 40_000;
                    out.extend_from_within(from..from + 3_000);
                }
                4 => out.extend([9; 700]),
                _ => out.extend(state.to_le_bytes()),
            }
        }
        out
    }

    fn read_all(bytes: &[u8], format: Format, keeps_all: bool) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Block::new(bytes, format, keeps_all).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn blocks_of_the_kept_crates_come_back() {
        for len in [0, 1, 13, 100_000, 1_500_000] {
            let text = text(len);
            let snappy = snap::raw::Encoder::new().compress_vec(&text).unwrap();
            assert_eq!(read_all(&snappy, Format::Snappy, false).unwrap(), text);
            let lz4 = lz4_flex::block::compress(&text);
            assert_eq!(read_all(&lz4, Format::Lz4, false).unwrap(), text);
        }
    }

    #[test]
    fn a_far_copy_is_read_when_all_is_kept() {
        // 600,000 zeros as one literal, then four bytes from the very start.
        let mut block = vec![0xc4, 0xcf, 0x24, 62 << 2, 0xbf, 0x27, 0x09];
        block.extend(vec![0; 600_000]);
        block.extend([(3 << 2) | 3, 0xc0, 0x27, 0x09, 0]);
        let error = read_all(&block, Format::Snappy, false)
            .map(drop)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(read_all(&block, Format::Snappy, true).unwrap() == vec![0; 600_004]);
    }

    #[test]
    fn damaged_blocks_are_errors_or_other_bytes() {
        let text = text(20_000);
        let snappy = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        let lz4 = lz4_flex::block::compress(&text);
        for (block, format) in [(snappy, Format::Snappy), (lz4, Format::Lz4)] {
            for at in (0..block.len()).step_by(7) {
                let mut damaged = block.clone();
                damaged[at] ^= 0x55;
                let mut bounded = Block::new(&damaged[..], format, false).take(1 << 20);
                let _ = bounded.read_to_end(&mut Vec::new());
            }
            assert!(
                read_all(&block[..block.len() / 2], format, false)
                    .is_ok_and(|half| half.len() < 20_000)
                    || read_all(&block[..block.len() / 2], format, false).is_err()
            );
        }
    }
}
