//! The JPEG files that nearly all are: sequential, one scan, grey or YCbCr. They are decoded a row of coding units at a
//! time, straight into the resize, so that no picture is ever held, only the columns and rows that the crop keeps leave
//! the frequency domain, and nothing is allocated once the buffers have grown.
//!
//! The arithmetic is libjpeg-turbo's. Any other file, and any damage, is left to the general decoder.

use libjpeg_turbo_rs::simd::{SimdRoutines, detect};

use crate::jpeg_entropy::{Bits, Block};
use crate::jpeg_tables::{Plan, Tables};
use crate::jpeg_units::{Part, Samples, UnitRows};
use crate::resize::Resampler;

/// Decoder of one thread.
pub(crate) struct PlainDecoder {
    tables: Tables,
    routines: SimdRoutines,
    rows: UnitRows,
}

impl Default for PlainDecoder {
    fn default() -> Self {
        Self {
            tables: Tables::default(),
            routines: detect(),
            rows: UnitRows::default(),
        }
    }
}

impl PlainDecoder {
    /// What the file holds, if it is of the plain kind.
    pub(crate) fn plan(&mut self, bytes: &[u8]) -> Option<Plan> {
        self.tables.read(bytes)
    }

    /// Decodes into `target`, which has begun and knows what it needs. After a none it must begin again.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        plan: &Plan,
        target: &mut Resampler,
    ) -> Option<()> {
        let units = plan.units();
        let part = Part::new(plan, target.source_columns(), target.source_rows());
        let mut reader = Bits::new(bytes.get(plan.start..)?);
        let (mut block, mut before, mut done) = (Block::EMPTY, [0i16; 3], 0usize);
        let mut samples = Samples::EMPTY;
        for row in 0..units.1 {
            let row_is_wanted = part.down.contains(&row);
            if row_is_wanted {
                self.rows.begin(plan, &part, row);
            }
            for column in 0..units.0 {
                if plan.interval > 0 && done > 0 && done.is_multiple_of(plan.interval) {
                    let number = (done / plan.interval - 1) & 7;
                    reader.restart(number.to_le_bytes()[0])?;
                    before = [0; 3];
                }
                done += 1;
                let wanted = row_is_wanted && part.across.contains(&column);
                let place = wanted.then_some(&mut samples);
                self.read_unit(&mut reader, plan, (&mut block, &mut before), place)?;
                if wanted {
                    self.rows.place(plan, column - part.across.start, &samples);
                }
            }
            if reader.is_short() {
                return None;
            }
            if row_is_wanted {
                self.rows.pass_on(plan, &part, row, target);
            }
        }
        Some(())
    }

    /// Reads all blocks of one unit, and transforms them where they are wanted.
    #[inline]
    fn read_unit(
        &self,
        reader: &mut Bits<'_>,
        plan: &Plan,
        (block, before): (&mut Block, &mut [i16; 3]),
        mut samples: Option<&mut Samples>,
    ) -> Option<()> {
        for (index, channel) in plan.channels[..plan.count].iter().enumerate() {
            let codes = (&*self.tables.dc[channel.dc], &*self.tables.ac[channel.ac]);
            for number in 0..channel.across * channel.down {
                block.read(reader, codes, &mut before[index])?;
                if let Some(samples) = &mut samples {
                    let out = samples.block(index, number);
                    self.transform(block, &self.tables.quantisers[channel.quantiser], out);
                }
            }
        }
        Some(())
    }

    #[inline]
    fn transform(&self, block: &Block, quantiser: &[u16; 64], out: &mut [u8; 64]) {
        let level = i32::from(block.coefficients[0]) * i32::from(quantiser[0]);
        // Within this range no sum of the transform leaves 16 bits.
        if block.is_flat && level.abs() < 1 << 12 {
            out.fill((((level + 4) >> 3) + 128).clamp(0, 255).to_le_bytes()[0]);
        } else {
            (self.routines.idct_islow)(&block.coefficients, quantiser, out);
        }
    }
}
