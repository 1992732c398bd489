//! The JPEG files that nearly all are: grey or YCbCr with the usual sampling. They go a row of coding units at a time
//! straight into the resize, so that no picture is ever held, and only the columns and rows that the crop keeps leave
//! the frequency domain. Of a sequential file not even coefficients are held, and nothing is allocated once the buffers
//! have grown.
//!
//! Written by hand because no library hands on rows of coding units, and none but libjpeg-turbo has the arithmetic that
//! Pillow's pixels come from. Any other file is left to the general decoder, and so is the damage of a sequential one.

use std::ops::Range;

use multiversion::multiversion;

use crate::fault::Fault;
use crate::jpeg_bits::Bits;
use crate::jpeg_blocks::{Block, Blocks};
use crate::jpeg_entropy::{Class, Codes, read_block};
use crate::jpeg_idct::inverse_of;
use crate::jpeg_rest::check_rest;
use crate::jpeg_scans::{Opening, read_all};
use crate::jpeg_tables::{Channel, Plan, Tables};
use crate::jpeg_units::{Part, Samples, UnitRows};
use crate::resize::Resampler;
use crate::spec::Truncated;

/// Decoder of one thread.
#[derive(Default)]
pub(crate) struct PlainDecoder {
    pub(crate) tables: Tables,
    rows: UnitRows,
}

impl PlainDecoder {
    /// What the file holds, if it is of the plain kind.
    ///
    /// # Errors
    ///
    /// As the general decoder for its header.
    pub(crate) fn plan(&mut self, bytes: &[u8]) -> Result<Option<Plan>, Fault> {
        let (frame, scan) = self.tables.read(bytes)?;
        Ok(Plan::new(&frame, &scan))
    }

    /// Decodes into `target`, which has begun and knows what it needs. After a none it must begin again.
    ///
    /// # Errors
    ///
    /// As the general decoder for a file of several scans, whose coefficients are held in `blocks`.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        plan: &Plan,
        blocks: &mut Vec<Block>,
        target: &mut Resampler,
    ) -> Result<Option<()>, Fault> {
        if !plan.is_multi_scan {
            return Ok(self.decode_units(bytes, plan, target));
        }
        let (frame, scan) = self.tables.read(bytes)?;
        let mut blocks = Blocks::new(&frame, true, blocks)?;
        let opening = Opening {
            frame: &frame,
            scan,
            truncated: Truncated::Drop,
        };
        let known = read_all(bytes, opening, &mut self.tables, &mut blocks)?.known;
        let part = Part::new(plan, target.source_columns(), target.source_rows());
        let mut samples = Samples::EMPTY;
        for row in part.down.clone() {
            self.rows.begin(plan, &part, row);
            for column in part.across.clone() {
                for (index, channel) in plan.channels[..plan.count].iter().enumerate() {
                    for number in 0..channel.across * channel.down {
                        let across = column * channel.across + number % channel.across;
                        let down = row * channel.down + number / channel.across;
                        *samples.block(index, number) =
                            known.transformed(&blocks, index, down, across, 8);
                    }
                }
                self.rows.place(plan, column - part.across.start, &samples);
            }
            self.rows.pass_on(plan, &part, row, target);
        }
        Ok(Some(()))
    }

    fn decode_units(&mut self, bytes: &[u8], plan: &Plan, target: &mut Resampler) -> Option<()> {
        let Self { tables, rows } = self;
        let units = plan.units();
        let part = Part::new(plan, target.source_columns(), target.source_rows());
        let mut reader = UnitReader::new(bytes, plan, tables)?;
        for row in 0..units.1 {
            let row_is_wanted = part.down.contains(&row);
            if row_is_wanted {
                rows.begin(plan, &part, row);
            }
            let wanted = if row_is_wanted { &part.across } else { &(0..0) };
            read_row(&mut reader, units.0, plan, wanted, rows)?;
            if reader.bits.is_short() || reader.bits.is_cut() {
                return None;
            }
            if row_is_wanted {
                rows.pass_on(plan, &part, row, target);
            }
        }
        let end = plan.start + reader.bits.position();
        check_rest(bytes, end, tables).ok()
    }
}

/// What the blocks of one component are read and transformed with.
#[derive(Clone, Copy)]
struct Coder<'t> {
    dc: &'t Codes,
    ac: &'t Codes,
    steps: &'t [u16; 64],
    /// Blocks of a coding unit.
    blocks: usize,
}

impl<'t> Coder<'t> {
    fn new(channel: &Channel, tables: &'t Tables) -> Option<Self> {
        Some(Self {
            dc: tables.codes(Class::Dc, channel.dc).ok()?,
            ac: tables.codes(Class::Ac, channel.ac).ok()?,
            steps: tables.quantiser(channel.quantiser).ok()?,
            blocks: channel.across * channel.down,
        })
    }
}

/// The coding units of a file in their order.
struct UnitReader<'a, 't> {
    bits: Bits<'a>,
    coders: [Coder<'t>; 3],
    count: usize,
    interval: usize,
    done: usize,
    before: [i16; 3],
    block: [i16; 64],
    /// Whether the block holds more than its first coefficient.
    is_dirty: bool,
}

impl<'a, 't> UnitReader<'a, 't> {
    fn new(bytes: &'a [u8], plan: &Plan, tables: &'t Tables) -> Option<Self> {
        let mut coders = [Coder::new(&plan.channels[0], tables)?; 3];
        for (coder, channel) in coders.iter_mut().zip(&plan.channels[..plan.count]) {
            *coder = Coder::new(channel, tables)?;
        }
        Some(Self {
            bits: Bits::new(bytes.get(plan.start..)?),
            coders,
            count: plan.count,
            interval: tables.interval,
            done: 0,
            before: [0; 3],
            block: [0; 64],
            is_dirty: false,
        })
    }

    /// Reads all blocks of one unit, and transforms them where they are wanted.
    #[inline(always)]
    fn read(&mut self, mut samples: Option<&mut Samples>) -> Option<()> {
        if self.interval > 0 && self.done > 0 && self.done.is_multiple_of(self.interval) {
            let number = (self.done / self.interval - 1) & 7;
            self.bits.restart(number.to_le_bytes()[0])?;
            self.before = [0; 3];
        }
        self.done += 1;
        for index in 0..self.count {
            let Coder {
                dc,
                ac,
                steps,
                blocks,
            } = self.coders[index];
            for number in 0..blocks {
                if self.is_dirty {
                    self.block = [0; 64];
                }
                let before = &mut self.before[index];
                let is_flat = read_block(&mut self.block, &mut self.bits, dc, ac, before);
                self.is_dirty = !is_flat;
                if let Some(samples) = &mut samples {
                    *samples.block(index, number) = inverse_of(&self.block, is_flat, steps, 8);
                }
            }
        }
        Some(())
    }
}

/// Reads a row of coding units; those that are wanted go to `rows`.
///
/// Shifts by a variable are half of the work, and cheaper with these instructions.
#[multiversion(targets("x86_64+avx2+bmi2"))]
fn read_row(
    reader: &mut UnitReader<'_, '_>,
    units: usize,
    plan: &Plan,
    wanted: &Range<usize>,
    rows: &mut UnitRows,
) -> Option<()> {
    let mut samples = Samples::EMPTY;
    for column in 0..units {
        if wanted.contains(&column) {
            reader.read(Some(&mut samples))?;
            rows.place(plan, column - wanted.start, &samples);
        } else {
            reader.read(None)?;
        }
    }
    Some(())
}
