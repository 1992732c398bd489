//! The header of a page: the few fields of it that reading in parts needs, from Thrift's compact encoding.
//!
//! Written by hand because the parquet crate keeps its own to itself.

use std::io::Read;

use parquet::{basic::Encoding, errors::ParquetError};

/// Structs within structs, more than any header has.
const DEEPEST: usize = 8;
/// Fields of a struct, or members of a list, more than any header has.
const MOST_FIELDS: u64 = 256;

/// What stands before a page.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    /// Bytes of the page without its compression, levels included.
    pub(super) uncompressed_bytes: u64,
    /// Bytes of the page as it lies in the file.
    pub(super) stored_bytes: u64,
    /// Bytes of this header.
    pub(super) header_bytes: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum PageKind {
    Dictionary {
        values: u32,
        encoding: Encoding,
        is_sorted: bool,
    },
    /// Levels lie before the values, in the same compressed stream.
    First {
        values: u32,
        encoding: Encoding,
        definition: Encoding,
        repetition: Encoding,
    },
    /// Levels lie before the values, never compressed.
    Second {
        values: u32,
        nulls: u32,
        rows: u32,
        encoding: Encoding,
        definition_bytes: u32,
        repetition_bytes: u32,
        is_compressed: bool,
    },
    /// Passed over.
    Other,
}

impl PageHeader {
    /// Reads from the first byte of a header; of `input` no more than that is taken.
    pub(super) fn read(input: &mut impl Read) -> Result<Self, ParquetError> {
        let mut thrift = Compact { input, taken: 0 };
        let fields = thrift.fields(0)?;
        let size = |id| Ok::<_, ParquetError>(u64::from(fields.natural(id)?));
        Ok(Self {
            kind: kind(&fields)?,
            uncompressed_bytes: size(2)?,
            stored_bytes: size(3)?,
            header_bytes: thrift.taken,
        })
    }
}

fn kind(page: &Fields) -> Result<PageKind, ParquetError> {
    let part = |id| match page.get(id) {
        Some(Value::Struct(fields)) => Ok(fields),
        _ => Err(invalid("a page without its own header")),
    };
    Ok(match page.natural(1)? {
        0 => {
            let own = part(5)?;
            PageKind::First {
                values: own.natural(1)?,
                encoding: own.encoding(2)?,
                definition: own.encoding(3)?,
                repetition: own.encoding(4)?,
            }
        }
        2 => {
            let own = part(7)?;
            PageKind::Dictionary {
                values: own.natural(1)?,
                encoding: own.encoding(2)?,
                is_sorted: own.flag(3).unwrap_or(false),
            }
        }
        3 => {
            let own = part(8)?;
            PageKind::Second {
                values: own.natural(1)?,
                nulls: own.natural(2)?,
                rows: own.natural(3)?,
                encoding: own.encoding(4)?,
                definition_bytes: own.natural(5)?,
                repetition_bytes: own.natural(6)?,
                is_compressed: own.flag(7).unwrap_or(true),
            }
        }
        _ => PageKind::Other,
    })
}

pub(super) fn invalid(what: &str) -> ParquetError {
    ParquetError::General(format!("invalid Parquet: {what}"))
}

/// A struct as far as it is looked at.
#[derive(Debug, Default)]
struct Fields(Vec<(i16, Value)>);

#[derive(Debug)]
enum Value {
    Flag(bool),
    Integer(i64),
    Struct(Fields),
    Other,
}

impl Fields {
    fn get(&self, id: i16) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| *known == id);
        found.map(|(_, value)| value)
    }

    fn natural(&self, id: i16) -> Result<u32, ParquetError> {
        match self.get(id) {
            Some(Value::Integer(number)) => u32::try_from(*number)
                .map_err(|_| invalid("a page header with a number out of range")),
            _ => Err(invalid("a page header without a field that it needs")),
        }
    }

    fn flag(&self, id: i16) -> Option<bool> {
        match self.get(id) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    fn encoding(&self, id: i16) -> Result<Encoding, ParquetError> {
        #[expect(deprecated, reason = "old files have it")]
        let bit_packed = Encoding::BIT_PACKED;
        Ok(match self.natural(id)? {
            0 => Encoding::PLAIN,
            2 => Encoding::PLAIN_DICTIONARY,
            3 => Encoding::RLE,
            4 => bit_packed,
            5 => Encoding::DELTA_BINARY_PACKED,
            6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            7 => Encoding::DELTA_BYTE_ARRAY,
            8 => Encoding::RLE_DICTIONARY,
            9 => Encoding::BYTE_STREAM_SPLIT,
            other => return Err(invalid(&format!("encoding {other} is not known"))),
        })
    }
}

