//! Strips: eight rows of a plane, kept column by column, so that a weighted sum of columns is a sum of short vectors.

use multiversion::multiversion;

/// Eight samples of one column, or of one row of a block.
pub(crate) type Lanes = [u8; 8];

/// One plane's samples of eight rows.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a> {
    /// The columns from `left` on.
    pub(crate) columns: &'a [Lanes],
    /// Column of the picture that comes first.
    pub(crate) left: usize,
    /// Row of the picture in the first lane.
    pub(crate) top: usize,
    /// Rows from one lane to the next.
    pub(crate) step: usize,
}

/// Rows to columns and back.
#[inline]
pub(crate) fn transpose(block: [Lanes; 8]) -> [Lanes; 8] {
    let mut words = block.map(u64::from_le_bytes);
    for (distance, shift, mask) in [
        (4, 32, 0x0000_0000_ffff_ffff),
        (2, 16, 0x0000_ffff_0000_ffff),
        (1, 8, 0x00ff_00ff_00ff_00ff),
    ] {
        for first in (0..8).filter(|row| row & distance == 0) {
            let second = first + distance;
            let swapped = ((words[first] >> shift) ^ words[second]) & mask;
            words[second] ^= swapped;
            words[first] ^= swapped << shift;
        }
    }
    words.map(u64::to_le_bytes)
}

/// Eight rows of RGB, fewer at the bottom of a picture, to three strips of their columns.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn strips_of_rgb(rows: &[&[u8]], strips: &mut [Vec<Lanes>; 3]) {
    let columns = rows.first().map_or(0, |row| row.len() / 3);
    for strip in &mut *strips {
        strip.resize(columns.next_multiple_of(8), [0; 8]);
    }
    for group in 0..columns.div_ceil(8) {
        let mut blocks = [[[0; 8]; 8]; 3];
        for (lane, row) in rows.iter().enumerate().take(8) {
            let mut pixels = [0; 24];
            let part = &row[group * 24..];
            if let Some(whole) = part.first_chunk::<24>() {
                pixels = *whole;
            } else {
                pixels[..part.len()].copy_from_slice(part);
            }
            for (channel, block) in blocks.iter_mut().enumerate() {
                block[lane] = std::array::from_fn(|x| pixels[3 * x + channel]);
            }
        }
        for (strip, block) in strips.iter_mut().zip(blocks) {
            strip[group * 8..][..8].copy_from_slice(&transpose(block));
        }
    }
}

/// YCbCr to RGB in place.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn ycc_to_rgb(y: &mut [Lanes], cb: &mut [Lanes], cr: &mut [Lanes]) {
    let planes = y.as_flattened_mut().iter_mut();
    let planes = planes.zip(cb.as_flattened_mut()).zip(cr.as_flattened_mut());
    for ((y, cb), cr) in planes {
        [*y, *cb, *cr] = rgb_of([*y, *cb, *cr]);
    }
}

/// One pixel's YCbCr to RGB, as libjpeg computes it with 16 fractional bits.
#[inline(always)]
pub(crate) fn rgb_of([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let luma = i16::from(y);
    let (blue, red) = (i16::from(cb) - 128, i16::from(cr) - 128);
    // 1.402 = 1 + 26345 / 65536, 1.772 = 2 - 14942 / 65536.
    let r = luma + red + scaled(red, 26_345);
    let b = luma + 2 * blue + scaled(blue, -14_942);
    // -0.34414 of blue; -0.71414 of red = -1 + 18734 / 65536.
    let sum = i32::from(blue) * -22_554 + i32::from(red) * 18_734 + 32_768;
    let g = i32::from(luma - red) + (sum >> 16);
    [byte(r), g.clamp(0, 255).to_le_bytes()[0], byte(b)]
}

/// `value * factor / 65536`, rounded; `value` within +-128.
#[inline(always)]
fn scaled(value: i16, factor: i16) -> i16 {
    let high = (i32::from(2 * value) * i32::from(factor)) >> 16;
    let [low, next, ..] = high.to_le_bytes();
    (i16::from_le_bytes([low, next]) + 1) >> 1
}

#[inline(always)]
fn byte(value: i16) -> u8 {
    value.clamp(0, 255).to_le_bytes()[0]
}

/// Sums of chroma columns before they are spread over twice as many.
pub(crate) type Sums = Vec<[u16; 8]>;

/// Three parts of the nearer chroma row and one of the next, for eight picture rows that lie `below` or above their
/// chroma rows. `beyond` has the row outside the strip; without it the strip's last is repeated.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn blend_rows(chroma: &[Lanes], beyond: Option<&[Lanes]>, below: bool, sums: &mut Sums) {
    sums.clear();
    for (index, &near) in chroma.iter().enumerate() {
        let outside = beyond.map_or(near[if below { 7 } else { 0 }], |beyond| {
            beyond[index][if below { 0 } else { 7 }]
        });
        let word = u64::from_le_bytes(near);
        let far = if below {
            (word >> 8) | (u64::from(outside) << 56)
        } else {
            (word << 8) | u64::from(outside)
        };
        let far = far.to_le_bytes();
        sums.push(std::array::from_fn(|lane| {
            3 * u16::from(near[lane]) + u16::from(far[lane])
        }));
    }
}

