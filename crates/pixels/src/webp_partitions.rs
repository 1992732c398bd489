//! Lengths within the lossy pictures of a WebP, before the `image-webp` crate makes room for them.
//!
//! A picture is a header and up to eight partitions of coefficients. Each but the last has a length of its own, of up to
//! 16 MiB, whatever the file has.

use crate::fault::Fault;

/// The frame's tag, start code and size.
const PLAIN_BYTES: usize = 10;

/// Looks at every lossy picture of a file, those of an animation too.
///
/// # Errors
///
/// `Truncated` where a length leads out of its chunk.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let mut at = 12usize;
    while let Some([a, b, c, d, sizes @ ..]) =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        let size = usize::try_from(u32::from_le_bytes(*sizes)).unwrap_or(usize::MAX);
        let start = at + 8;
        let end = start.saturating_add(size);
        match &[*a, *b, *c, *d] {
            b"VP8 " => check_picture(&bytes[start..end.min(bytes.len())])?,
            b"ANMF" => {
                // A frame is a few numbers and chunks of its own.
                at = start + 16;
                continue;
            }
            _ => {}
        }
        at = end.saturating_add(size & 1);
    }
    Ok(())
}

fn check_picture(picture: &[u8]) -> Result<(), Fault> {
    let short = || Fault::truncated("webp: a partition is longer than the picture");
    let &[a, b, c] = picture.first_chunk::<3>().ok_or_else(short)?;
    let header = usize::try_from(u32::from_le_bytes([a, b, c, 0]) >> 5).unwrap_or(usize::MAX);
    let rest = picture.get(PLAIN_BYTES..).ok_or_else(short)?;
    let (header, rest) = rest.split_at_checked(header).ok_or_else(short)?;
    let listed = 3 * (Header::new(header).partitions() - 1);
    let (lengths, mut rest) = rest.split_at_checked(listed).ok_or_else(short)?;
    for length in lengths.chunks_exact(3) {
        let append = |sum: usize, &byte: &u8| (sum << 8) | usize::from(byte);
        let length = length.iter().rev().fold(0, append);
        rest = rest.get(length..).ok_or_else(short)?;
    }
    Ok(())
}

/// The header of a key frame: arithmetic code of bits that are all as likely 0 as 1.
///
/// # Source
///
/// RFC 6386, section 7.3 for the code, 9.2 to 9.5 for the fields.
struct Header<'a> {
    rest: std::slice::Iter<'a, u8>,
    value: u32,
    range: u32,
    shifts: u32,
}

impl<'a> Header<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut header = Self {
            rest: bytes.iter(),
            value: 0,
            range: 255,
            shifts: 0,
        };
        header.value = (header.byte() << 8) | header.byte();
        header
    }

    /// Behind the end all bytes are 0.
    fn byte(&mut self) -> u32 {
        self.rest.next().copied().map_or(0, u32::from)
    }

    fn flag(&mut self) -> bool {
        let split = 1 + (((self.range - 1) * 128) >> 8);
        let set = self.value >= split << 8;
        if set {
            self.range -= split;
            self.value -= split << 8;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.value <<= 1;
            self.range <<= 1;
            self.shifts += 1;
            if self.shifts == 8 {
                self.shifts = 0;
                self.value |= self.byte();
            }
        }
        set
    }

    fn number(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |sum, _| (sum << 1) | u32::from(self.flag()))
    }

    /// Numbers that are each there or not.
    fn skip_optional(&mut self, count: u32, bits: u32) {
        for _ in 0..count {
            if self.flag() {
                self.number(bits);
            }
        }
    }

    /// How many partitions follow.
    fn partitions(mut self) -> usize {
        self.number(2);
        if self.flag() {
            self.skip_segments();
        }
        // The loop filter: its kind, level and sharpness, then changes of the level, each with a sign.
        self.number(1 + 6 + 3);
        if self.flag() && self.flag() {
            self.skip_optional(8, 6 + 1);
        }
        1 << self.number(2)
    }

    fn skip_segments(&mut self) {
        let (has_map, has_data) = (self.flag(), self.flag());
        if has_data {
            self.number(1);
            self.skip_optional(4, 7 + 1);
            self.skip_optional(4, 6 + 1);
        }
        if has_map {
            self.skip_optional(3, 8);
        }
    }
}