/// Thrift's compact protocol.
struct Compact<'a, R> {
    input: &'a mut R,
    taken: u64,
}

impl<R: Read> Compact<'_, R> {
    fn byte(&mut self) -> Result<u8, ParquetError> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.taken += 1;
        Ok(byte[0])
    }

    fn varint(&mut self) -> Result<u64, ParquetError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(invalid("a number of more than 64 bits"))
    }

    fn integer(&mut self) -> Result<i64, ParquetError> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn pass(&mut self, bytes: u64) -> Result<(), ParquetError> {
        let passed = std::io::copy(&mut self.input.take(bytes), &mut std::io::sink())?;
        self.taken += passed;
        match passed == bytes {
            true => Ok(()),
            false => Err(ParquetError::EOF("a page header ends early".to_owned())),
        }
    }

    fn fields(&mut self, depth: usize) -> Result<Fields, ParquetError> {
        let mut fields = Fields::default();
        let mut id = 0i16;
        for _ in 0..MOST_FIELDS {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(fields);
            }
            id = match i16::from(byte >> 4) {
                0 => i16::try_from(self.integer()?).map_err(|_| invalid("a field's number"))?,
                step => id.wrapping_add(step),
            };
            let value = self.value(byte & 15, depth)?;
            fields.0.push((id, value));
        }
        Err(invalid("a page header with too many fields"))
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value, ParquetError> {
        if depth > DEEPEST {
            return Err(invalid("a page header of too many levels"));
        }
        Ok(match kind {
            1 => Value::Flag(true),
            2 => Value::Flag(false),
            3 => Value::Integer(i64::from(self.byte()?.cast_signed())),
            4..=6 => Value::Integer(self.integer()?),
            7 => self.pass(8).map(|()| Value::Other)?,
            8 => {
                let bytes = self.varint()?;
                self.pass(bytes).map(|()| Value::Other)?
            }
            9 | 10 => self.list(depth)?,
            12 => Value::Struct(self.fields(depth + 1)?),
            _ => return Err(invalid("a page header with a field of an unknown type")),
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, ParquetError> {
        let byte = self.byte()?;
        let members = match byte >> 4 {
            15 => self.varint()?,
            few => u64::from(few),
        };
        if members > MOST_FIELDS {
            return Err(invalid("a page header with a list of too many members"));
        }
        for _ in 0..members {
            match byte & 15 {
                1 | 2 => self.pass(1)?,
                kind => drop(self.value(kind, depth + 1)?),
            }
        }
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first-version page of 7 values, PLAIN with RLE levels, 300 bytes in 200, with statistics to pass over.
    const FIRST: [u8; 24] = [
        0x15, 0, 0x15, 0xd8, 4, 0x15, 0x90, 3, 0x2c, 0x15, 14, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c,
        0x18, 2, 9, 9, 0, 0,
    ];

    #[test]
    fn a_header_is_read_to_its_last_byte_and_no_further() {
        let mut bytes = FIRST.to_vec();
        bytes.extend([0, 1, 2]);
        let mut input = &bytes[..];
        let header = PageHeader::read(&mut input).unwrap();
        let expected = PageKind::First {
            values: 7,
            encoding: Encoding::PLAIN,
            definition: Encoding::RLE,
            repetition: Encoding::RLE,
        };
        assert_eq!(header.kind, expected);
        assert_eq!((header.uncompressed_bytes, header.stored_bytes), (300, 200));
        assert_eq!(header.header_bytes, 25);
        assert_eq!(input, [1, 2]);
    }

    #[test]
    fn what_is_cut_short_or_made_up_is_an_error() {
        for cut in 0..FIRST.len() {
            assert!(PageHeader::read(&mut &FIRST[..cut]).is_err(), "{cut}");
        }
        let nested = [0x1c; 100];
        assert!(PageHeader::read(&mut &nested[..]).is_err());
        let endless = [0xff; 100];
        assert!(PageHeader::read(&mut &endless[..]).is_err());
    }
}
