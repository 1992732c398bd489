//! libjpeg's accurate integer inverse DCT, and the ones that give a part of the size.
//!
//! Written by hand because both speed and bits matter: eight lanes of 16-bit numbers that the compiler turns into vector
//! instructions, with the sums that libjpeg-turbo's vector routines form. They equal libjpeg's own for every block that
//! an encoder makes; where a hostile block leaves 16 bits, they wrap and saturate at the same places.
//!
//! # Source
//!
//! Loeffler, Ligtenberg and Moschytz, ICASSP 1989: constants are those of its figure 1, times 2^13.

use multiversion::{multiversion, target::match_target};

use crate::strip::Lanes;

/// One row of coefficients, or one column.
type Row = [i16; 8];

/// Samples of a block by columns, each from the top. At `size` 4, 2 or 1 only so many columns and rows count.
#[inline]
fn inverse(coefficients: &[i16; 64], steps: &[u16; 64], size: usize) -> [Lanes; 8] {
    match size {
        8 => whole(coefficients, steps),
        4 => reduced(coefficients, steps, half, [12, 19]),
        2 => reduced(coefficients, steps, quarter, [13, 20]),
        _ => eighth(coefficients[0], steps[0]),
    }
}

/// The same for a block that may be known to hold nothing but its first coefficient.
#[inline]
pub(crate) fn inverse_of(
    coefficients: &[i16; 64],
    is_flat: bool,
    steps: &[u16; 64],
    size: usize,
) -> [Lanes; 8] {
    let level = i32::from(coefficients[0]) * i32::from(steps[0]);
    // Within this range no sum of a transform leaves 16 bits.
    if is_flat && level.abs() < 1 << 12 {
        return [[(((level + 4) >> 3) + 128).clamp(0, 255).to_le_bytes()[0]; 8]; 8];
    }
    inverse(coefficients, steps, size)
}

#[multiversion(targets("x86_64+avx2+bmi2"))]
fn whole(coefficients: &[i16; 64], steps: &[u16; 64]) -> [Lanes; 8] {
    match_target! {
        "x86_64+avx2+bmi2" => crate::jpeg_idct_avx2::whole(coefficients, steps),
        _ => portable(coefficients, steps),
    }
}

#[inline(always)]
fn portable(coefficients: &[i16; 64], steps: &[u16; 64]) -> [Lanes; 8] {
    let input = dequantised(coefficients, steps);
    let columns = if coefficients[8..] == [0; 56] {
        // The vector routines' shortcut, which does not saturate.
        input[0].map(|level| [level << 2; 8])
    } else {
        turned(pass(&input, 11))
    };
    samples(&pass(&columns, 18))
}

#[inline(always)]
fn dequantised(coefficients: &[i16; 64], steps: &[u16; 64]) -> [Row; 8] {
    let mut rows = [[0; 8]; 8];
    let products = coefficients.iter().zip(steps);
    for (value, (coefficient, step)) in rows.as_flattened_mut().iter_mut().zip(products) {
        *value = coefficient.wrapping_mul(step.cast_signed());
    }
    rows
}

/// One dimension of all eight lanes; the sums are scaled down by 2^`shift`.
#[inline(always)]
fn pass(input: &[Row; 8], shift: u32) -> [Row; 8] {
    let mut out = [[0; 8]; 8];
    for lane in 0..8 {
        let short = |row: usize| input[row][lane];
        let wide = |row: usize| i32::from(input[row][lane]);
        let near = i32::from(short(0).wrapping_add(short(4))) << 13;
        let far = i32::from(short(0).wrapping_sub(short(4))) << 13;
        let turn = [
            wide(2) * (4_433 + 6_270) + wide(6) * 4_433,
            wide(2) * 4_433 + wide(6) * (4_433 - 15_137),
        ];
        let even = [near + turn[0], far + turn[1], far - turn[1], near - turn[0]];
        let left = i32::from(short(7).wrapping_add(short(3)));
        let right = i32::from(short(5).wrapping_add(short(1)));
        let both = [
            left * (9_633 - 16_069) + right * 9_633,
            left * 9_633 + right * (9_633 - 3_196),
        ];
        let odd = [
            wide(1) * (12_299 - 7_373) - wide(7) * 7_373 + both[1],
            wide(3) * (25_172 - 20_995) - wide(5) * 20_995 + both[0],
            wide(5) * (16_819 - 20_995) - wide(3) * 20_995 + both[1],
            wide(7) * (2_446 - 7_373) - wide(1) * 7_373 + both[0],
        ];
        for row in 0..4 {
            out[row][lane] = scaled(even[row].wrapping_add(odd[row]), shift);
            out[7 - row][lane] = scaled(even[row].wrapping_sub(odd[row]), shift);
        }
    }
    out
}

/// Rounded, and saturated at 16 bits.
#[inline(always)]
fn scaled(sum: i32, shift: u32) -> i16 {
    let value = sum.wrapping_add(1 << (shift - 1)) >> shift;
    let value = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX));
    let [low, high, ..] = value.to_le_bytes();
    i16::from_le_bytes([low, high])
}

/// Rows to columns: merging the upper half with the lower one, thrice.
#[inline(always)]
fn turned(mut rows: [Row; 8]) -> [Row; 8] {
    let low = |a: Row, b: Row| [a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3]];
    let high = |a: Row, b: Row| [a[4], b[4], a[5], b[5], a[6], b[6], a[7], b[7]];
    for _ in 0..3 {
        let [a, b, c, d, e, f, g, h] = rows;
        rows = [
            low(a, e),
            high(a, e),
            low(b, f),
            high(b, f),
            low(c, g),
            high(c, g),
            low(d, h),
            high(d, h),
        ];
    }
    rows
}

