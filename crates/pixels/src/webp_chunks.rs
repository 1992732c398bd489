//! The chunks of a WebP, looked at before its picture is decoded: Pillow opens a file only if all of them are as they
//! must be, of an animation those of every frame.
//!
//! # Source
//!
//! The WebP container specification, and libwebp's `demux.c` for how far it is enforced.

use crate::fault::Fault;

/// Fields of the header of an extended file, of an animation and of its frames.
const HEADER: usize = 10;
const ANIMATION: usize = 6;
const FRAME: usize = 16;

const IS_ANIMATION: u8 = 1 << 1;

/// Largest content of a chunk.
const MAX_CONTENT: usize = 0xffff_fff6;

/// One chunk and what is behind it.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) body: &'a [u8],
    whole: &'a [u8],
    pub(crate) rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The first chunk of `bytes`, an odd one with its padding.
    pub(crate) fn first(bytes: &'a [u8]) -> Result<Self, Fault> {
        let cut = || Fault::truncated("webp: the file ends within a chunk");
        let ([a, b, c, d, size @ ..], rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
        let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
        if size > MAX_CONTENT {
            return Err(Fault::corrupt("webp: a chunk longer than any"));
        }
        let (padded, rest) = rest
            .split_at_checked(size.saturating_add(size % 2))
            .ok_or_else(cut)?;
        Ok(Self {
            kind: [*a, *b, *c, *d],
            body: &padded[..size],
            whole: &bytes[..8 + padded.len()],
            rest,
        })
    }

    fn is_picture(&self) -> bool {
        matches!(&self.kind, b"VP8 " | b"VP8L")
    }
}

/// Width and height.
type Size = (u32, u32);

/// What the header of the whole says.
struct Canvas {
    size: Size,
    is_animation: bool,
}

/// Looks at all chunks of a file; what it is to be decoded from, which is without what lies behind it.
///
/// # Errors
///
/// `Truncated` where the file is shorter than it says, `Corrupt` where a chunk or frame is not as it must be.
pub(crate) fn check(file: &[u8]) -> Result<&[u8], Fault> {
    let cut = || Fault::truncated("webp: the file ends before it says");
    let size: [u8; 4] = file
        .get(4..8)
        .and_then(|size| size.try_into().ok())
        .ok_or_else(cut)?;
    let size = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX);
    if !(8..=MAX_CONTENT).contains(&size) {
        return Err(Fault::corrupt("webp: a length that no file has"));
    }
    let file = file.get(..size + 8).ok_or_else(cut)?;
    let chunks = file.get(12..).ok_or_else(cut)?;
    if !chunks.starts_with(b"VP8X") {
        frame(chunks)?;
        return Ok(file);
    }
    let header = Chunk::first(chunks)?;
    let fields = header.body.first_chunk::<HEADER>();
    let &[flags, _, _, _, a, b, c, d, e, f] =
        fields.ok_or_else(|| Fault::corrupt("webp: a header that is too short"))?;
    let canvas = Canvas {
        size: (
            u32::from_le_bytes([a, b, c, 0]) + 1,
            u32::from_le_bytes([d, e, f, 0]) + 1,
        ),
        is_animation: flags & IS_ANIMATION != 0,
    };
    canvas.check_chunks(header.rest)?;
    Ok(file)
}

impl Canvas {
    fn check_chunks(&self, mut rest: &[u8]) -> Result<(), Fault> {
        let misplaced = || Fault::corrupt("webp: a chunk where it cannot be");
        let (mut animations, mut frames) = (0, 0);
        loop {
            let chunk = Chunk::first(rest)?;
            match &chunk.kind {
                b"VP8X" => return Err(misplaced()),
                b"ALPH" | b"VP8 " | b"VP8L" => {
                    if animations > 0 || self.is_animation || frames > 0 {
                        return Err(misplaced());
                    }
                    let picture = frame(rest)?;
                    if picture.size != self.size {
                        return Err(Fault::corrupt("webp: two different sizes"));
                    }
                    (frames, rest) = (1, picture.rest);
                    if rest.is_empty() {
                        break;
                    }
                    continue;
                }
                b"ANIM" if chunk.body.len() < ANIMATION => return Err(misplaced()),
                b"ANIM" => animations += 1,
                b"ANMF" if animations == 0 => return Err(misplaced()),
                b"ANMF" => {
                    self.check_frame(&chunk)?;
                    frames += 1;
                }
                _ => {}
            }
            rest = chunk.rest;
            if rest.is_empty() {
                break;
            }
        }
        match frames {
            0 => Err(Fault::corrupt("webp: no picture chunk")),
            _ => Ok(()),
        }
    }

    /// One frame of an animation, which lies on the canvas with the size that its picture has.
    fn check_frame(&self, chunk: &Chunk<'_>) -> Result<(), Fault> {
        let wrong = || Fault::corrupt("webp: a frame that is not within its animation");
        let (fields, picture) = chunk.body.split_first_chunk::<FRAME>().ok_or_else(wrong)?;
        let number =
            |at: usize| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], 0]);
        let (left, top) = (2 * number(0), 2 * number(3));
        let (width, height) = frame(picture)?.size;
        match left + width <= self.size.0 && top + height <= self.size.1 {
            true => Ok(()),
            false => Err(wrong()),
        }
    }
}

/// A picture with the alpha that may lie before it.
struct Frame<'a> {
    size: Size,
    rest: &'a [u8],
}

/// The picture that `chunks` begin with.
fn frame(chunks: &[u8]) -> Result<Frame<'_>, Fault> {
    let none = || Fault::corrupt("webp: no picture chunk");
    let first = Chunk::first(chunks)?;
    let (has_alpha, picture) = match &first.kind {
        b"ALPH" => (true, Chunk::first(first.rest)?),
        _ => (false, first),
    };
    if !picture.is_picture() || (has_alpha && picture.kind == *b"VP8L") {
        return Err(none());
    }
    Ok(Frame {
        size: size_of(&picture)?,
        rest: picture.rest,
    })
}

/// Width and height of a picture by its own header.
fn size_of(picture: &Chunk<'_>) -> Result<Size, Fault> {
    let wrong = || Fault::corrupt("webp: the header of its picture is damaged");
    match (&picture.kind, picture.whole) {
        (b"VP8L", [_, _, _, _, _, _, _, _, 0x2f, a, b, c, d, ..]) => {
            let packed = u32::from_le_bytes([*a, *b, *c, *d]);
            match packed >> 29 {
                0 => Ok(((packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1)),
                _ => Err(wrong()),
            }
        }
        (
            b"VP8 ",
            [
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                a,
                b,
                c,
                0x9d,
                1,
                0x2a,
                w0,
                w1,
                h0,
                h1,
                ..,
            ],
        ) => {
            let tag = u32::from_le_bytes([*a, *b, *c, 0]);
            let first_partition = usize::try_from(tag >> 5).unwrap_or(usize::MAX);
            let edge = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high])) & 0x3fff;
            let size = (edge(*w0, *w1), edge(*h0, *h1));
            let is_key = tag & 1 == 0 && (tag >> 1) & 7 <= 3 && (tag >> 4) & 1 == 1;
            match is_key && first_partition < picture.body.len() && size.0 > 0 && size.1 > 0 {
                true => Ok(size),
                false => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}
