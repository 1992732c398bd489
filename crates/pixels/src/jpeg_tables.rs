//! What the header of a plain JPEG defines: quantisation, Huffman codes, restart interval. Tables stay from file to
//! file, so that the usual ones are built once.

use crate::jpeg_entropy::{Class, Codes, NATURAL};

const SOS: u8 = 0xda;

/// One component as the frame and the scan describe it together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Channel {
    id: u8,
    pub(crate) across: usize,
    pub(crate) down: usize,
    pub(crate) quantiser: usize,
    pub(crate) dc: usize,
    pub(crate) ac: usize,
}

/// A file of the plain kind: one scan of 8-bit samples, grey or YCbCr.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: [Channel; 3],
    pub(crate) count: usize,
    /// Units between restart markers, none at zero.
    pub(crate) interval: usize,
    /// Offset of the entropy-coded data.
    pub(crate) start: usize,
}

/// Tables by number.
pub(crate) struct Tables {
    pub(crate) quantisers: [[u16; 64]; 4],
    pub(crate) dc: [Box<Codes>; 4],
    pub(crate) ac: [Box<Codes>; 4],
    /// Which tables the file at hand has defined: quantisers, then DC, then AC.
    defined: [[bool; 4]; 3],
}

/// What the markers so far say about colour.
#[derive(Default)]
struct Colour {
    jfif: bool,
    adobe: Option<u8>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            quantisers: [[0; 64]; 4],
            dc: std::array::from_fn(|_| Codes::empty(Class::Dc)),
            ac: std::array::from_fn(|_| Codes::empty(Class::Ac)),
            defined: [[false; 4]; 3],
        }
    }
}

impl Tables {
    /// Reads everything before the entropy-coded data; none for a file that is not of the plain kind.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<Plan> {
        self.defined = [[false; 4]; 3];
        let (mut plan, mut colour) = (Plan::default(), Colour::default());
        let mut at = 2;
        loop {
            let [0xff, kind, high, low] = *bytes.get(at..)?.first_chunk::<4>()? else {
                return None;
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let body = bytes.get(at + 4..end)?;
            match kind {
                0xc0 | 0xc1 if plan.count == 0 => plan.take_frame(body)?,
                0xc4 => self.take_codes(body)?,
                0xdb => self.take_quantisers(body)?,
                0xdd => plan.interval = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
                0xe0 | 0xee => colour.take(kind, body)?,
                0xe1..=0xed | 0xef | 0xfe => {}
                SOS => {
                    plan.take_scan(body)?;
                    plan.start = end;
                    return (colour.is_plain(&plan) && self.has_all(&plan)).then_some(plan);
                }
                _ => return None,
            }
            at = end;
        }
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
            tables.get_mut(number)?.set(counts, rest.get(..length)?)?;
            self.defined[1 + class][number] = true;
            body = &rest[length..];
        }
        body.is_empty().then_some(())
    }

    fn take_quantisers(&mut self, mut body: &[u8]) -> Option<()> {
        // Of 16 bits only where quality is set below what any picture bears.
        while let Some((head, rest)) = body.split_first_chunk::<65>() {
            let [info, steps @ ..] = *head;
            let table = self.quantisers.get_mut(usize::from(info))?;
            for (place, step) in NATURAL.iter().zip(steps) {
                table[usize::from(*place)] = u16::from(step);
            }
            self.defined[0][usize::from(info)] = true;
            body = rest;
        }
        body.is_empty().then_some(())
    }

    fn has_all(&self, plan: &Plan) -> bool {
        let [quantisers, dc, ac] = &self.defined;
        plan.channels[..plan.count]
            .iter()
            .all(|channel| quantisers[channel.quantiser] && dc[channel.dc] && ac[channel.ac])
    }
}

impl Plan {
    /// Coding units across and down.
    pub(crate) fn units(&self) -> (usize, usize) {
        let luma = self.channels[0];
        (
            self.width.div_ceil(8 * luma.across),
            self.height.div_ceil(8 * luma.down),
        )
    }

    fn take_frame(&mut self, body: &[u8]) -> Option<()> {
        let ([bits, h0, h1, w0, w1, count], components) = body.split_first_chunk::<6>()?;
        let components = components.as_chunks::<3>();
        self.height = usize::from(u16::from_be_bytes([*h0, *h1]));
        self.width = usize::from(u16::from_be_bytes([*w0, *w1]));
        self.count = usize::from(*count);
        let sizes = (*bits, self.count, components.0.len(), components.1.len());
        if !matches!(sizes, (8, 1, 1, 0) | (8, 3, 3, 0)) {
            return None;
        }
        for (channel, &[id, sampling, quantiser]) in self.channels.iter_mut().zip(components.0) {
            (channel.id, channel.quantiser) = (id, usize::from(quantiser));
            channel.across = usize::from(sampling >> 4);
            channel.down = usize::from(sampling & 15);
        }
        self.has_known_sampling().then_some(())
    }

    /// Grey, and colour with chroma as wide as the picture or half as wide, at half the height only together with it.
    fn has_known_sampling(&self) -> bool {
        // In a narrower picture libjpeg interpolates chroma in another way.
        const NARROWEST: usize = 16;
        let factors = |channel: &Channel| (channel.across, channel.down);
        let quantisers = self.channels.iter().all(|channel| channel.quantiser < 4);
        let first = factors(&self.channels[0]);
        let rest = &self.channels[1..self.count];
        let full = rest.iter().all(|channel| factors(channel) == (1, 1));
        let known = matches!(first, (1, 1)) || (self.count == 3 && matches!(first, (2, 1 | 2)));
        quantisers && full && known && self.width >= NARROWEST && self.height > 0
    }

    fn take_scan(&mut self, body: &[u8]) -> Option<()> {
        let (&count, rest) = body.split_first()?;
        let (components, band) = rest.split_at_checked(2 * self.count)?;
        if self.count == 0 || usize::from(count) != self.count || band != [0, 63, 0] {
            return None;
        }
        let components = components.as_chunks::<2>().0;
        for (channel, &[id, tables]) in self.channels.iter_mut().zip(components) {
            (channel.dc, channel.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if channel.id != id || channel.dc > 3 || channel.ac > 3 {
                return None;
            }
        }
        Some(())
    }
}

impl Colour {
    fn take(&mut self, kind: u8, body: &[u8]) -> Option<()> {
        match (kind, body) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, rest @ ..]) if rest.len() >= 9 => self.jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', rest @ ..]) if rest.len() >= 7 => {
                self.adobe = Some(rest[6]);
            }
            // Too short to be either; what it is taken for is not decided here.
            (_, [b'J', b'F', b'I', b'F', ..] | [b'A', b'd', b'o', b'b', b'e', ..]) => return None,
            _ => {}
        }
        Some(())
    }

    /// Whether the components are grey, or luma and chroma, as libjpeg decides it.
    fn is_plain(&self, plan: &Plan) -> bool {
        let ids = [0, 1, 2].map(|index: usize| plan.channels[index].id);
        plan.count == 1
            || self.jfif
            || self
                .adobe
                .map_or(ids != *b"RGB", |transform| transform != 0)
    }
}