/// Chroma columns as sums of one part, for pictures with a chroma row for every row.
pub(crate) fn plain_rows(chroma: &[Lanes], sums: &mut Sums) {
    sums.clear();
    sums.extend(chroma.iter().map(|lanes| lanes.map(u16::from)));
}

/// How sums become samples again: the bits they have too many, and what is added for each of two columns.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) shift: u32,
    pub(crate) round: [u16; 2],
}

impl Scale {
    /// After columns alone are blended.
    pub(crate) const ONE_PASS: Self = Self {
        shift: 2,
        round: [1, 2],
    };
    /// After rows and columns are.
    pub(crate) const TWO_PASSES: Self = Self {
        shift: 4,
        round: [8, 7],
    };
}

/// Two columns from each, three parts of it and one of its neighbour; `scale` is that of the sums.
#[multiversion(targets("x86_64+avx2+bmi2"))]
pub(crate) fn spread_columns(sums: &Sums, scale: Scale, out: &mut [Lanes]) {
    let Scale { shift, round } = scale;
    let last = sums.len().saturating_sub(1);
    let pairs = out.as_chunks_mut::<2>().0;
    for (index, (pair, near)) in pairs.iter_mut().zip(sums).enumerate() {
        let far = [sums[index.saturating_sub(1)], sums[(index + 1).min(last)]];
        for side in 0..2 {
            for lane in 0..8 {
                let sum = 3 * near[lane] + far[side][lane] + round[side];
                pair[side][lane] = (sum >> shift).to_le_bytes()[0];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_swaps_rows_and_columns() {
        let block: [Lanes; 8] = std::array::from_fn(|row| {
            std::array::from_fn(|column| u8::try_from(row * 8 + column).unwrap())
        });
        let turned = transpose(block);
        for row in 0..8 {
            for column in 0..8 {
                assert_eq!(turned[column][row], block[row][column]);
            }
        }
        assert_eq!(transpose(turned), block);
    }

    #[test]
    fn every_colour_is_libjpegs() {
        let table = |factor: i32, x: i32| (factor * x + 32_768) >> 16;
        for cb in 0..=255u8 {
            for cr in 0..=255u8 {
                for luma in [0u8, 1, 77, 128, 200, 255] {
                    let (mut y, mut b, mut r) = ([[luma; 8]], [[cb; 8]], [[cr; 8]]);
                    ycc_to_rgb(&mut y, &mut b, &mut r);
                    let (blue, red) = (i32::from(cb) - 128, i32::from(cr) - 128);
                    let green = (-22_554 * blue - 46_802 * red + 32_768) >> 16;
                    let expected =
                        [table(91_881, red), green, table(116_130, blue)].map(|difference| {
                            u8::try_from((i32::from(luma) + difference).clamp(0, 255)).unwrap()
                        });
                    assert_eq!([y[0][0], b[0][0], r[0][0]], expected, "{luma} {cb} {cr}");
                }
            }
        }
    }
}
