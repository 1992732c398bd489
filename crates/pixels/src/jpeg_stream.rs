//! The marker structure of a JPEG file: what the frame and its scans declare, where they lie, which colours they hold.

use crate::fault::Fault;
use crate::probe::Fields;

const SOF0: u8 = 0xc0;
const SOF2: u8 = 0xc2;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;

/// One colour component of the frame.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Component {
    id: u8,
    pub(crate) across: u8,
    pub(crate) down: u8,
    pub(crate) quantiser: usize,
}

/// What the components of a frame mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Grey,
    Ycc,
    Rgb,
    Cmyk,
    Ycck,
}

/// Everything before the first scan but its tables.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) progressive: bool,
    components: [Component; 4],
    count: usize,
    has_jfif: bool,
    adobe: Option<u8>,
}

/// One scan: which components, which of their coefficients, and which of the latter's bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    components: [ScanComponent; 4],
    count: usize,
    /// First and last coefficient in the order in which they are coded.
    pub(crate) band: (u8, u8),
    /// Bits that the scans before have left out, and bits that this one leaves out.
    pub(crate) bits: (u8, u8),
    /// Offset of the entropy-coded data.
    pub(crate) start: usize,
}

/// A component of a scan, by its number in the frame, and the numbers of its Huffman tables.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScanComponent {
    pub(crate) index: usize,
    pub(crate) dc: usize,
    pub(crate) ac: usize,
}

/// What comes next in a file.
pub(crate) enum Segment<'a> {
    /// A marker's kind and what it holds.
    Plain(u8, &'a [u8]),
    /// The parameters of a scan; its data follows.
    Scan(&'a [u8]),
    End,
}

/// Segments from an offset on; other applications' segments, comments and junk in between are passed over.
pub(crate) struct Segments<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Whether nothing is left, or a marker that has only begun.
    pub(crate) fn is_at_end(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut markers = rest.windows(2);
        !markers.any(|pair| matches!(pair, [0xff, kind] if *kind > 1 && *kind != 0xff))
    }

    /// # Errors
    ///
    /// `Truncated` where no marker comes or its segment is not whole, `Corrupt` where its length cannot be.
    pub(crate) fn next(&mut self) -> Result<Segment<'a>, Fault> {
        let fields = Fields {
            format: "jpeg",
            bytes: self.bytes,
        };
        loop {
            let kind = match fields.array::<2>(self.at)? {
                [0xff, kind] if kind > 1 && kind != 0xff => kind,
                _ => {
                    self.at += 1;
                    continue;
                }
            };
            if kind == EOI {
                return Ok(Segment::End);
            }
            if (0xd0..SOI).contains(&kind) {
                self.at += 2;
                continue;
            }
            if matches!(kind, 2..=0xbf | SOI | 0xde | 0xdf | 0xf0..=0xfd) {
                let message = format!("jpeg: a marker of kind {kind:#04x} where none can be");
                return Err(Fault::corrupt(message));
            }
            let length = usize::from(fields.u16_be(self.at + 2)?);
            if length < 2 {
                return Err(Fault::corrupt("jpeg: segment shorter than its length"));
            }
            let end = self.at + 2 + length;
            let body = self
                .bytes
                .get(self.at + 4..end)
                .ok_or_else(|| Fault::truncated("jpeg: ends within a header segment"))?;
            self.at = end;
            return Ok(match kind {
                SOS => Segment::Scan(body),
                _ => Segment::Plain(kind, body),
            });
        }
    }
}

impl Frame {
    /// Reads markers up to the first scan; `take` gets all that are not the frame's own.
    ///
    /// # Errors
    ///
    /// `Unsupported` for arithmetic, lossless or 12-bit coding; else `Truncated` or `Corrupt`.
    pub(crate) fn parse<'a>(
        bytes: &'a [u8],
        mut take: impl FnMut(u8, &'a [u8]) -> Result<(), Fault>,
    ) -> Result<(Self, Scan), Fault> {
        let mut frame = Self::default();
        let mut segments = Segments::new(bytes, 2);
        loop {
            match segments.next()? {
                Segment::End => return Err(Fault::corrupt("jpeg: ends before a scan")),
                Segment::Scan(_) if frame.count == 0 => {
                    return Err(Fault::corrupt("jpeg: scan without a frame"));
                }
                Segment::Scan(body) => {
                    let scan = frame.scan(body, segments.at)?;
                    return Ok((frame, scan));
                }
                Segment::Plain(kind @ SOF0..=SOF2, body) => {
                    if frame.count > 0 {
                        return Err(Fault::corrupt("jpeg: two frames before the first scan"));
                    }
                    frame.progressive = kind == SOF2;
                    frame.take_frame(body)?;
                }
                Segment::Plain(kind, _) if is_frame(kind) || kind == 0xcc => {
                    return Err(Fault::unsupported(
                        "jpeg: arithmetic, lossless or hierarchical coding",
                    ));
                }
                Segment::Plain(APP0, [b'J', b'F', b'I', b'F', 0, rest @ ..]) if rest.len() >= 9 => {
                    frame.has_jfif = true;
                }
                Segment::Plain(APP14, [b'A', b'd', b'o', b'b', b'e', rest @ ..])
                    if rest.len() >= 7 =>
                {
                    frame.adobe = Some(rest[6]);
                }
                Segment::Plain(kind, body) => take(kind, body)?,
            }
        }
    }

