//! The scans of any JPEG, read into coefficients: sequential or progressive, of one component or of several.
//!
//! Written by hand because memory must stay within what the header declares and every coefficient must be Pillow's.

use multiversion::multiversion;

use crate::fault::Fault;
use crate::jpeg_bits::Bits;
use crate::jpeg_blocks::{Block, Blocks};
use crate::jpeg_entropy::{Class, Codes, read_block};
use crate::jpeg_progressive::{Band, read_ac, read_dc, refine_ac, refine_dc};
use crate::jpeg_smooth::Known;
use crate::jpeg_stream::{Frame, Scan, ScanComponent, Segment, Segments, is_frame};
use crate::jpeg_tables::Tables;
use crate::spec::Truncated;

/// Scans of a picture; an encoder makes about ten, and each goes over all coefficients again.
const MAX_SCANS: usize = 500;
/// Blocks that a coding unit of several components may have.
const MOST_BLOCKS: usize = 10;

/// What a scan codes of each block.
#[derive(Clone, Copy)]
enum Coding<'t> {
    Sequential([Option<(&'t Codes, &'t Codes)>; 4]),
    FirstDc([Option<&'t Codes>; 4], u32),
    NextDc(u32),
    FirstAc(&'t Codes, Band),
    NextAc(&'t Codes, Band),
}

impl<'t> Coding<'t> {
    /// # Errors
    ///
    /// `Corrupt` for a band that no scan can have, or codes that are not defined.
    fn new(frame: &Frame, scan: &Scan, tables: &'t Tables) -> Result<Self, Fault> {
        let mut components = scan.components().iter();
        if !frame.progressive {
            let mut codes = [None; 4];
            for (place, component) in codes.iter_mut().zip(components) {
                let dc = tables.codes(Class::Dc, component.dc)?;
                *place = Some((dc, tables.codes(Class::Ac, component.ac)?));
            }
            return Ok(Self::Sequential(codes));
        }
        let (first, last) = scan.band;
        let (high, low) = scan.bits;
        let alone = scan.components().len() == 1;
        let is_band = if first == 0 {
            last == 0
        } else {
            first <= last && last < 64 && alone
        };
        if !is_band || low > 13 || (high > 0 && low != high - 1) {
            return Err(Fault::corrupt("jpeg: a scan of coefficients that are none"));
        }
        let low = u32::from(low);
        let band = Band {
            first: u32::from(first),
            last: u32::from(last),
            low,
        };
        match (first, high, components.next()) {
            (0, 0, _) => {
                let mut codes = [None; 4];
                for (place, component) in codes.iter_mut().zip(scan.components()) {
                    *place = Some(tables.codes(Class::Dc, component.dc)?);
                }
                Ok(Self::FirstDc(codes, low))
            }
            (1.., high, Some(component)) => {
                let codes = tables.codes(Class::Ac, component.ac)?;
                Ok(match high {
                    0 => Self::FirstAc(codes, band),
                    _ => Self::NextAc(codes, band),
                })
            }
            _ => Ok(Self::NextDc(low)),
        }
    }
}

/// One scan on its way into coefficients.
///
/// # Source
///
/// libjpeg-turbo's `jdhuff.c`, `jdphuff.c` and `jdmarker.c` for data that ends before its units do: the unit at hand gets
/// zeros for bits, those behind it stay empty, up to the next restart marker.
pub(crate) struct ScanReader<'a, 't> {
    scan: Scan,
    coding: Coding<'t>,
    bits: Bits<'a>,
    interval: usize,
    done: usize,
    before: [i16; 4],
    /// Blocks to come that have nothing in the band.
    ended: u32,
    /// Coding units of several components in a row.
    units: usize,
    truncated: Truncated,
    /// Whether the units at hand are behind the end of the data.
    is_spent: bool,
    /// The last row of coding units that began with data.
    last_good: usize,
}

impl<'a, 't> ScanReader<'a, 't> {
    /// # Errors
    ///
    /// `Corrupt` for a scan that no file can have, or tables that are not defined.
    pub(crate) fn new(
        bytes: &'a [u8],
        frame: &Frame,
        scan: Scan,
        tables: &'t Tables,
    ) -> Result<Self, Fault> {
        let blocks = scan.components().iter().map(|component| {
            let component = &frame.components()[component.index];
            usize::from(component.across) * usize::from(component.down)
        });
        if scan.components().len() > 1 && blocks.sum::<usize>() > MOST_BLOCKS {
            return Err(Fault::corrupt("jpeg: too many blocks in a coding unit"));
        }
        Ok(Self {
            coding: Coding::new(frame, &scan, tables)?,
            bits: Bits::new(bytes.get(scan.start..).unwrap_or_default()),
            interval: tables.interval,
            done: 0,
            before: [0; 4],
            ended: 0,
            units: frame.units().0,
            truncated: Truncated::Drop,
            is_spent: false,
            last_good: 0,
            scan,
        })
    }

    /// The same reader for a file that may end early.
    pub(crate) fn with_truncated(mut self, truncated: Truncated) -> Self {
        self.truncated = truncated;
        self
    }

    /// Whether the file ended before the scan did.
    pub(crate) fn is_cut(&self) -> bool {
        self.bits.is_cut()
    }

    /// Offset in the file behind all that was read.
    pub(crate) fn position(&self) -> usize {
        self.scan.start + self.bits.position()
    }

    /// Reads what the scan has of one row of the picture's coding units.
    ///
    /// # Errors
    ///
    /// `Truncated` where the file ends before, unless it is filled.
    pub(crate) fn read_row(&mut self, row: usize, blocks: &mut Blocks<'_>) -> Result<(), Fault> {
        match *self.scan.components() {
            [component] => read_alone(self, row, component, blocks),
            _ => read_together(self, row, blocks),
        }
        if self.bits.is_cut() && self.truncated == Truncated::Drop {
            return Err(Fault::truncated("jpeg: the file ends within the picture"));
        }
        Ok(())
    }

    #[inline(always)]
    fn read_alone(&mut self, row: usize, component: ScanComponent, blocks: &mut Blocks<'_>) {
        let grid = blocks.grids[component.index];
        for line in row * grid.down..((row + 1) * grid.down).min(grid.high) {
            for block in &mut blocks.row_mut(component.index, line)[..grid.wide] {
                if self.begin_unit(row) {
                    self.read(0, block);
                    self.is_spent = self.bits.is_short();
                }
            }
        }
    }

    #[inline(always)]
    fn read_together(&mut self, row: usize, blocks: &mut Blocks<'_>) {
        let scan = self.scan;
        for unit in 0..self.units {
            if !self.begin_unit(row) {
                continue;
            }
            for (place, component) in scan.components().iter().enumerate() {
                let grid = blocks.grids[component.index];
                for down in 0..grid.down {
                    let line = blocks.row_mut(component.index, row * grid.down + down);
                    for block in &mut line[unit * grid.across..][..grid.across] {
                        self.read(place, block);
                    }
                }
            }
            self.is_spent = self.bits.is_short();
        }
    }

    /// Whether there is data for the next unit.
    #[inline(always)]
    fn begin_unit(&mut self, row: usize) -> bool {
        if !self.is_spent {
            self.last_good = row;
        }
        if self.interval > 0 && self.done > 0 && self.done.is_multiple_of(self.interval) {
            let number = (self.done / self.interval - 1) & 7;
            (self.before, self.ended) = ([0; 4], 0);
            if self.bits.resume(number.to_le_bytes()[0]) {
                self.is_spent = false;
            }
        }
        self.done += 1;
        !self.is_spent
    }

    /// Reads one block of the scan's component `place`.
    #[inline(always)]
    fn read(&mut self, place: usize, block: &mut Block) {
        let before = &mut self.before[place];
        match &self.coding {
            Coding::Sequential(codes) => {
                let Some((dc, ac)) = codes[place] else { return };
                let coefficients = &mut block.coefficients;
                let is_flat = read_block(coefficients, &mut self.bits, dc, ac, before);
                block.coded |= u64::from(!is_flat) << 1;
            }
            Coding::FirstDc(codes, low) => {
                let Some(codes) = codes[place] else { return };
                read_dc(block, &mut self.bits, codes, *low, before);
            }
            Coding::NextDc(low) => refine_dc(block, &mut self.bits, *low),
            Coding::FirstAc(codes, band) => {
                read_ac(block, &mut self.bits, codes, *band, &mut self.ended);
            }
            Coding::NextAc(codes, band) => {
                refine_ac(block, &mut self.bits, codes, *band, &mut self.ended);
            }
        }
    }
}

/// Shifts by a variable are half of the work, and cheaper with these instructions.
#[multiversion(targets("x86_64+avx2+bmi2"))]
fn read_alone(
    reader: &mut ScanReader<'_, '_>,
    row: usize,
    component: ScanComponent,
    blocks: &mut Blocks<'_>,
) {
    reader.read_alone(row, component, blocks);
}

#[multiversion(targets("x86_64+avx2+bmi2"))]
fn read_together(reader: &mut ScanReader<'_, '_>, row: usize, blocks: &mut Blocks<'_>) {
    reader.read_together(row, blocks);
}

/// Reads all scans of a file, the first of which is `scan`, and what is known of the coefficients then.
///
/// # Errors
///
/// As [`ScanReader`], `Unsupported` for more scans than [`MAX_SCANS`], `Truncated` where no end marker comes unless the
/// file is filled: then a segment of which a part is missing is an error still.
pub(crate) fn read_all(
    bytes: &[u8],
    opening: Opening<'_>,
    tables: &mut Tables,
    blocks: &mut Blocks<'_>,
) -> Result<Scans, Fault> {
    let Opening {
        frame,
        mut scan,
        truncated,
    } = opening;
    let (mut known, mut is_cut) = (Known::default(), false);
    for _ in 0..MAX_SCANS {
        known.take(frame, &scan, tables)?;
        let reader = ScanReader::new(bytes, frame, scan, tables)?;
        let mut reader = reader.with_truncated(truncated);
        for row in 0..frame.units().1 {
            reader.read_row(row, blocks)?;
        }
        is_cut |= reader.is_cut();
        known.last_good = reader.last_good;
        let mut segments = Segments::new(bytes, reader.position());
        scan = loop {
            if truncated == Truncated::Fill && segments.is_at_end() {
                known.finish(frame);
                return Ok(Scans {
                    known,
                    is_cut: true,
                });
            }
            match segments.next()? {
                Segment::End => {
                    known.finish(frame);
                    return Ok(Scans { known, is_cut });
                }
                Segment::Scan(body) => break frame.scan(body, segments.at)?,
                Segment::Plain(kind, _) if is_frame(kind) => {
                    return Err(Fault::corrupt("jpeg: two frames"));
                }
                Segment::Plain(kind, body) => tables.take(kind, body)?,
            }
        };
    }
    Err(Fault::unsupported(format!(
        "jpeg: more than {MAX_SCANS} scans"
    )))
}

/// What is known of a file before its first scan is read.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) scan: Scan,
    pub(crate) truncated: Truncated,
}

/// What all scans have told.
pub(crate) struct Scans {
    pub(crate) known: Known,
    /// Whether the file ended before they did.
    pub(crate) is_cut: bool,
}
