//! Rows of coding units on their way from blocks to the resize: chroma is spread to the width of luma and both become
//! RGB.
//!
//! Where chroma has half the rows, each of its rows is blended with the one above and the one below, so a row of units
//! waits until the next is there. Even and odd picture rows then lie in different strips: what differs between them is
//! only which neighbour they are blended with.

use std::ops::Range;

use crate::jpeg_tables::Plan;
use crate::resize::Resampler;
use crate::strip::{Lanes, Scale, Strip, Sums, blend_rows, plain_rows, spread_columns, ycc_to_rgb};

/// The part of a picture that the resize asks for, in coding units.
pub(crate) struct Part {
    pub(crate) across: Range<usize>,
    pub(crate) down: Range<usize>,
    /// Chroma columns from the part's left edge on that are in the picture.
    chroma: usize,
}

impl Part {
    pub(crate) fn new(plan: &Plan, columns: Range<usize>, rows: Range<usize>) -> Self {
        let (luma, units) = (plan.channels[0], plan.units());
        let across = units_of(&columns, luma.across, units.0);
        let chroma = plan.width.div_ceil(luma.across) - 8 * across.start;
        Self {
            chroma: chroma.min(8 * across.len()),
            down: units_of(&rows, luma.down, units.1),
            across,
        }
    }
}

/// Units that hold the samples, with one more chroma sample on both sides where chroma is spread.
fn units_of(samples: &Range<usize>, factor: usize, units: usize) -> Range<usize> {
    let margin = 2 * (factor - 1);
    let end = (samples.end + margin).div_ceil(8 * factor).min(units);
    (samples.start.saturating_sub(margin) / (8 * factor)).min(end)..end
}

/// Samples of one coding unit, blocks by columns.
pub(crate) struct Samples {
    luma: [[Lanes; 8]; 4],
    chroma: [[Lanes; 8]; 2],
}

impl Samples {
    pub(crate) const EMPTY: Self = Self {
        luma: [[[0; 8]; 8]; 4],
        chroma: [[[0; 8]; 8]; 2],
    };

    /// Block `number` of channel `index`.
    #[inline]
    pub(crate) fn block(&mut self, index: usize, number: usize) -> &mut [Lanes; 8] {
        match index {
            0 => &mut self.luma[number],
            _ => &mut self.chroma[index - 1],
        }
    }
}

/// One row of units: luma in one strip, or in one of the even and one of the odd rows.
#[derive(Default)]
struct UnitRow {
    luma: [Vec<Lanes>; 2],
    chroma: [Vec<Lanes>; 2],
    /// Row of the picture that comes first.
    top: usize,
}

/// The row at hand and what the ones before have left.
#[derive(Default)]
pub(crate) struct UnitRows {
    fresh: UnitRow,
    waiting: UnitRow,
    /// Chroma above the row that waits.
    above: [Vec<Lanes>; 2],
    wide: [Vec<Lanes>; 2],
    sums: Sums,
}

impl UnitRows {
    /// Makes room for the units of one row.
    pub(crate) fn begin(&mut self, plan: &Plan, part: &Part, row: usize) {
        let luma = plan.channels[0];
        let columns = 8 * part.across.len();
        // All alike: they change places, and one that has not grown yet would have to do so in a later picture.
        for units in [&mut self.fresh, &mut self.waiting] {
            for strip in &mut units.luma {
                strip.resize(columns * luma.across, [0; 8]);
            }
            for strip in units.chroma.iter_mut().chain(&mut self.above) {
                strip.resize(columns, [0; 8]);
            }
        }
        self.fresh.top = row * 8 * luma.down;
    }

    /// Puts a unit's samples at `column`, counted in units.
    #[inline]
    pub(crate) fn place(&mut self, plan: &Plan, column: usize, samples: &Samples) {
        let luma = plan.channels[0];
        for across in 0..luma.across {
            let left = (column * luma.across + across) * 8;
            let upper = &samples.luma[across];
            let [even, odd] = &mut self.fresh.luma;
            let even = &mut even[left..][..8];
            if luma.down == 1 {
                even.copy_from_slice(upper);
                continue;
            }
            let lower = &samples.luma[luma.across + across];
            let strips = even.iter_mut().zip(&mut odd[left..][..8]);
            for ((even, odd), (upper, lower)) in strips.zip(upper.iter().zip(lower)) {
                [*even, *odd] = by_parity(*upper, *lower);
            }
        }
        let chroma = self.fresh.chroma.iter_mut().zip(&samples.chroma);
        for (strip, block) in chroma.take(plan.count - 1) {
            strip[column * 8..][..8].copy_from_slice(block);
        }
    }

