//! What the header of a JPEG defines besides its frame: quantisation, Huffman codes, restart interval. Tables stay from
//! file to file, so that the usual ones are built once.

use crate::fault::Fault;
use crate::jpeg_entropy::{Class, Codes, NATURAL};
use crate::jpeg_standard as standard;
use crate::jpeg_stream::{Frame, Model, Scan};

/// Tables by number.
pub(crate) struct Tables {
    quantisers: [[u16; 64]; 4],
    dc: [Box<Codes>; 4],
    ac: [Box<Codes>; 4],
    /// Units between restart markers, none at zero.
    pub(crate) interval: usize,
    /// Which tables the file at hand has defined: quantisers, then DC, then AC.
    defined: [[bool; 4]; 3],
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            quantisers: [[0; 64]; 4],
            dc: std::array::from_fn(|_| Codes::empty(Class::Dc)),
            ac: std::array::from_fn(|_| Codes::empty(Class::Ac)),
            interval: 0,
            defined: [[false; 4]; 3],
        }
    }
}

impl Tables {
    /// Reads everything before the entropy-coded data.
    ///
    /// # Errors
    ///
    /// As [`Frame::parse`], and `Corrupt` for a table that contradicts its segment.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(Frame, Scan), Fault> {
        self.interval = 0;
        self.defined = [[false; 4]; 3];
        let (frame, scan) = Frame::parse(bytes, |kind, body| self.take(kind, body))?;
        if !frame.progressive {
            self.complete();
        }
        Ok((frame, scan))
    }

    /// Takes a segment, if it is of tables.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a table that contradicts its segment.
    pub(crate) fn take(&mut self, kind: u8, body: &[u8]) -> Result<(), Fault> {
        let taken = match kind {
            0xc4 => self.take_codes(body),
            0xdb => self.take_quantisers(body),
            0xdd => body.try_into().ok().map(|interval| {
                self.interval = usize::from(u16::from_be_bytes(interval));
            }),
            _ => Some(()),
        };
        taken.ok_or_else(|| Fault::corrupt("jpeg: tables that contradict their segment"))
    }

    fn take_codes(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((head, rest)) = body.split_first_chunk::<17>() {
            let [info, counts @ ..] = *head;
            let length = counts.iter().map(|&count| usize::from(count)).sum();
            let (class, number) = (usize::from(info >> 4), usize::from(info & 15));
            let tables = match class {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            let symbols = rest.get(..length).filter(|symbols| symbols.len() <= 256)?;
            tables.get_mut(number)?.set(counts, symbols);
            self.defined[1 + class][number] = true;
            body = &rest[length..];
        }
        body.is_empty().then_some(())
    }

    fn take_quantisers(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = body.split_first() {
            let number = usize::from(info & 15);
            let table = self.quantisers.get_mut(number)?;
            let width = if info >> 4 == 0 { 1 } else { 2 };
            let (steps, rest) = rest.split_at_checked(64 * width)?;
            for (place, step) in NATURAL.iter().zip(steps.chunks_exact(width)) {
                table[usize::from(*place)] = match *step {
                    [high, low] => u16::from_be_bytes([high, low]),
                    [step, ..] => u16::from(step),
                    [] => return None,
                };
            }
            self.defined[0][number] = true;
            body = rest;
        }
        Some(())
    }

    /// Installs the tables that a sequential file may leave out.
    fn complete(&mut self) {
        for number in 0..2 {
            if !self.defined[1][number] {
                let (counts, symbols) = standard::DC[number];
                self.dc[number].set(counts, symbols);
                self.defined[1][number] = true;
            }
            if !self.defined[2][number] {
                let (counts, symbols) = standard::AC[number];
                self.ac[number].set(counts, symbols);
                self.defined[2][number] = true;
            }
        }
    }

    /// # Errors
    ///
    /// `Corrupt` where the file has not defined it.
    pub(crate) fn quantiser(&self, number: usize) -> Result<&[u16; 64], Fault> {
        let table = self
            .quantisers
            .get(number)
            .filter(|_| self.defined[0][number]);
        table.ok_or_else(|| Fault::corrupt("jpeg: no such quantisation table"))
    }

    /// The codes of class `class` with a number.
    ///
    /// # Errors
    ///
    /// `Corrupt` where the file has not defined them, or not as a prefix code.
    pub(crate) fn codes(&self, class: Class, number: usize) -> Result<&Codes, Fault> {
        let (tables, row) = match class {
            Class::Dc => (&self.dc, 1),
            Class::Ac => (&self.ac, 2),
        };
        let table = tables.get(number).filter(|_| self.defined[row][number]);
        table
            .filter(|codes| codes.is_sound)
            .map(|codes| &**codes)
            .ok_or_else(|| Fault::corrupt("jpeg: no such Huffman table"))
    }
}

/// One component as the frame and the scan describe it together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Channel {
    pub(crate) across: usize,
    pub(crate) down: usize,
    pub(crate) quantiser: usize,
    pub(crate) dc: usize,
    pub(crate) ac: usize,
}

/// A file of the plain kind: grey or YCbCr, with chroma as the fast way spreads it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: [Channel; 3],
    pub(crate) count: usize,
    /// Whether the coefficients are spread over several scans.
    pub(crate) is_multi_scan: bool,
    /// Offset of the entropy-coded data.
    pub(crate) start: usize,
}

impl Plan {
    /// None for a file that is not of the plain kind.
    pub(crate) fn new(frame: &Frame, scan: &Scan) -> Option<Self> {
        let components = frame.components();
        let mut plan = Self {
            width: usize::from(frame.width),
            height: usize::from(frame.height),
            count: components.len(),
            is_multi_scan: frame.is_multi_scan(scan),
            start: scan.start,
            ..Self::default()
        };
        for (channel, component) in plan.channels.iter_mut().zip(components) {
            channel.across = usize::from(component.across);
            channel.down = usize::from(component.down);
            channel.quantiser = component.quantiser;
        }
        if plan.count == 1 {
            // Relative to itself; its blocks come one by one in any case.
            (plan.channels[0].across, plan.channels[0].down) = (1, 1);
        }
        for component in scan.components() {
            let channel = plan.channels.get_mut(component.index)?;
            (channel.dc, channel.ac) = (component.dc, component.ac);
        }
        let known = matches!(frame.model(), Model::Grey | Model::Ycc) && plan.has_known_sampling();
        known.then_some(plan)
    }

    /// Coding units across and down.
    pub(crate) fn units(&self) -> (usize, usize) {
        let luma = self.channels[0];
        (
            self.width.div_ceil(8 * luma.across),
            self.height.div_ceil(8 * luma.down),
        )
    }

    /// Grey, and colour with chroma as wide as the picture or half as wide, at half the height only together with it.
    fn has_known_sampling(&self) -> bool {
        // In a narrower picture libjpeg interpolates chroma in another way.
        const NARROWEST: usize = 16;
        let factors = |channel: &Channel| (channel.across, channel.down);
        let first = factors(&self.channels[0]);
        let rest = &self.channels[1..self.count];
        let full = rest.iter().all(|channel| factors(channel) == (1, 1));
        let known = matches!(first, (1, 1)) || (self.count == 3 && matches!(first, (2, 1 | 2)));
        full && known && self.width >= NARROWEST && self.height > 0
    }
}