    fn take_frame(&mut self, body: &[u8]) -> Result<(), Fault> {
        let fields = Fields {
            format: "jpeg",
            bytes: body,
        };
        let [bits, h0, h1, w0, w1, count] = fields.array::<6>(0)?;
        if bits != 8 {
            return Err(Fault::unsupported(format!("jpeg: {bits} bits a sample")));
        }
        self.height = u16::from_be_bytes([h0, h1]);
        self.width = u16::from_be_bytes([w0, w1]);
        if !matches!(count, 1 | 3 | 4) {
            return Err(Fault::unsupported(format!("jpeg: {count} components")));
        }
        for index in 0..usize::from(count) {
            let [id, sampling, quantiser] = fields.array::<3>(6 + 3 * index)?;
            let (across, down) = (sampling >> 4, sampling & 15);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(Fault::corrupt("jpeg: sampling factor out of range"));
            }
            self.components[index] = Component {
                id,
                across,
                down,
                quantiser: usize::from(quantiser),
            };
        }
        self.count = usize::from(count);
        Ok(())
    }

    /// The scan whose parameters are `body` and whose data starts at `start`.
    ///
    /// # Errors
    ///
    /// `Corrupt` for components that the frame does not have, or a length that does not fit.
    pub(crate) fn scan(&self, body: &[u8], start: usize) -> Result<Scan, Fault> {
        let wrong = || Fault::corrupt("jpeg: a scan of components that are not there");
        let (&count, rest) = body.split_first().ok_or_else(wrong)?;
        let count = usize::from(count);
        let (named, [first, last, bits]) = rest.split_last_chunk::<3>().ok_or_else(wrong)?;
        if !(1..=4).contains(&count) || named.len() != 2 * count {
            return Err(wrong());
        }
        let mut scan = Scan {
            count,
            band: (*first, *last),
            bits: (bits >> 4, bits & 15),
            start,
            ..Scan::default()
        };
        for (number, &[id, tables]) in named.as_chunks::<2>().0.iter().enumerate() {
            // As libjpeg looks them up: in the order of the frame, also where ids are alike.
            let index = (number..self.count)
                .find(|&index| self.components[index].id == id)
                .ok_or_else(wrong)?;
            if scan.components[..number]
                .iter()
                .any(|other| other.index == index)
            {
                return Err(wrong());
            }
            scan.components[number] = ScanComponent {
                index,
                dc: usize::from(tables >> 4),
                ac: usize::from(tables & 15),
            };
        }
        Ok(scan)
    }

    /// Components in the order of the frame.
    pub(crate) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Largest sampling factors across and down.
    pub(crate) fn sampling(&self) -> (usize, usize) {
        let largest = |pick: fn(&Component) -> u8| {
            usize::from(self.components().iter().map(pick).max().unwrap_or(1))
        };
        (largest(|c| c.across), largest(|c| c.down))
    }

    /// Coding units across and down, where all components are coded together.
    pub(crate) fn units(&self) -> (usize, usize) {
        let (across, down) = self.sampling();
        (
            usize::from(self.width).div_ceil(8 * across),
            usize::from(self.height).div_ceil(8 * down),
        )
    }

    /// Whether a decoder must hold the coefficients of the whole picture.
    pub(crate) fn is_multi_scan(&self, first: &Scan) -> bool {
        self.progressive || first.count != self.count
    }

    /// What the components mean, as libjpeg decides it.
    pub(crate) fn model(&self) -> Model {
        let ids = [0, 1, 2].map(|index: usize| self.components[index].id);
        match (self.count, self.has_jfif, self.adobe) {
            (1, ..) => Model::Grey,
            (4, _, None | Some(0)) => Model::Cmyk,
            (4, ..) => Model::Ycck,
            (_, true, _) => Model::Ycc,
            (_, _, Some(0)) => Model::Rgb,
            (_, _, None) if ids == *b"RGB" => Model::Rgb,
            _ => Model::Ycc,
        }
    }
}

impl Scan {
    /// Components in the order of the scan.
    pub(crate) fn components(&self) -> &[ScanComponent] {
        &self.components[..self.count]
    }
}

/// Whether a marker begins a frame, of this or another kind of JPEG.
pub(crate) fn is_frame(kind: u8) -> bool {
    matches!(kind, SOF0..=0xcf) && !matches!(kind, 0xc4 | 0xcc)
}
