//! The protobuf wire format, read with seeks so that weights are stepped over and never loaded.
//!
//! # Source
//! <https://protobuf.dev/programming-guides/encoding/>

use std::io::{BufRead, Seek, SeekFrom};

use crate::error::{Error, Result};

/// Longest name or path that is read; ONNX exporters stay far below.
const MAX_STRING_BYTES: u64 = 64 * 1024;

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// An integer, an enum or a bool.
    Varint(u64),
    /// A message, a string, bytes or a packed list: so many bytes, not read yet.
    Length(u64),
    /// Four or eight bytes that this reader has no use for and has stepped over.
    Fixed,
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The field number.
    pub(super) number: u64,
    /// Where its tag starts in the file.
    pub(super) start: u64,
    /// What follows the tag.
    pub(super) value: Value,
}

/// A position in a protobuf file.
///
/// Whoever receives a [`Value::Length`] reads or skips exactly that many bytes before the next field.
pub(super) struct Wire<R> {
    source: R,
    position: u64,
    length: u64,
}

impl<R: BufRead + Seek> Wire<R> {
    pub(super) fn try_new(mut source: R) -> Result<Self> {
        let length = source.seek(SeekFrom::End(0)).map_err(unreadable)?;
        source.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        Ok(Self {
            source,
            position: 0,
            length,
        })
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where the next byte is.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next field of the message that ends at `end`, none when it is at its end.
    pub(super) fn field(&mut self, end: u64) -> Result<Option<Field>> {
        if self.position >= end {
            return Ok(None);
        }
        let start = self.position;
        let tag = self.varint(end)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint(end)?),
            1 => self.fixed(8, end)?,
            2 => {
                let length = self.varint(end)?;
                self.check(length, end)?;
                Value::Length(length)
            }
            5 => self.fixed(4, end)?,
            _ => return Err(damaged("unknown wire type", start)),
        };
        Ok(Some(Field {
            number: tag >> 3,
            start,
            value,
        }))
    }

    /// Steps over `length` bytes.
    pub(super) fn skip(&mut self, length: u64) -> Result<()> {
        self.check(length, self.length)?;
        let step = i64::try_from(length)
            .map_err(|_| damaged("length over the file's end", self.position))?;
        self.source.seek_relative(step).map_err(unreadable)?;
        self.position += length;
        Ok(())
    }

    /// Steps over what a field holds, if it was not read.
    pub(super) fn skip_value(&mut self, value: Value) -> Result<()> {
        match value {
            Value::Length(length) => self.skip(length),
            Value::Varint(_) | Value::Fixed => Ok(()),
        }
    }

    /// `length` bytes as text.
    pub(super) fn string(&mut self, length: u64) -> Result<String> {
        if length > MAX_STRING_BYTES {
            return Err(damaged("text over the limit", self.position));
        }
        let length =
            usize::try_from(length).map_err(|_| damaged("text over the limit", self.position))?;
        let mut bytes = vec![0; length];
        self.source.read_exact(&mut bytes).map_err(unreadable)?;
        let start = self.position;
        self.position += length as u64;
        String::from_utf8(bytes).map_err(|_| damaged("text that is not UTF-8", start))
    }

    /// Bytes `start..end` of the file, appended to `out`.
    pub(super) fn copy(&mut self, start: u64, end: u64, out: &mut Vec<u8>) -> Result<()> {
        if start > end || end > self.length {
            return Err(damaged("range over the file's end", start));
        }
        if start != self.position {
            self.source
                .seek(SeekFrom::Start(start))
                .map_err(unreadable)?;
        }
        let length = usize::try_from(end - start)
            .map_err(|_| damaged("range over the address space", start))?;
        let old = out.len();
        out.resize(old + length, 0);
        self.source
            .read_exact(&mut out[old..])
            .map_err(unreadable)?;
        self.position = end;
        Ok(())
    }

    fn varint(&mut self, end: u64) -> Result<u64> {
        let start = self.position;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            if self.position >= end {
                return Err(damaged("early end", start));
            }
            let mut byte = [0];
            self.source.read_exact(&mut byte).map_err(unreadable)?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("number over 64 bits", start))
    }

    fn fixed(&mut self, length: u64, end: u64) -> Result<Value> {
        self.check(length, end)?;
        self.skip(length)?;
        Ok(Value::Fixed)
    }

    fn check(&self, length: u64, end: u64) -> Result<()> {
        if length > end.saturating_sub(self.position) {
            return Err(damaged("length over the message's end", self.position));
        }
        Ok(())
    }
}

/// Appends `value` as a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(super) fn damaged(fact: &'static str, position: u64) -> Error {
    Error::model("read the ONNX file: it is damaged or no ONNX file")
        .with("found", fact)
        .with("at byte", position)
        .hint(
            "check that the download of the model finished and that the file is no Git LFS pointer",
        )
}

fn unreadable(error: std::io::Error) -> Error {
    Error::model("read the ONNX file").source(error)
}
