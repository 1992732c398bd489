//! What the scans of a progressive JPEG add to a block: its coefficients' upper bits first, then bit by bit the rest.
//!
//! Data that contradicts itself is read as libjpeg reads it, as in [`crate::jpeg_entropy`].

use crate::jpeg_bits::Bits;
use crate::jpeg_blocks::Block;
use crate::jpeg_entropy::{Codes, END, NATURAL};

/// The coefficients of one scan, in the order in which they are coded, and the bits it leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Band {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) low: u32,
}

/// First bits of the first coefficient.
#[inline(always)]
pub(crate) fn read_dc(
    block: &mut Block,
    reader: &mut Bits<'_>,
    codes: &Codes,
    low: u32,
    before: &mut i16,
) {
    let (_, difference) = codes.next(reader);
    *before = before.wrapping_add(difference);
    block.coefficients[0] = *before << low;
}

/// One more bit of the first coefficient.
#[inline(always)]
pub(crate) fn refine_dc(block: &mut Block, reader: &mut Bits<'_>, low: u32) {
    block.coefficients[0] |= i16::from(reader.bit()) << low;
}

/// First bits of a band; `ended` counts the blocks to come that have nothing in it.
#[inline(always)]
pub(crate) fn read_ac(
    block: &mut Block,
    reader: &mut Bits<'_>,
    codes: &Codes,
    band: Band,
    ended: &mut u32,
) {
    if *ended > 0 {
        *ended -= 1;
        return;
    }
    let mut at = band.first;
    while at <= band.last {
        let (run, value) = codes.next(reader);
        if run >= END {
            *ended = blocks_ended(reader, run) - 1;
            break;
        }
        at += run;
        // None follows a run of sixteen zeros.
        if value != 0 {
            set(block, at.min(63), value << band.low);
        }
        at += 1;
    }
}

/// One more bit of the coefficients that a band has, and the first bit of others.
#[inline(always)]
pub(crate) fn refine_ac(
    block: &mut Block,
    reader: &mut Bits<'_>,
    codes: &Codes,
    band: Band,
    ended: &mut u32,
) {
    let mut at = band.first;
    while *ended == 0 && at <= band.last {
        let (run, value) = codes.next_one(reader);
        if run >= END {
            *ended = blocks_ended(reader, run);
            break;
        }
        at = refine_and_skip(block, reader, at, band, run);
        if value != 0 {
            set(block, at.min(63), value << band.low);
        }
        at += 1;
    }
    if *ended > 0 {
        let mut known = block.coded & (u64::MAX << (at & 63)) & (u64::MAX >> (63 - band.last));
        if at > band.last {
            known = 0;
        }
        while known != 0 {
            refine(coefficient(block, known.trailing_zeros()), reader, band.low);
            known &= known - 1;
        }
        *ended -= 1;
    }
}

/// Refines what is known from `at` on and skips `run` zeros, up to the next one or the end of the band.
#[inline(always)]
fn refine_and_skip(
    block: &mut Block,
    reader: &mut Bits<'_>,
    mut at: u32,
    band: Band,
    mut run: u32,
) -> u32 {
    while at <= band.last {
        let coded = block.coded >> at;
        if coded & 1 == 1 {
            refine(coefficient(block, at), reader, band.low);
            at += 1;
        } else if run == 0 {
            break;
        } else {
            let zeros = coded.trailing_zeros().min(run);
            at += zeros;
            run -= zeros;
        }
    }
    at
}

#[inline(always)]
fn coefficient(block: &mut Block, at: u32) -> &mut i16 {
    &mut block.coefficients[usize::from(NATURAL[at as usize & 63]) & 63]
}

#[inline(always)]
fn set(block: &mut Block, at: u32, value: i16) {
    *coefficient(block, at) = value;
    // A hostile value may have lost all its bits.
    block.coded = block.coded & !(1 << at) | u64::from(value != 0) << at;
}

/// How many blocks a symbol ends, this one included.
#[inline(always)]
fn blocks_ended(reader: &mut Bits<'_>, run: u32) -> u32 {
    match run - END {
        0 => 1,
        bits => (1 << bits) + reader.take(bits),
    }
}

/// Away from zero where the next bit is set.
#[inline(always)]
fn refine(known: &mut i16, reader: &mut Bits<'_>, low: u32) {
    let step = 1 << low;
    if reader.bit() && *known & step == 0 {
        *known = known.wrapping_add(if *known >= 0 { step } else { -step });
    }
}
