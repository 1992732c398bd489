//! An AV1 stream up to the end of its first frame: what the sequence header says, and no more than a decoder needs.
//!
//! The decoder sees one sequence header and one frame, whatever else the file holds, so that its memory is bounded by
//! what is read here.

use crate::fault::Fault;

/// How chroma is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chroma {
    None,
    Quarter,
    Half,
    Full,
}

/// What the sequence header says of colour. Numbers are those of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Bits of a sample: 8, 10 or 12.
    pub(crate) depth: u8,
    pub(crate) chroma: Chroma,
    pub(crate) primaries: u16,
    pub(crate) matrix: u16,
    pub(crate) full_range: bool,
    pub(crate) grain: bool,
}

const SEQUENCE: u8 = 1;
const FRAME_HEADER: u8 = 3;
const TILE_GROUP: u8 = 4;
const FRAME: u8 = 6;

/// One unit of the stream: its kind, spatial layer and the bytes with and without its header.
struct Unit<'a> {
    kind: u8,
    layer: u8,
    whole: &'a [u8],
    content: &'a [u8],
}

/// The next unit and what follows it.
fn unit(stream: &[u8]) -> Option<(Unit<'_>, &[u8])> {
    let (&head, mut rest) = stream.split_first()?;
    let mut layer = 0;
    if head & 4 != 0 {
        let (&extension, tail) = rest.split_first()?;
        layer = (extension >> 3) & 3;
        rest = tail;
    }
    let mut length = rest.len();
    if head & 2 != 0 {
        let mut size = 0u64;
        for index in 0..8 {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            size |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                break;
            }
        }
        length = usize::try_from(size).ok()?;
    }
    let (content, tail) = rest.split_at_checked(length)?;
    let whole = stream.get(..stream.len() - tail.len())?;
    let kind = (head >> 3) & 15;
    Some((
        Unit {
            kind,
            layer,
            whole,
            content,
        },
        tail,
    ))
}

/// The first sequence header.
pub(crate) fn sequence(mut stream: &[u8]) -> Result<Sequence, Fault> {
    while let Some((unit, tail)) = unit(stream) {
        if unit.kind == SEQUENCE {
            return Bits {
                bytes: unit.content,
                at: 0,
            }
            .sequence()
            .ok_or_else(|| Fault::corrupt("avif: damaged sequence header"));
        }
        stream = tail;
    }
    Err(Fault::truncated("avif: no sequence header"))
}

/// The sequence header and the first frame, all that a decoder is given.
pub(crate) fn first_frame(mut stream: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut picture = Vec::new();
    let (mut described, mut begun) = (false, false);
    while let Some((unit, tail)) = unit(stream) {
        stream = tail;
        if unit.layer > 0 {
            return Err(Fault::unsupported("avif: layered picture"));
        }
        match unit.kind {
            SEQUENCE if !described => described = true,
            FRAME | FRAME_HEADER if begun => break,
            FRAME | FRAME_HEADER if described => begun = true,
            TILE_GROUP if begun => {}
            _ => continue,
        }
        picture.extend_from_slice(unit.whole);
    }
    if begun {
        Ok(picture)
    } else {
        Err(Fault::truncated("avif: no frame"))
    }
}

/// Bits from the most significant one.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = (byte >> (7 - self.at % 8)) & 1;
            value = (value << 1) | u32::from(bit);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// # Source
    ///
    /// AV1 Bitstream & Decoding Process Specification, 5.5.
    fn sequence(&mut self) -> Option<Sequence> {
        let profile = self.take(3)?;
        self.flag()?;
        let reduced = self.flag()?;
        if reduced {
            self.take(5)?;
        } else {
            self.operating_points()?;
        }
        let (across, down) = (self.take(4)? + 1, self.take(4)? + 1);
        self.take(across)?;
        self.take(down)?;
        if !reduced && self.flag()? {
            self.take(7)?;
        }
        self.take(3)?;
        if !reduced {
            self.tools()?;
        }
        self.take(3)?;
        let mut sequence = self.color(profile)?;
        sequence.grain = self.flag()?;
        Some(sequence)
    }

    fn operating_points(&mut self) -> Option<()> {
        let (mut model, mut delay) = (false, 0);
        if self.flag()? {
            self.take(32)?;
            self.take(32)?;
            if self.flag()? {
                self.skip_exp_golomb()?;
            }
            model = self.flag()?;
            if model {
                delay = self.take(5)? + 1;
                self.take(32)?;
                self.take(10)?;
            }
        }
        let initial_delays = self.flag()?;
        let points = self.take(5)? + 1;
        for _ in 0..points {
            self.take(12)?;
            let level = self.take(5)?;
            if level > 7 {
                self.flag()?;
            }
            if model && self.flag()? {
                self.take(delay)?;
                self.take(delay)?;
                self.flag()?;
            }
            if initial_delays && self.flag()? {
                self.take(4)?;
            }
        }
        Some(())
    }

    fn skip_exp_golomb(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros < 32 {
            self.take(zeros)?;
        }
        Some(())
    }

    /// The choices of prediction between frames.
    fn tools(&mut self) -> Option<()> {
        self.take(4)?;
        let ordered = self.flag()?;
        if ordered {
            self.take(2)?;
        }
        // Chosen frame by frame, or for all of them here.
        let screen = self.flag()? || self.flag()?;
        if screen && !self.flag()? {
            self.flag()?;
        }
        if ordered {
            self.take(3)?;
        }
        Some(())
    }

    fn color(&mut self, profile: u32) -> Option<Sequence> {
        let high = self.flag()?;
        let depth = match high {
            true if profile == 2 && self.flag()? => 12,
            true => 10,
            false => 8,
        };
        let grey = profile != 1 && self.flag()?;
        let (mut primaries, mut transfer, mut matrix) = (2, 2, 2);
        if self.flag()? {
            primaries = u16::try_from(self.take(8)?).ok()?;
            transfer = u16::try_from(self.take(8)?).ok()?;
            matrix = u16::try_from(self.take(8)?).ok()?;
        }
        let mut sequence = Sequence {
            depth,
            chroma: Chroma::Full,
            primaries,
            matrix,
            full_range: true,
            grain: false,
        };
        if grey {
            sequence.full_range = self.flag()?;
            sequence.chroma = Chroma::None;
            return Some(sequence);
        }
        // BT.709, sRGB, identity: RGB as it is.
        if (primaries, transfer, matrix) != (1, 13, 0) {
            sequence.full_range = self.flag()?;
            let (across, down) = match (profile, depth) {
                (0, _) => (true, true),
                (1, _) => (false, false),
                (_, 12) => {
                    let across = self.flag()?;
                    (across, across && self.flag()?)
                }
                _ => (true, false),
            };
            sequence.chroma = match (across, down) {
                (false, _) => Chroma::Full,
                (true, false) => Chroma::Half,
                (true, true) => Chroma::Quarter,
            };
            if across && down {
                self.take(2)?;
            }
        }
        self.flag()?;
        Some(sequence)
    }
}
