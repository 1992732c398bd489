//! The marker structure of a JPEG file: what the frame declares, where the scans lie, which colour model they hold.

use crate::fault::Fault;
use crate::probe::Fields;

const SOF0: u8 = 0xc0;
const SOF2: u8 = 0xc2;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// One colour component of the frame.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Component {
    pub(crate) across: u8,
    pub(crate) down: u8,
}

/// Everything before the first entropy-coded byte.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) progressive: bool,
    components: [Component; 4],
    count: usize,
    /// Components in the first scan.
    pub(crate) scan_components: u8,
    scan_start: usize,
}

impl Frame {
    /// Reads markers up to the first scan; other applications' segments, comments and junk in between are passed over.
    ///
    /// # Errors
    ///
    /// `Unsupported` for arithmetic, lossless or 12-bit coding; else `Truncated` or `Corrupt`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let fields = Fields {
            format: "jpeg",
            bytes,
        };
        let mut frame = Self::default();
        let mut at = 2;
        loop {
            let marker = fields.array::<2>(at)?;
            let kind = match marker {
                [0xff, 0xff] => {
                    at += 1;
                    continue;
                }
                [0xff, kind] if kind > 1 => kind,
                _ => {
                    at += 1;
                    continue;
                }
            };
            if kind == EOI {
                return Err(Fault::corrupt("jpeg: ends before a scan"));
            }
            if (0xd0..=SOI).contains(&kind) {
                at += 2;
                continue;
            }
            let length = usize::from(fields.u16_be(at + 2)?);
            let end = at + 2 + length;
            if length < 2 {
                return Err(Fault::corrupt("jpeg: segment shorter than its length"));
            }
            if end > bytes.len() {
                return Err(Fault::truncated("jpeg: ends within a header segment"));
            }
            frame.take_segment(kind, fields, at, end)?;
            at = end;
            if kind == SOS {
                frame.scan_start = end;
                return frame.checked();
            }
        }
    }

    fn take_segment(
        &mut self,
        kind: u8,
        fields: Fields<'_>,
        at: usize,
        end: usize,
    ) -> Result<(), Fault> {
        let body = fields.bytes.get(at + 4..end).unwrap_or_default();
        match kind {
            SOF0..=SOF2 => {
                if self.count > 0 {
                    return Err(Fault::corrupt("jpeg: two frames before the first scan"));
                }
                self.progressive = kind == SOF2;
                self.take_frame(body)?;
            }
            0xc3 | 0xc5..=0xcf => {
                return Err(Fault::unsupported(
                    "jpeg: arithmetic, lossless or hierarchical coding",
                ));
            }
            SOS => self.scan_components = body.first().copied().unwrap_or(0),
            _ => {}
        }
        Ok(())
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
            let [_, sampling, _] = fields.array::<3>(6 + 3 * index)?;
            let (across, down) = (sampling >> 4, sampling & 15);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(Fault::corrupt("jpeg: sampling factor out of range"));
            }
            self.components[index] = Component { across, down };
        }
        self.count = usize::from(count);
        Ok(())
    }

    fn checked(self) -> Result<Self, Fault> {
        if self.count == 0 {
            return Err(Fault::corrupt("jpeg: scan without a frame"));
        }
        Ok(self)
    }

    /// Components in the order of the frame.
    pub(crate) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Whether a decoder must hold the coefficients of the whole picture.
    pub(crate) fn is_multi_scan(&self) -> bool {
        self.progressive || usize::from(self.scan_components) != self.count
    }

    /// Offset just before the end marker that closes the picture; none in a file that was cut short.
    fn picture_end(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.scan_start;
        loop {
            at += memchr::memchr(0xff, bytes.get(at..)?)?;
            match *bytes.get(at + 1)? {
                EOI => return Some(at),
                0xff => at += 1,
                0 | 1 | 0xd0..=SOI => at += 2,
                _ => {
                    at += 2 + usize::from(u16::from_be_bytes([
                        *bytes.get(at + 2)?,
                        *bytes.get(at + 3)?,
                    ]))
                }
            }
        }
    }

    /// Refuses a file without an end marker behind its picture, as Pillow does.
    pub(crate) fn check_end(&self, bytes: &[u8]) -> Result<(), Fault> {
        match self.picture_end(bytes) {
            Some(_) => Ok(()),
            None => Err(Fault::truncated(format!(
                "jpeg: no end marker in {} bytes",
                bytes.len()
            ))),
        }
    }
}
