//! The exponential function in single precision, written so that it runs on vector registers.

/// Below this the result is under the smallest normal number.
const LOWEST: f32 = -87.0;
/// 1.5 * 2^23: added to a small number it leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts, the first exact for the integers that occur.
const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);

/// e to the power of `x`, for `x` at most 0; below -87 the value at -87.
///
/// The error is under 3e-7 of the result: 2^n times the series of the rest, which is at most ln 2 / 2.
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    let x = if x > LOWEST { x } else { LOWEST };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let rest = (x - n * LN2.0) - n * LN2.1;
    let tail = 1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0)));
    let series = 1.0 + rest * (1.0 + rest * (0.5 + rest * tail));
    // The integer stands in the low bits; shifted into the exponent it is a power of two.
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::exponential;

    #[test]
    fn agrees_with_double_precision() {
        for step in 0..=870_000u32 {
            let x = -f32::from(u16::try_from(step / 100).unwrap()) / 100.0
                - f32::from(u16::try_from(step % 100).unwrap()) / 10_000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exponential(x)) / expected - 1.0).abs();
            assert!(x < -87.0 || error < 3e-7, "e^{x}: relative error {error}");
        }
        assert_eq!(exponential(0.0), 1.0);
        assert!(exponential(f32::NEG_INFINITY) < 1e-37);
        assert!(exponential(f32::NAN) < 1e-37);
    }
}
