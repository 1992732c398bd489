//! The members of a tar, one after the other, each with its whole name and what it is refused for.

use std::io;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::is_unreached;

use super::{
    header::{BLOCK, Facts, Header, MemberKind, text},
    stream::TarStream,
};

/// Larger members are not read.
pub(super) const MOST_MEMBER_BYTES: u64 = 256 << 20;
/// Longer names, and other facts of a member, are not read.
const MOST_RECORD_BYTES: u64 = 64 << 10;
/// Headers of one sparse file, each of 21 pieces.
const MOST_EXTENSIONS: usize = 4096;

/// Why a member is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    Link,
    Device,
    Sparse,
    TooLarge,
    LongName,
    OtherKind,
}

impl Refused {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Refused::Link => "are links",
            Refused::Device => "are devices or pipes",
            Refused::Sparse => "are sparse files",
            Refused::TooLarge => "have more than 256 MiB",
            Refused::LongName => "have names or facts of more than 64 KiB",
            Refused::OtherKind => "are of a kind that is not known",
        }
    }
}

/// A member; folders are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    /// Where its headers begin.
    pub(super) header: u64,
    /// Where its bytes begin.
    pub(super) data: u64,
    pub(super) size: u64,
    pub(super) refused: Option<Refused>,
}

/// Where what stands at `end` is followed by something.
pub(super) fn padded(end: u64) -> u64 {
    end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)
}

/// The name of the member that some headers stand before.
pub(super) fn name_in(headers: Bytes) -> Option<Vec<u8>> {
    let member = Members::of(TarStream::held(headers)).next();
    Some(member.ok()??.name)
}

/// Walks over the members of a tar.
pub(super) struct Members {
    stream: TarStream,
    next: u64,
    headers: Sha256,
    /// Zeros stand behind the last member, as they should.
    pub(super) is_ended: bool,
}

impl Members {
    pub(super) fn of(stream: TarStream) -> Self {
        Self {
            stream,
            next: 0,
            headers: Sha256::new(),
            is_ended: false,
        }
    }

    /// The next member; its bytes may be read next.
    ///
    /// # Errors
    /// When the tar is damaged, cut off, or cannot be read. The position is in the text.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let at = self.next;
        self.find_next().map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it ends within a member".to_owned(),
                _ => error.to_string(),
            };
            match is_unreached(&error) {
                true => error,
                false => io::Error::other(format!("{what}, behind byte {at}")),
            }
        })
    }

    fn find_next(&mut self) -> io::Result<Option<Member>> {
        let mut header_at = self.next;
        let mut named = Facts::default();
        let mut refused = None;
        loop {
            self.stream.skip_to(self.next)?;
            let Some(header) = self.header()? else {
                self.stream.finish()?;
                return Ok(None);
            };
            let data = self.stream.position();
            let is_record = matches!(
                header.kind,
                MemberKind::LongName | MemberKind::LongLink | MemberKind::Facts
            );
            let size = match named.size {
                Some(size) if !is_record => size,
                _ => header.size,
            };
            let record_bytes = size.min(MOST_RECORD_BYTES);
            match header.kind {
                _ if is_record && size > MOST_RECORD_BYTES => {
                    refused = Some(Refused::LongName);
                }
                MemberKind::LongName => {
                    let name = self.exactly(record_bytes)?;
                    named.name = Some(text(&name).to_vec());
                }
                MemberKind::Facts => {
                    let facts = Facts::of(&self.exactly(record_bytes)?)?;
                    named = Facts {
                        name: facts.name.or(named.name),
                        ..facts
                    };
                }
                _ => {}
            }
            self.next = padded(data.saturating_add(size));
            match header.kind {
                _ if is_record => continue,
                MemberKind::GlobalFacts | MemberKind::Folder => {
                    header_at = self.next;
                    (named, refused) = (Facts::default(), None);
                    continue;
                }
                _ => {}
            }
            let kind = match header.kind {
                MemberKind::Link => Some(Refused::Link),
                MemberKind::Device => Some(Refused::Device),
                MemberKind::Sparse => Some(Refused::Sparse),
                MemberKind::File if named.is_sparse => Some(Refused::Sparse),
                MemberKind::File if size > MOST_MEMBER_BYTES => Some(Refused::TooLarge),
                MemberKind::File => None,
                _ => Some(Refused::OtherKind),
            };
            let end = data.saturating_add(size);
            if let TarStream::Plain(_) = self.stream {
                // Said where it is: a size is believed only if the file has it.
                let back = self.stream.position();
                self.stream.skip_to(end)?;
                self.stream.skip_to(back)?;
            }
            return Ok(Some(Member {
                name: named.name.unwrap_or(header.name),
                header: header_at,
                data,
                size,
                refused: refused.or(kind),
            }));
        }
    }

    /// All bytes of the member that [`Members::next`] has just given.
    pub(super) fn bytes(&mut self, member: &Member) -> io::Result<Bytes> {
        self.exactly(member.size)
    }

    /// What tells its headers from those of another tar.
    pub(super) fn seal(self) -> impl AsRef<[u8]> {
        self.headers.finalize()
    }

    /// The header here; `None` at the end of the tar.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        let header = Header::of(&block)?;
        self.is_ended = header.is_none();
        self.headers.update(block);
        if header.as_ref().is_some_and(|header| header.is_extended) {
            let mut left = MOST_EXTENSIONS;
            while self.block()?.is_some_and(|block| block[504] != 0) {
                left -= 1;
                if left == 0 {
                    return Err(io::Error::other("a sparse file has too many pieces"));
                }
            }
        }
        Ok(header)
    }

    fn block(&mut self) -> io::Result<Option<[u8; 512]>> {
        let bytes = self.stream.read(BLOCK)?;
        match <[u8; 512]>::try_from(&bytes[..]) {
            Ok(block) => Ok(Some(block)),
            Err(_) if bytes.is_empty() => Ok(None),
            Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn exactly(&mut self, length: u64) -> io::Result<Bytes> {
        let bytes = self.stream.read(length)?;
        match bytes.len() as u64 == length {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
