//! The scans of any JPEG, read into coefficients: sequential or progressive, of one component or of several.
//!
//! Written by hand because memory must stay within what the header declares and every coefficient must be Pillow's.

use multiversion::multiversion;

use crate::fault::Fault;
use crate::jpeg_blocks::{Block, Blocks};
use crate::jpeg_entropy::{Bits, Class, Codes, read_block};
use crate::jpeg_progressive::{Band, read_ac, read_dc, refine_ac, refine_dc};
use crate::jpeg_smooth::Known;
use crate::jpeg_stream::{Frame, Scan, ScanComponent, Segment, Segments};
use crate::jpeg_tables::Tables;

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
            scan,
        })
    }

    /// Offset in the file behind all that was read.
    pub(crate) fn position(&self) -> usize {
        self.scan.start + self.bits.position()
    }

    /// Reads what the scan has of one row of the picture's coding units.
    ///
    /// # Errors
    ///
    /// `Truncated` where the data ends before, `Corrupt` where it contradicts itself.
    pub(crate) fn read_row(&mut self, row: usize, blocks: &mut Blocks<'_>) -> Result<(), Fault> {
        match *self.scan.components() {
            [component] => read_alone(self, row, component, blocks),
            _ => read_together(self, row, blocks),
        }
    }

    #[inline(always)]
    fn read_alone(
        &mut self,
        row: usize,
        component: ScanComponent,
        blocks: &mut Blocks<'_>,
    ) -> Result<(), Fault> {
        let grid = blocks.grids[component.index];
        for row in row * grid.down..((row + 1) * grid.down).min(grid.high) {
            for block in &mut blocks.row_mut(component.index, row)[..grid.wide] {
                self.begin_unit()?;
                let read = self.read(0, block);
                self.end_unit(read)?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn read_together(&mut self, row: usize, blocks: &mut Blocks<'_>) -> Result<(), Fault> {
        let scan = self.scan;
        for unit in 0..self.units {
            self.begin_unit()?;
            let mut read = Some(());
            for (place, component) in scan.components().iter().enumerate() {
                let grid = blocks.grids[component.index];
                for down in 0..grid.down {
                    let line = blocks.row_mut(component.index, row * grid.down + down);
                    for block in &mut line[unit * grid.across..][..grid.across] {
                        read = read.and_then(|()| self.read(place, block));
                    }
                }
            }
            self.end_unit(read)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn begin_unit(&mut self) -> Result<(), Fault> {
        if self.interval > 0 && self.done > 0 && self.done.is_multiple_of(self.interval) {
            let number = (self.done / self.interval - 1) & 7;
            (self.before, self.ended) = ([0; 4], 0);
            self.bits
                .restart(number.to_le_bytes()[0])
                .ok_or_else(|| Fault::corrupt("jpeg: no restart marker where one must be"))?;
        }
        self.done += 1;
        Ok(())
    }

    /// What has ended early or contradicts itself is known here, unit by unit, and nowhere else.
    #[inline(always)]
    fn end_unit(&self, read: Option<()>) -> Result<(), Fault> {
        match read {
            _ if self.bits.is_short() => Err(Fault::truncated("jpeg: picture data ends early")),
            Some(()) => Ok(()),
            None => Err(Fault::corrupt("jpeg: picture data that no code stands for")),
        }
    }

    /// Reads one block of the scan's component `place`.
    #[inline(always)]
    fn read(&mut self, place: usize, block: &mut Block) -> Option<()> {
        let before = &mut self.before[place];
        match &self.coding {
            Coding::Sequential(codes) => {
                let coefficients = &mut block.coefficients;
                let is_flat = read_block(coefficients, &mut self.bits, codes[place]?, before)?;
                block.coded |= u64::from(!is_flat) << 1;
                Some(())
            }
            Coding::FirstDc(codes, low) => {
                read_dc(block, &mut self.bits, (codes[place]?, *low), before)
            }
            Coding::NextDc(low) => {
                refine_dc(block, &mut self.bits, *low);
                Some(())
            }
            Coding::FirstAc(codes, band) => {
                read_ac(block, &mut self.bits, (codes, *band), &mut self.ended)
            }
            Coding::NextAc(codes, band) => {
                refine_ac(block, &mut self.bits, (codes, *band), &mut self.ended)
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
) -> Result<(), Fault> {
    reader.read_alone(row, component, blocks)
}

#[multiversion(targets("x86_64+avx2+bmi2"))]
fn read_together(
    reader: &mut ScanReader<'_, '_>,
    row: usize,
    blocks: &mut Blocks<'_>,
) -> Result<(), Fault> {
    reader.read_together(row, blocks)
}

/// Reads all scans of a file, the first of which is `scan`, and what is known of the coefficients then.
///
/// # Errors
///
/// As [`ScanReader`], `Unsupported` for more scans than [`MAX_SCANS`].
pub(crate) fn read_all(
    bytes: &[u8],
    (frame, mut scan): (&Frame, Scan),
    tables: &mut Tables,
    blocks: &mut Blocks<'_>,
) -> Result<Known, Fault> {
    let mut known = Known::default();
    for _ in 0..MAX_SCANS {
        known.take(frame, &scan, tables)?;
        let mut reader = ScanReader::new(bytes, frame, scan, tables)?;
        for row in 0..frame.units().1 {
            reader.read_row(row, blocks)?;
        }
        let mut segments = Segments::new(bytes, reader.position());
        scan = loop {
            match segments.next()? {
                Segment::End => {
                    known.finish(frame);
                    return Ok(known);
                }
                Segment::Scan(body) => break frame.scan(body, segments.at)?,
                Segment::Plain(0xc0..=0xc2, _) => {
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
