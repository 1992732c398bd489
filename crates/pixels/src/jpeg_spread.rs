//! Rows of a component's samples, spread to the width and height of the picture as libjpeg does it.

use multiversion::multiversion;

use crate::strip::Scale;

/// How a component's samples become the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// One for one.
    Whole,
    /// Twice as many columns, three parts of the nearer and one of the next.
    Columns,
    /// Twice as many rows, three parts of the nearer and one of the next.
    Rows,
    /// Both.
    Both,
    /// Each so many times across and down.
    Repeated(usize, usize),
}

impl Spread {
    /// Rows of the picture for one of the component.
    pub(crate) fn down(self) -> usize {
        match self {
            Self::Whole | Self::Columns => 1,
            Self::Rows | Self::Both => 2,
            Self::Repeated(_, down) => down,
        }
    }

    /// Whether the next rows are needed too.
    pub(crate) fn blends_rows(self) -> bool {
        matches!(self, Self::Rows | Self::Both)
    }

    /// Writes one row of the picture from the row that is `near` and the next one; `below` says on which side of `near`
    /// the row lies.
    pub(crate) fn row(self, near: &[u8], next: &[u8], below: bool, scratch: &mut Scratch) {
        let Scratch { sums, wide } = scratch;
        match self {
            Self::Whole => {}
            Self::Columns => {
                sums.clear();
                sums.extend(near.iter().map(|&sample| u16::from(sample)));
                columns(sums, Scale::ONE_PASS, wide);
            }
            Self::Rows => blend(near, next, u16::from(below) + 1, wide),
            Self::Both => {
                weigh(near, next, sums);
                columns(sums, Scale::TWO_PASSES, wide);
            }
            Self::Repeated(across, _) => {
                wide.resize(near.len() * across, 0);
                for (out, sample) in wide.chunks_exact_mut(across).zip(near) {
                    out.fill(*sample);
                }
            }
        }
    }
}

/// One row of a component, being spread.
#[derive(Default)]
pub(crate) struct Scratch {
    sums: Vec<u16>,
    pub(crate) wide: Vec<u8>,
}

#[multiversion(targets("x86_64+avx2+bmi2"))]
fn weigh(near: &[u8], next: &[u8], sums: &mut Vec<u16>) {
    sums.resize(near.len(), 0);
    for (sum, (near, next)) in sums.iter_mut().zip(near.iter().zip(next)) {
        *sum = 3 * u16::from(*near) + u16::from(*next);
    }
}

#[multiversion(targets("x86_64+avx2+bmi2"))]
fn blend(near: &[u8], next: &[u8], round: u16, wide: &mut Vec<u8>) {
    wide.resize(near.len(), 0);
    for (out, (near, next)) in wide.iter_mut().zip(near.iter().zip(next)) {
        let sum = 3 * u16::from(*near) + u16::from(*next) + round;
        *out = (sum >> 2).to_le_bytes()[0];
    }
}

/// Two columns from each, as `strip::spread_columns` does it for eight rows.
#[multiversion(targets("x86_64+avx2+bmi2"))]
fn columns(sums: &[u16], scale: Scale, wide: &mut Vec<u8>) {
    let Scale { shift, round } = scale;
    wide.resize(2 * sums.len(), 0);
    let pairs = wide.as_chunks_mut::<2>().0;
    let blended = |near: u16, far: u16, side: usize| {
        let sum = 3 * near + far + round[side];
        (sum >> shift).to_le_bytes()[0]
    };
    for (pair, window) in pairs[1..].iter_mut().zip(sums.windows(3)) {
        let [before, near, after] = [window[0], window[1], window[2]];
        *pair = [blended(near, before, 0), blended(near, after, 1)];
    }
    let last = sums.len() - 1;
    pairs[0] = [blended(sums[0], sums[0], 0), blended(sums[0], sums[1], 1)];
    pairs[last] = [
        blended(sums[last], sums[last - 1], 0),
        blended(sums[last], sums[last], 1),
    ];
}