#[inline(always)]
fn samples(columns: &[Row; 8]) -> [Lanes; 8] {
    let mut out = [[0; 8]; 8];
    for (sample, value) in out
        .as_flattened_mut()
        .iter_mut()
        .zip(columns.as_flattened())
    {
        *sample = (value.clamp(&-128, &127) + 128).to_le_bytes()[0];
    }
    out
}

/// One dimension of one lane.
type Part = fn([i32; 8]) -> [i32; 4];

/// Both passes of a transform that gives a part of the size, each with its shift.
fn reduced(
    coefficients: &[i16; 64],
    steps: &[u16; 64],
    part: Part,
    shifts: [u32; 2],
) -> [Lanes; 8] {
    let mut rows = dequantised(coefficients, steps);
    for (number, shift) in shifts.into_iter().enumerate() {
        let mut out = [[0; 8]; 8];
        for lane in 0..8 {
            let sums = part(rows.map(|row| i32::from(row[lane])));
            for (row, sum) in out.iter_mut().zip(sums) {
                row[lane] = scaled(sum, shift);
            }
        }
        rows = if number == 0 { turned(out) } else { out };
    }
    samples(&rows)
}

/// Four samples; the fifth frequency is left out.
#[inline(always)]
fn half(at: [i32; 8]) -> [i32; 4] {
    let level = at[0] << 14;
    let turn = at[2] * 15_137 - at[6] * 6_270;
    let even = [level + turn, level - turn];
    let odd = [
        at[1] * 20_995 + at[3] * 7_373 - at[5] * 4_926 - at[7] * 4_176,
        at[1] * 8_697 - at[3] * 17_799 + at[5] * 11_893 - at[7] * 1_730,
    ];
    [
        even[0].wrapping_add(odd[0]),
        even[1].wrapping_add(odd[1]),
        even[1].wrapping_sub(odd[1]),
        even[0].wrapping_sub(odd[0]),
    ]
}

/// Two samples, from the first and the odd frequencies.
#[inline(always)]
fn quarter(at: [i32; 8]) -> [i32; 4] {
    let level = at[0] << 15;
    let odd = (at[1] * 29_692 - at[3] * 10_426)
        .wrapping_add(at[5] * 6_967)
        .wrapping_sub(at[7] * 5_906);
    [level.wrapping_add(odd), level.wrapping_sub(odd), 0, 0]
}

/// The mean alone. Beyond ten bits it wraps, as libjpeg's table of limits does.
fn eighth(coefficient: i16, step: u16) -> [Lanes; 8] {
    let level = i32::from(coefficient) * i32::from(step.cast_signed());
    let mean = (((level + 4) >> 3) << 22) >> 22;
    let sample = (mean.clamp(-128, 127) + 128).to_le_bytes()[0];
    [[sample; 8]; 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in floating point.
    fn exact(block: &[i16; 64], x: usize, y: usize) -> f64 {
        let wave = |frequency: usize, place: usize| {
            let scale = if frequency == 0 { 0.5f64.sqrt() } else { 1.0 };
            let turns = ((2 * place + 1) * frequency) as f64 / 32.0;
            scale * (turns * std::f64::consts::TAU).cos()
        };
        let sum: f64 = (0..64)
            .map(|at| f64::from(block[at]) * wave(at % 8, x) * wave(at / 8, y))
            .sum();
        (sum / 4.0 + 128.0).clamp(0.0, 255.0)
    }

    fn block(seed: u32) -> [i16; 64] {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut places = 0..64i32;
        [0; 64].map(|_: i16| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let at = places.next().unwrap();
            let range = 400 / (1 + at % 8 + at / 8) + 1;
            i16::try_from(i32::try_from(state >> 8).unwrap() % range - range / 2).unwrap()
        })
    }

    #[test]
    fn a_block_is_within_rounding_of_the_definition() {
        for seed in 0..200 {
            let block = block(seed);
            let columns = inverse(&block, &[1; 64], 8);
            for (x, column) in columns.iter().enumerate() {
                for (y, sample) in column.iter().enumerate() {
                    let away = f64::from(*sample) - exact(&block, x, y);
                    assert!(away.abs() < 0.6, "seed {seed}, {x} {y}: {away}");
                }
            }
        }
    }

    #[test]
    fn vectors_and_the_portable_way_agree_on_hostile_blocks_too() {
        for seed in 0..20_000u32 {
            let mut state = seed.wrapping_mul(2_654_435_761) | 1;
            let mut word = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let [low, high, ..] = (state >> 7).to_le_bytes();
                u16::from_le_bytes([low, high])
            };
            // From a few coefficients of a few bits to all of sixteen.
            let (bits, coded) = (seed % 16, seed / 16 % 65);
            let coefficients = std::array::from_fn(|at| {
                let value = word().cast_signed() >> bits;
                if at < coded as usize { value } else { 0 }
            });
            let steps = std::array::from_fn(|_| word() >> (seed / 1040 % 16));
            assert_eq!(
                whole(&coefficients, &steps),
                portable(&coefficients, &steps),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_flat_block_is_flat_at_every_size() {
        for level in -1100..1100i16 {
            let mut block = [0; 64];
            block[0] = level;
            let expected = (((i32::from(level) + 4) >> 3) + 128).clamp(0, 255);
            for size in [1, 2, 4, 8] {
                for column in &inverse(&block, &[1; 64], size)[..size] {
                    assert!(
                        column[..size]
                            .iter()
                            .all(|sample| i32::from(*sample) == expected),
                        "{level} at {size}"
                    );
                }
            }
        }
    }
}
