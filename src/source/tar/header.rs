//! One header of a tar: ustar, as GNU tar and POSIX pax extend it.
//!
//! Nothing is taken on trust: numbers may be larger than the file, names may be anything.

use std::io;

/// Bytes of a header, and what members are padded to.
pub(super) const BLOCK: u64 = 512;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Its own name; a long one stands in a record before it.
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    pub(super) kind: MemberKind,
    /// More headers of a sparse file follow.
    pub(super) is_extended: bool,
}

/// What a header stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Folder,
    Link,
    Device,
    Sparse,
    /// GNU: the name of the next member.
    LongName,
    /// GNU: what the next link leads to.
    LongLink,
    /// pax: facts of the next member.
    Facts,
    /// pax: facts of all members that follow.
    GlobalFacts,
    Other,
}

impl Header {
    /// What `block` says; `None` if it is all zeros, as at the end of a tar.
    ///
    /// # Errors
    /// When its checksum is wrong, or a number is none.
    pub(super) fn of(block: &[u8; 512]) -> io::Result<Option<Self>> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if number(&block[148..156])? != checksum(block) {
            return Err(io::Error::other("a header has the wrong checksum"));
        }
        let mut name = text(&block[..100]).to_vec();
        let prefix = text(&block[345..500]);
        // GNU has other things there.
        if block[257..263] == *b"ustar\0" && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let kind = match block[156] {
            // Before there was a kind of folders.
            0 if name.ends_with(b"/") => MemberKind::Folder,
            b'0' | b'7' | 0 => MemberKind::File,
            b'1' | b'2' => MemberKind::Link,
            b'3' | b'4' | b'6' => MemberKind::Device,
            b'5' => MemberKind::Folder,
            b'S' => MemberKind::Sparse,
            b'L' => MemberKind::LongName,
            b'K' => MemberKind::LongLink,
            b'x' | b'X' => MemberKind::Facts,
            b'g' => MemberKind::GlobalFacts,
            _ => MemberKind::Other,
        };
        // Of these some writers put down the size of what they stand for.
        let has_no_data = matches!(
            kind,
            MemberKind::Folder | MemberKind::Link | MemberKind::Device
        );
        Ok(Some(Self {
            size: if has_no_data {
                0
            } else {
                number(&block[124..136])?
            },
            is_extended: kind == MemberKind::Sparse && block[482] != 0,
            name,
            kind,
        }))
    }
}

/// The part before the first zero.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

fn checksum(block: &[u8; 512]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    sum(&block[..148]) + 8 * u64::from(b' ') + sum(&block[156..])
}

/// A number in octal, or as GNU has large ones.
fn number(field: &[u8]) -> io::Result<u64> {
    let none = || io::Error::other("a header has a number that is none");
    if let Some(first) = field.first().filter(|&&first| first & 0x80 != 0) {
        if *first != 0x80 {
            return Err(none());
        }
        let digits = field[1..].iter();
        return digits
            .copied()
            .try_fold(0u64, |sum, digit| {
                sum.checked_mul(256)?.checked_add(u64::from(digit))
            })
            .ok_or_else(none);
    }
    let digits = text(field).trim_ascii();
    digits
        .iter()
        .try_fold(0u64, |sum, &digit| match digit {
            b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(none)
}

/// What pax says of a member, as far as it matters here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) is_sparse: bool,
}

impl Facts {
    /// Those of a record of lines `LENGTH KEY=VALUE`.
    ///
    /// # Errors
    /// When a line is none.
    pub(super) fn of(mut record: &[u8]) -> io::Result<Self> {
        let damaged = || io::Error::other("a pax record is damaged");
        let mut facts = Self::default();
        while !text(record).is_empty() {
            let space = record.iter().position(|&byte| byte == b' ');
            let space = space.ok_or_else(damaged)?;
            let length = std::str::from_utf8(&record[..space]).ok();
            let length: usize = length.and_then(|it| it.parse().ok()).ok_or_else(damaged)?;
            let line = record.get(space + 1..length).ok_or_else(damaged)?;
            let line = line.strip_suffix(b"\n").ok_or_else(damaged)?;
            let equals = line.iter().position(|&byte| byte == b'=');
            let equals = equals.ok_or_else(damaged)?;
            let (key, value) = (&line[..equals], &line[equals + 1..]);
            match key {
                b"path" => facts.name = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok();
                    facts.size = Some(size.and_then(|it| it.parse().ok()).ok_or_else(damaged)?);
                }
                _ if key.starts_with(b"GNU.sparse.") => facts.is_sparse = true,
                _ => {}
            }
            record = &record[length..];
        }
        Ok(facts)
    }
}
