//! The values of a page one by one, whatever their encoding, written one behind the other as PLAIN has them.

use std::{iter::Zip, sync::Arc, vec};

use parquet::{basic::Encoding, errors::ParquetError};

use super::{
    buffer::{PartBuffer, Room},
    delta,
    dictionary::LargeDictionary,
    header::invalid,
    hybrid::Hybrid,
    stream::PageStream,
};

/// Values of a page that is open.
pub(super) enum Values {
    /// Each behind its length.
    Plain(PageStream),
    /// Each of as many bytes.
    Fixed(PageStream, u32),
    /// All lengths before all bytes.
    Lengths(PageStream, vec::IntoIter<u32>),
    /// Each begins as the one before.
    Prefixes(
        PageStream,
        Zip<vec::IntoIter<u32>, vec::IntoIter<u32>>,
        Vec<u8>,
    ),
    /// Each stands in a dictionary.
    Indices(Hybrid, Arc<LargeDictionary>),
}

/// How wide the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Bytes of each.
    Fixed(u32),
    /// Each behind its length.
    Variable,
    /// Less than a byte.
    Bits,
}

/// Whether [`Values`] reads an encoding, beside indices.
pub(super) fn is_read(encoding: Encoding, width: Width) -> bool {
    match encoding {
        Encoding::PLAIN => width != Width::Bits,
        Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY => width == Width::Variable,
        _ => false,
    }
}

impl Values {
    /// Values of `stream`, of which at most `most` are there.
    pub(super) fn open(
        mut stream: PageStream,
        encoding: Encoding,
        width: Width,
        most: u32,
    ) -> Result<Self, ParquetError> {
        Ok(match (encoding, width) {
            (Encoding::PLAIN, Width::Variable) => Self::Plain(stream),
            (Encoding::PLAIN, Width::Fixed(bytes)) => Self::Fixed(stream, bytes),
            (Encoding::DELTA_LENGTH_BYTE_ARRAY, _) => {
                let lengths = delta::lengths(&mut stream, most)?;
                Self::Lengths(stream, lengths.into_iter())
            }
            (Encoding::DELTA_BYTE_ARRAY, _) => {
                let prefixes = delta::lengths(&mut stream, most)?;
                let suffixes = delta::lengths(&mut stream, most)?;
                let lengths = prefixes.into_iter().zip(suffixes);
                Self::Prefixes(stream, lengths, Vec::new())
            }
            _ => return Err(invalid("an encoding that is not read in parts")),
        })
    }

    /// Bytes of all that are left, as they will be in parts, where that is known.
    pub(super) fn left(&self) -> Option<usize> {
        match self {
            Self::Plain(stream) | Self::Fixed(stream, _) => usize::try_from(stream.left()).ok(),
            Self::Lengths(..) | Self::Prefixes(..) | Self::Indices(..) => None,
        }
    }

    /// Appends the next value.
    pub(super) fn append_next(&mut self, out: &mut PartBuffer) -> Result<(), ParquetError> {
        match self {
            Self::Plain(stream) => {
                let prefix = stream.array::<4>()?;
                out.push(&prefix)?;
                stream.append(u64::from(u32::from_le_bytes(prefix)), out)
            }
            Self::Fixed(stream, bytes) => stream.append(u64::from(*bytes), out),
            Self::Lengths(stream, lengths) => {
                let length = lengths.next().ok_or_else(too_few)?;
                out.push(&length.to_le_bytes())?;
                stream.append(u64::from(length), out)
            }
            Self::Prefixes(stream, lengths, last) => {
                next_prefixed(stream, lengths, last)?;
                let length = u32::try_from(last.len()).map_err(|_| invalid("a value too long"))?;
                out.push(&length.to_le_bytes())?;
                out.push(last)
            }
            Self::Indices(indices, dictionary) => {
                let index = indices.next()?;
                dictionary.append(index, out)
            }
        }
    }

    /// Passes over the next value and appends one without a byte.
    pub(super) fn pass_next(&mut self, out: &mut PartBuffer) -> Result<(), ParquetError> {
        match self {
            Self::Plain(stream) => {
                let length = u32::from_le_bytes(stream.array()?);
                stream.pass(u64::from(length))?;
            }
            Self::Fixed(stream, bytes) => stream.pass(u64::from(*bytes))?,
            Self::Lengths(stream, lengths) => {
                let length = lengths.next().ok_or_else(too_few)?;
                stream.pass(u64::from(length))?;
            }
            Self::Prefixes(stream, lengths, last) => next_prefixed(stream, lengths, last)?,
            Self::Indices(indices, _) => drop(indices.next()?),
        }
        self.append_nothing(out)
    }

    /// Appends a value without a byte; where all have the same length, one of zeros.
    pub(super) fn append_nothing(&self, out: &mut PartBuffer) -> Result<(), ParquetError> {
        let bytes = match self {
            Self::Fixed(_, bytes) => *bytes as usize,
            _ => 4,
        };
        out.room(bytes)?.fill(0);
        Ok(())
    }
}

/// Makes the next value of the one before it.
fn next_prefixed(
    stream: &mut PageStream,
    lengths: &mut impl Iterator<Item = (u32, u32)>,
    last: &mut Vec<u8>,
) -> Result<(), ParquetError> {
    let (prefix, suffix) = lengths.next().ok_or_else(too_few)?;
    let prefix = usize::try_from(prefix).unwrap_or(usize::MAX);
    if prefix > last.len() {
        return Err(invalid("a value that begins as a shorter one before"));
    }
    last.truncate(prefix);
    stream.append(u64::from(suffix), last)
}

fn too_few() -> ParquetError {
    ParquetError::EOF("a page has fewer lengths than values".to_owned())
}
