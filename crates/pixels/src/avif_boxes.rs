//! The boxes of an AVIF file, and integers within them.

use crate::fault::Fault;

/// The rest of a box, read from the front.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, tail) = self.0.split_at_checked(count).ok_or_else(truncated)?;
        self.0 = tail;
        Ok(head)
    }

    /// A big-endian integer of at most eight bytes; of none it is zero.
    pub(crate) fn uint(&mut self, bytes: usize) -> Result<u64, Fault> {
        let part = self.take(bytes)?;
        Ok(part
            .iter()
            .fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// An integer of four bytes where `wide`, else of two.
    pub(crate) fn number(&mut self, wide: bool) -> Result<u32, Fault> {
        if wide {
            self.u32()
        } else {
            self.u16().map(u32::from)
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let part = self.take(N)?;
        part.try_into().map_err(|_| truncated())
    }

    /// Version and flags of a full box.
    pub(crate) fn version(&mut self) -> Result<(u8, u32), Fault> {
        let [version, a, b, c] = self.array()?;
        Ok((version, u32::from_be_bytes([0, a, b, c])))
    }
}

pub(crate) fn truncated() -> Fault {
    Fault::truncated("avif: ends within its header")
}

/// The boxes that lie one behind the other in a box or file.
pub(crate) struct Boxes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    /// Kind and content. What is too short for a box ends them; a box longer than its parent ends with it.
    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader(self.0);
        let short = reader.u32().ok()?;
        let kind = reader.array().ok()?;
        let mut length = u64::from(short);
        let mut header = 8;
        if short == 1 {
            length = reader.uint(8).ok()?;
            header = 16;
        }
        let whole = u64::try_from(self.0.len()).ok()?;
        // Zero: up to the end.
        let end = if length == 0 {
            whole
        } else {
            length.clamp(header, whole)
        };
        let (header, end) = (usize::try_from(header).ok()?, usize::try_from(end).ok()?);
        let content = self.0.get(header..end)?;
        self.0 = self.0.get(end..)?;
        Some((kind, content))
    }
}

/// The first box of a kind.
pub(crate) fn find<'a>(boxes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(boxes)
        .find(|(found, _)| found == kind)
        .map(|(_, content)| content)
}
