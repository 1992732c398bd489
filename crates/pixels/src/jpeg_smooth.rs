//! What the scans have told of the coefficients, and libjpeg's guess at those they have not.
//!
//! A progressive file may end before its last bits. Pillow's libjpeg then estimates each low frequency that is zero and
//! not known to be so from the means of the 25 blocks around, so that the picture has no visible blocks.
//!
//! # Source
//!
//! The standard's section K.8, over a window of 5 x 5 blocks as libjpeg-turbo has it since 2.1: the weights are its own.

use crate::fault::Fault;
use crate::jpeg_blocks::Blocks;
use crate::jpeg_idct::inverse_of;
use crate::jpeg_stream::{Frame, Scan};
use crate::jpeg_tables::Tables;
use crate::strip::Lanes;

/// Frequencies that are estimated, in the order in which they are coded, and the first one.
const ESTIMATED: usize = 10;
/// Where they lie in a block.
const PLACES: [usize; ESTIMATED] = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24];

/// Weights of the means of a block and its neighbours, row by row, in parts of 256.
type Window = [i32; 25];

/// Where some frequency but the first is known: of frequencies 1 to 5.
#[rustfmt::skip]
const SHARP: [Window; 5] = [
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -7, 50, 0, -50, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, -7, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, -50, 0, 0, 0, 0, 7, 0, 0],
    [0, 0, -1, 0, 0, 0, 0, 13, 0, 0, 0, 0, -24, 0, 0, 0, 0, 13, 0, 0, 0, 0, -1, 0, 0],
    [0, -1, 0, 1, 0, -1, 10, 0, -10, 1, 0, 0, 0, 0, 0, 1, -10, 0, 10, -1, 0, 1, 0, -1, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 13, -24, 13, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

/// Where only the first is known: of all, itself included.
#[rustfmt::skip]
const SOFT: [Window; ESTIMATED] = [
    [-2, -6, -8, -6, -2, -6, 6, 42, 6, -6, -8, 42, 152, 42, -8, -6, 6, 42, 6, -6, -2, -6, -8, -6, -2],
    [-1, -1, 0, 1, 1, -3, 13, 0, -13, 3, -3, 38, 0, -38, 3, -3, 13, 0, -13, 3, -1, -1, 0, 1, 1],
    [-1, -3, -3, -3, -1, -1, 13, 38, 13, -1, 0, 0, 0, 0, 0, 1, -13, -38, -13, 1, 1, 3, 3, 3, 1],
    [0, 0, 1, 0, 0, 0, 2, 7, 2, 0, 0, -5, -14, -5, 0, 0, 2, 7, 2, 0, 0, 0, 1, 0, 0],
    [-1, 0, 0, 0, 1, 0, 9, 0, -9, 0, 0, 0, 0, 0, 0, 0, -9, 0, 9, 0, 1, 0, 0, 0, -1],
    [0, 0, 0, 0, 0, 0, 2, -5, 2, 0, 1, 7, -14, 7, 1, 0, 2, -5, 2, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, 2, 0, -2, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, -3, 1, 0, 0, 0, 0, 0, 0, 0, -1, 3, -1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, -3, 0, 3, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, -1, -2, -1, 0, 0, 0, 0, 0, 0],
];

/// What is known of one component.
#[derive(Clone, Copy)]
struct Component {
    /// Steps at its first scan; zeros before.
    steps: [u16; 64],
    has_steps: bool,
    /// Per estimated frequency, the lower bits not yet read; none where nothing is.
    missing: [Option<u8>; ESTIMATED],
    /// The same before its last scan.
    missing_before: [Option<u8>; ESTIMATED],
}

/// What the scans so far have told.
pub(crate) struct Known {
    components: [Component; 4],
    /// Whether libjpeg would estimate anything.
    is_partial: bool,
    scans: usize,
    /// The last row of coding units of which the last scan had data; those below are as before it.
    pub(crate) last_good: usize,
}

impl Default for Known {
    fn default() -> Self {
        let nothing = Component {
            steps: [0; 64],
            has_steps: false,
            missing: [None; ESTIMATED],
            missing_before: [None; ESTIMATED],
        };
        Self {
            components: [nothing; 4],
            is_partial: false,
            scans: 0,
            last_good: 0,
        }
    }
}

impl Known {
    /// Notes what a scan is about to tell.
    ///
    /// # Errors
    ///
    /// `Corrupt` where a component comes first and its quantisation table is not defined.
    pub(crate) fn take(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        tables: &Tables,
    ) -> Result<(), Fault> {
        self.scans += 1;
        for named in scan.components() {
            let component = &mut self.components[named.index];
            if !component.has_steps {
                component.steps = *tables.quantiser(frame.components()[named.index].quantiser)?;
                component.has_steps = true;
            }
            let (first, last) = scan.band;
            component.missing_before = match self.scans {
                // As if all were known, says libjpeg, until there is a second scan.
                1 => [Some(0); ESTIMATED],
                _ => component.missing,
            };
            for (index, missing) in (0..).zip(&mut component.missing) {
                if (first..=last).contains(&index) {
                    *missing = Some(scan.bits.1);
                }
            }
        }
        Ok(())
    }

    /// Decides, after the last scan, whether anything will be estimated.
    pub(crate) fn finish(&mut self, frame: &Frame) {
        let components = &mut self.components[..frame.components().len()];
        if self.scans < 2 {
            for component in components.iter_mut() {
                component.missing_before = [None; ESTIMATED];
            }
        }
        let estimable = |component: &Component| {
            let steps = PLACES.map(|place| component.steps[place]);
            component.missing[0].is_some() && steps.iter().all(|&step| step > 0)
        };
        self.is_partial = frame.progressive
            && components.iter().all(estimable)
            && components
                .iter()
                .any(|component| component.missing[1..].iter().any(|bits| *bits != Some(0)));
    }

    /// Samples of a block by columns, at an edge of `size`.
    #[inline]
    pub(crate) fn transformed(
        &self,
        blocks: &Blocks<'_>,
        component: usize,
        row: usize,
        column: usize,
        size: usize,
    ) -> [Lanes; 8] {
        let steps = &self.components[component].steps;
        if self.is_partial {
            let block = self.estimated(blocks, component, row, column);
            return inverse_of(&block, false, steps, size);
        }
        let block = &blocks.row(component, row)[column];
        inverse_of(&block.coefficients, block.is_flat(), steps, size)
    }

    /// A block with the estimates in the place of zeros that are not known to be so.
    fn estimated(
        &self,
        blocks: &Blocks<'_>,
        component: usize,
        row: usize,
        column: usize,
    ) -> [i16; 64] {
        let known = &self.components[component];
        let unit = row / blocks.grids[component].down;
        let missing = match unit > self.last_good {
            true => &known.missing_before,
            false => &known.missing,
        };
        let means = means(blocks, component, row, column);
        let mut block = blocks.row(component, row)[column].coefficients;
        let is_soft = missing[1..].iter().all(Option::is_none);
        let windows = if is_soft { &SOFT[1..] } else { &SHARP[..] };
        for (index, window) in (1..).zip(windows) {
            let (place, missing) = (PLACES[index], missing[index]);
            if missing != Some(0) && block[place] == 0 {
                let most = missing.map_or(i64::MAX, |bits| (1 << bits) - 1);
                block[place] = estimate(known, &means, window, place, most);
            }
        }
        if is_soft {
            block[0] = estimate(known, &means, &SOFT[0], 0, i64::MAX);
        }
        block
    }
}

/// A weighted sum in steps of the frequency, rounded away from zero, `most` at most.
fn estimate(known: &Component, means: &[i64; 25], window: &Window, place: usize, most: i64) -> i16 {
    let sum: i64 = means
        .iter()
        .zip(window)
        .map(|(mean, weight)| mean * i64::from(*weight))
        .sum();
    let sum = sum * i64::from(known.steps[0]);
    let step = i64::from(known.steps[place]);
    let size = ((step << 7) + sum.abs()) / (step << 8);
    let [low, high, ..] = (size.min(most) * sum.signum()).to_le_bytes();
    i16::from_le_bytes([low, high])
}

/// First coefficients of a block and its neighbours; at the picture's edges those of the last block go on.
fn means(blocks: &Blocks<'_>, component: usize, row: usize, column: usize) -> [i64; 25] {
    let grid = blocks.grids[component];
    let mut means = [0; 25];
    for (down, line) in means.chunks_exact_mut(5).enumerate() {
        let line_of_blocks = blocks.row(component, grid.neighbour_row(row, down));
        for (across, mean) in line.iter_mut().enumerate() {
            let column = (column + across).saturating_sub(2).min(grid.wide - 1);
            *mean = i64::from(line_of_blocks[column].coefficients[0]);
        }
    }
    means
}
