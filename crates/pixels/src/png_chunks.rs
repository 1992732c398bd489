//! The chunks of a PNG that make its picture, walked as Pillow walks them.

use flate2::Crc;

use crate::fault::Fault;
use crate::probe::Fields;
use crate::spec::Truncated;

/// What is needed to read the picture's rows.
#[derive(Debug, Default)]
pub(crate) struct Chunks<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Bits of a sample.
    pub(crate) bits: u8,
    pub(crate) color: u8,
    pub(crate) is_interlaced: bool,
    pub(crate) palette: &'a [u8],
    pub(crate) transparency: Option<&'a [u8]>,
    /// Whether there is more than one frame, the first of which is the picture.
    is_animated: bool,
    /// Compressed rows, in pieces.
    pub(crate) data: Vec<&'a [u8]>,
}

/// One chunk; its body ends with the file.
struct Chunk<'a> {
    kind: [u8; 4],
    body: &'a [u8],
    is_whole: bool,
    /// Offset of its checksum.
    end: usize,
}

impl<'a> Chunk<'a> {
    /// The chunk at an offset; none where not even its name is there.
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let [a, b, c, d, kind @ ..] = bytes.get(at..)?.first_chunk::<8>()?;
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
        let end = (at + 8).saturating_add(length);
        Some(Self {
            kind: *kind,
            body: &bytes[at + 8..end.min(bytes.len())],
            is_whole: end <= bytes.len(),
            end,
        })
    }

    /// Whether it has a name. Told to fill, Pillow takes any four characters for one.
    fn is_read(&self, truncated: Truncated) -> bool {
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        match truncated {
            Truncated::Drop => self.kind.iter().all(is_letter),
            Truncated::Fill => self.kind.is_ascii(),
        }
    }

    fn name(&self) -> String {
        self.kind.escape_ascii().to_string()
    }

    fn check_sum(&self, bytes: &[u8]) -> Result<(), Fault> {
        let fields = Fields {
            format: "png",
            bytes,
        };
        let mut sum = Crc::new();
        sum.update(&self.kind);
        sum.update(self.body);
        if fields.u32_be(self.end)? == sum.sum() {
            return Ok(());
        }
        let name = self.name();
        Err(Fault::corrupt(format!(
            "png: the checksum of its {name} chunk is wrong"
        )))
    }
}

impl<'a> Chunks<'a> {
    /// # Errors
    ///
    /// `Truncated` or `Corrupt` where Pillow does not open the file, or does not get to its end.
    pub(crate) fn read(bytes: &'a [u8], truncated: Truncated) -> Result<Self, Fault> {
        let cut = || Fault::truncated("png: the file ends before the picture");
        let (mut chunks, mut at) = (Self::default(), 8);
        let mut chunk = loop {
            let chunk = Chunk::at(bytes, at).ok_or_else(cut)?;
            if !chunk.is_read(truncated) {
                return Err(Fault::corrupt("png: a chunk without a name"));
            }
            match &chunk.kind {
                b"IDAT" => break chunk,
                b"IEND" => return Err(Fault::corrupt("png: it ends without a picture")),
                _ if !chunk.is_whole => return Err(cut()),
                b"IHDR" => chunks.take_header(chunk.body)?,
                b"PLTE" => chunks.palette = chunk.body,
                b"tRNS" => chunks.transparency = Some(chunk.body),
                b"fcTL" => chunks.check_frame(chunk.body)?,
                b"acTL" => {
                    // A picture that is no frame counts as one more.
                    chunks.is_animated = !matches!(chunk.body, [0, 0, 0, 0 | 1, ..]);
                }
                _ => {}
            }
            let is_ancillary = chunk.kind[0] & 0x20 != 0;
            if !(is_ancillary && truncated == Truncated::Fill) {
                chunk.check_sum(bytes)?;
            }
            at = chunk.end + 4;
        };
        while chunk.kind == *b"IDAT" {
            chunks.data.push(chunk.body);
            let after = chunk.end.saturating_add(4);
            let Some(next) = Chunk::at(bytes, after) else {
                return check_last(bytes, after, truncated).map(|()| chunks);
            };
            chunk = next;
        }
        chunks.check_tail(bytes, chunk, truncated)?;
        Ok(chunks)
    }

    fn take_header(&mut self, body: &[u8]) -> Result<(), Fault> {
        let fields = Fields {
            format: "png",
            bytes: body,
        };
        let size = |at| {
            fields
                .u32_be(at)
                .map(|edge| usize::try_from(edge).unwrap_or(usize::MAX))
        };
        (self.width, self.height) = (size(0)?, size(4)?);
        let [bits, color, _, filter, interlace] = fields.array(8)?;
        (self.bits, self.color, self.is_interlaced) = (bits, color, interlace != 0);
        let is_known = match color {
            0 => matches!(bits, 1 | 2 | 4 | 8 | 16),
            3 => matches!(bits, 1 | 2 | 4 | 8),
            2 | 4 | 6 => matches!(bits, 8 | 16),
            _ => false,
        };
        match is_known && filter == 0 {
            true => Ok(()),
            false => Err(Fault::corrupt(format!(
                "png: its header says {bits} bits of colour type {color}, which there is not"
            ))),
        }
    }

    /// Looks at what an animation says of its first frame: its number, then its size and place.
    fn check_frame(&self, body: &[u8]) -> Result<(), Fault> {
        let fields = Fields {
            format: "png",
            bytes: body,
        };
        fields.array::<26>(0)?;
        let number = |at| fields.u32_be(at).map(u64::from);
        let fits = |edge: u64, whole: usize| u64::try_from(whole).is_ok_and(|whole| edge <= whole);
        let is_right = number(0)? == 0
            && fits(number(4)? + number(12)?, self.width)
            && fits(number(8)? + number(16)?, self.height);
        match is_right {
            true => Ok(()),
            false => Err(Fault::corrupt(
                "png: the first frame of its animation is not one",
            )),
        }
    }

    /// Looks at what lies behind the picture, up to the next frame: Pillow reads it, and fails where a chunk is cut.
    fn check_tail(
        &self,
        bytes: &[u8],
        first: Chunk<'_>,
        truncated: Truncated,
    ) -> Result<(), Fault> {
        let is_read = |chunk: &Chunk<'_>| {
            let is_end = chunk.kind == *b"IEND" || (self.is_animated && chunk.kind == *b"fcTL");
            chunk.is_read(truncated) && !is_end
        };
        let mut next = Some(first);
        while let Some(chunk) = next.filter(is_read) {
            if !chunk.is_whole {
                let name = chunk.name();
                return Err(Fault::truncated(format!(
                    "png: the file ends within its {name} chunk"
                )));
            }
            let after = chunk.end + 4;
            next = Chunk::at(bytes, after);
            if next.is_none() {
                check_last(bytes, after, truncated)?;
            }
        }
        Ok(())
    }

    /// Samples of a pixel.
    pub(crate) fn channels(&self) -> usize {
        match self.color {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        }
    }
}

/// The last bytes, too few for a chunk. Told to fill, Pillow reads a length of them, and what is not there.
fn check_last(bytes: &[u8], at: usize, truncated: Truncated) -> Result<(), Fault> {
    match bytes.get(at..) {
        Some([a, b, c, d, name @ ..])
            if truncated == Truncated::Fill && [*a, *b, *c, *d] != [0; 4] && name.is_ascii() =>
        {
            Err(Fault::truncated("png: the file ends within a chunk"))
        }
        _ => Ok(()),
    }
}
