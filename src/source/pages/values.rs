//! The values of a page one by one, whatever their encoding, written one behind the other as PLAIN has them.

use std::{iter::Zip, sync::Arc, vec};

use parquet::{basic::Encoding, errors::ParquetError};

use super::{
    delta, dictionary::LargeDictionary, header::invalid, hybrid::Hybrid, stream::PageStream,
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

    /// Appends the next value.
    pub(super) fn append_next(&mut self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        match self {
            Self::Plain(stream) => {
                let prefix = stream.array::<4>()?;
                out.extend(prefix);
                stream.append(u64::from(u32::from_le_bytes(prefix)), out)
            }
            Self::Fixed(stream, bytes) => stream.append(u64::from(*bytes), out),
            Self::Lengths(stream, lengths) => {
                let length = lengths.next().ok_or_else(too_few)?;
                out.extend(length.to_le_bytes());
                stream.append(u64::from(length), out)
            }
            Self::Prefixes(stream, lengths, last) => {
                let (prefix, suffix) = lengths.next().ok_or_else(too_few)?;
                let prefix = usize::try_from(prefix).unwrap_or(usize::MAX);
                if prefix > last.len() {
                    return Err(invalid("a value that begins as a shorter one before"));
                }
                last.truncate(prefix);
                stream.append(u64::from(suffix), last)?;
                let length = u32::try_from(last.len()).map_err(|_| invalid("a value too long"))?;
                out.extend(length.to_le_bytes());
                out.extend_from_slice(last);
                Ok(())
            }
            Self::Indices(indices, dictionary) => {
                let index = indices.next()?;
                dictionary.append(index, out)
            }
        }
    }
}

fn too_few() -> ParquetError {
    ParquetError::EOF("a page has fewer lengths than values".to_owned())
}
