//! The JPEG files that nearly all are: sequential, one scan, grey or YCbCr. They are decoded a row of coding units at a
//! time, straight into the resize, so that no picture is ever held, only the columns and rows that the crop keeps leave
//! the frequency domain, and nothing is allocated once the buffers have grown.
//!
//! The arithmetic is libjpeg-turbo's. Any other file, and any damage, is left to the general decoder.

use crate::fault::Fault;
use crate::jpeg_entropy::{Bits, Class, Codes, read_block};
use crate::jpeg_idct::inverse;
use crate::jpeg_stream::check_end;
use crate::jpeg_tables::{Channel, Plan, Tables};
use crate::jpeg_units::{Part, Samples, UnitRows};
use crate::resize::Resampler;
use crate::strip::Lanes;

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
    /// As the general decoder for its header and its end.
    pub(crate) fn plan(&mut self, bytes: &[u8]) -> Result<Option<Plan>, Fault> {
        let (frame, scan) = self.tables.read(bytes)?;
        check_end(bytes, &scan)?;
        if frame.is_multi_scan(&scan) {
            return Ok(None);
        }
        Ok(Plan::new(&frame, &scan))
    }

    /// Decodes into `target`, which has begun and knows what it needs. After a none it must begin again.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        plan: &Plan,
        target: &mut Resampler,
    ) -> Option<()> {
        let Self { tables, rows } = self;
        let units = plan.units();
        let part = Part::new(plan, target.source_columns(), target.source_rows());
        let mut reader = UnitReader::new(bytes, plan, tables)?;
        let mut samples = Samples::EMPTY;
        for row in 0..units.1 {
            let row_is_wanted = part.down.contains(&row);
            if row_is_wanted {
                rows.begin(plan, &part, row);
            }
            for column in 0..units.0 {
                let wanted = row_is_wanted && part.across.contains(&column);
                reader.read(wanted.then_some(&mut samples))?;
                if wanted {
                    rows.place(plan, column - part.across.start, &samples);
                }
            }
            if reader.bits.is_short() {
                return None;
            }
            if row_is_wanted {
                rows.pass_on(plan, &part, row, target);
            }
        }
        Some(())
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
    #[inline]
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
                let is_flat = read_block(&mut self.block, &mut self.bits, (dc, ac), before)?;
                self.is_dirty = !is_flat;
                if let Some(samples) = &mut samples {
                    *samples.block(index, number) = transformed(&self.block, steps, is_flat);
                }
            }
        }
        Some(())
    }
}

#[inline]
fn transformed(block: &[i16; 64], steps: &[u16; 64], is_flat: bool) -> [Lanes; 8] {
    let level = i32::from(block[0]) * i32::from(steps[0]);
    // Within this range no sum of the transform leaves 16 bits.
    if is_flat && level.abs() < 1 << 12 {
        return [[(((level + 4) >> 3) + 128).clamp(0, 255).to_le_bytes()[0]; 8]; 8];
    }
    inverse(block, steps, 8)
}