    /// Hands finished rows to the resize.
    pub(crate) fn pass_on(&mut self, plan: &Plan, part: &Part, row: usize, target: &mut Resampler) {
        if plan.channels[0].down == 1 {
            return self.pass_on_directly(plan, part, target);
        }
        if row + 1 == plan.units().1 {
            let rows = plan.height.div_ceil(2) - 8 * row;
            for chroma in &mut self.fresh.chroma {
                repeat_last_row(chroma, rows);
            }
        }
        if row > part.down.start {
            self.finish_waiting(part, row > part.down.start + 1, true, target);
        }
        std::mem::swap(&mut self.above, &mut self.waiting.chroma);
        std::mem::swap(&mut self.waiting, &mut self.fresh);
        if row + 1 == part.down.end {
            self.finish_waiting(part, row > part.down.start, false, target);
        }
    }

    /// Rows that have chroma rows of their own.
    fn pass_on_directly(&mut self, plan: &Plan, part: &Part, target: &mut Resampler) {
        let across = plan.channels[0].across;
        let UnitRow { luma, chroma, top } = &mut self.fresh;
        let luma = &mut luma[0];
        let place = Place {
            left: 8 * across * part.across.start,
            top: *top,
            step: 1,
        };
        if plan.count == 1 {
            return narrow(target, &[luma.as_slice()], place);
        }
        let [blue, red] = if across == 1 {
            chroma
        } else {
            for (chroma, wide) in chroma.iter().zip(&mut self.wide) {
                plain_rows(&chroma[..part.chroma], &mut self.sums);
                wide.resize(luma.len(), [0; 8]);
                spread_columns(&self.sums, Scale::ONE_PASS, wide);
            }
            &mut self.wide
        };
        ycc_to_rgb(luma, blue, red);
        narrow(target, &[luma, blue, red], place);
    }

    /// Rows that have waited for the chroma below them; `above` and `below` say whether there is any.
    fn finish_waiting(&mut self, part: &Part, above: bool, below: bool, target: &mut Resampler) {
        for parity in 0..2 {
            let luma = &mut self.waiting.luma[parity];
            for (index, wide) in self.wide.iter_mut().enumerate() {
                let beyond = match parity {
                    0 => above.then_some(&*self.above[index]),
                    _ => below.then_some(&*self.fresh.chroma[index]),
                };
                let chroma = &self.waiting.chroma[index][..part.chroma];
                blend_rows(chroma, beyond, parity == 1, &mut self.sums);
                wide.resize(luma.len(), [0; 8]);
                spread_columns(&self.sums, Scale::TWO_PASSES, wide);
            }
            let [blue, red] = &mut self.wide;
            ycc_to_rgb(luma, blue, red);
            let place = Place {
                left: 16 * part.across.start,
                top: self.waiting.top + parity,
                step: 2,
            };
            narrow(target, &[luma, blue, red], place);
        }
    }
}

/// Sixteen samples of a column: the even ones, and the odd ones.
#[inline(always)]
fn by_parity(upper: Lanes, lower: Lanes) -> [Lanes; 2] {
    let (upper, lower) = (u64::from_le_bytes(upper), u64::from_le_bytes(lower));
    [0, 8].map(|shift| {
        let packed = [upper, lower].map(|word| {
            let word = (word >> shift) & 0x00ff_00ff_00ff_00ff;
            let word = (word | word >> 8) & 0x0000_ffff_0000_ffff;
            (word | word >> 16) & 0xffff_ffff
        });
        (packed[0] | packed[1] << 32).to_le_bytes()
    })
}

/// Where a strip lies in the picture, and how far apart its rows do.
struct Place {
    left: usize,
    top: usize,
    step: usize,
}

fn narrow(target: &mut Resampler, planes: &[&[Lanes]], place: Place) {
    let Place { left, top, step } = place;
    for (channel, columns) in planes.iter().enumerate() {
        let strip = Strip {
            columns,
            left,
            top,
            step,
        };
        target.narrow(channel, strip);
    }
}

/// Below the picture its last row goes on.
fn repeat_last_row(strip: &mut [Lanes], rows: usize) {
    for lanes in strip {
        let last = lanes[rows.clamp(1, 8) - 1];
        lanes[rows.min(8)..].fill(last);
    }
}
