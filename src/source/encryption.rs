//! Columns that are encrypted while the footer is not: the parquet crate reads over what says so.
//!
//! A footer is a struct in Thrift's compact encoding. Field 4 are its row groups, whose field 1 are the column chunks;
//! field 8 of a chunk is there if it is encrypted.
//! Source: <https://parquet.apache.org/docs/file-format/data-pages/encryption/>.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use parquet::{
    errors::Result,
    file::reader::{ChunkReader, Length},
};

use super::{FrontToBack, ShardBytes};

/// Structs within structs, more than any footer has.
const DEEPEST: u8 = 16;

const ROW_GROUPS: i16 = 4;
const CHUNKS: i16 = 1;
const CRYPTO: i16 = 8;

const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A file that keeps what was read of it last: the footer, once that is read.
pub(super) struct KeepsLast<'a> {
    file: &'a ShardBytes,
    last: Mutex<Bytes>,
}

impl<'a> KeepsLast<'a> {
    pub(super) fn new(file: &'a ShardBytes) -> Self {
        Self {
            file,
            last: Mutex::default(),
        }
    }

    pub(super) fn last(self) -> Bytes {
        self.last
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Length for KeepsLast<'_> {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for KeepsLast<'_> {
    type T = FrontToBack;

    fn get_read(&self, start: u64) -> Result<FrontToBack> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.file.get_bytes(start, length)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = bytes.clone();
        Ok(bytes)
    }
}

/// The first leaf column that is encrypted in any row group of a footer that can be read.
pub(super) fn encrypted_leaf(footer: &[u8]) -> Option<usize> {
    let mut found = None;
    // What the parquet crate has read and this cannot says nothing.
    let _ = Compact(footer).each_field(0, |fields, id, kind| match (id, kind) {
        (ROW_GROUPS, LIST) => fields.each_struct(|group| {
            group.each_field(1, |fields, id, kind| match (id, kind) {
                (CHUNKS, LIST) => {
                    let mut leaf = 0;
                    fields.each_struct(|chunk| {
                        chunk.each_field(2, |fields, id, kind| {
                            if (id, kind) == (CRYPTO, STRUCT) {
                                found.get_or_insert(leaf);
                            }
                            fields.pass(kind, 3)
                        })?;
                        leaf += 1;
                        Some(())
                    })
                }
                _ => fields.pass(kind, 2),
            })
        }),
        _ => fields.pass(kind, 1),
    });
    found
}

/// Thrift's compact encoding; `None` where it ends early or is another one.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Fields of a struct, each with its number and type; `take` reads or passes over its value.
    fn each_field(
        &mut self,
        depth: u8,
        mut take: impl FnMut(&mut Self, i16, u8) -> Option<()>,
    ) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        let mut id: i16 = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => {
                    let zigzag = self.varint()?;
                    let number = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                    i16::try_from(number).ok()?
                }
                step => id.checked_add(i16::from(step))?,
            };
            take(self, id, head & 0x0f)?;
        }
    }

    /// How many members a list has, and their type.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let members = match head >> 4 {
            15 => self.varint()?,
            few => u64::from(few),
        };
        Some((members, head & 0x0f))
    }

    fn each_struct(&mut self, mut take: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let (members, kind) = self.list()?;
        if kind != STRUCT && members > 0 {
            return None;
        }
        (0..members).try_for_each(|_| take(self))
    }

    /// Passes over a value; of a field, whose type says what a flag is.
    fn pass(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.pass_bytes(8),
            8 => {
                let length = self.varint()?;
                self.pass_bytes(length)
            }
            LIST | 10 => {
                let (members, kind) = self.list()?;
                (0..members).try_for_each(|_| self.pass_member(kind, depth))
            }
            11 => {
                let members = self.varint()?;
                let kinds = if members == 0 { 0 } else { self.byte()? };
                (0..members).try_for_each(|_| {
                    self.pass_member(kinds >> 4, depth)?;
                    self.pass_member(kinds & 0x0f, depth)
                })
            }
            STRUCT => {
                let inner = depth + 1;
                self.each_field(inner, |fields, _, kind| fields.pass(kind, inner))
            }
            _ => None,
        }
    }

    /// A flag within a list takes a byte, other than as a field.
    fn pass_member(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            1 | 2 => self.byte().map(drop),
            LIST | 10 | 11 if depth >= DEEPEST => None,
            LIST | 10 | 11 => self.pass(kind, depth + 1),
            other => self.pass(other, depth),
        }
    }

    fn pass_bytes(&mut self, length: u64) -> Option<()> {
        let length = usize::try_from(length).ok()?;
        self.0 = self.0.get(length..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer of a version, a list of row groups, and a row count; each chunk of a group is encrypted or not.
    fn footer(groups: &[&[bool]]) -> Vec<u8> {
        let mut bytes = vec![0x15, 0x02];
        // Field 4 is a list of structs.
        bytes.push(0x39);
        bytes.push(u8::try_from(groups.len() << 4).unwrap() | STRUCT);
        for chunks in groups {
            bytes.push(0x19);
            bytes.push(u8::try_from(chunks.len() << 4).unwrap() | STRUCT);
            for &encrypted in *chunks {
                // A path of two bytes, then an offset.
                bytes.extend([0x18, 2, b'a', b'b', 0x16, 0x10]);
                if encrypted {
                    // Field 8 is a union with an empty struct.
                    bytes.extend([0x6c, 0x1c, 0, 0]);
                }
                bytes.push(0);
            }
            // A total size behind the chunks.
            bytes.extend([0x16, 0x20, 0]);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn the_first_encrypted_column_of_any_row_group_is_found() {
        assert_eq!(encrypted_leaf(&footer(&[&[false, false]])), None);
        assert_eq!(encrypted_leaf(&footer(&[&[false, true, true]])), Some(1));
        let second = footer(&[&[false; 3], &[false, false, true]]);
        assert_eq!(encrypted_leaf(&second), Some(2));
        assert_eq!(encrypted_leaf(&footer(&[])), None);
    }

    #[test]
    fn whatever_the_bytes_are_reading_ends() {
        let whole = footer(&[&[false, true]]);
        for end in 0..whole.len() {
            encrypted_leaf(&whole[..end]);
        }
        for byte in 0..=255 {
            encrypted_leaf(&[byte; 300]);
            for at in 0..whole.len() {
                let mut other = whole.clone();
                other[at] = byte;
                encrypted_leaf(&other);
            }
        }
    }
}
