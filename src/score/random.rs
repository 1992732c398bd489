//! Random numbers that are the same everywhere: SplitMix64 (Steele, Lea, Flood, 2014).

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that looks random, the same for the same `value`.
pub(crate) fn hash(value: u64) -> u64 {
    let mixed = value.wrapping_add(STEP);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A sequence of such numbers.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn next(&mut self) -> u64 {
        let value = hash(self.0);
        self.0 = self.0.wrapping_add(STEP);
        value
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    pub(super) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}
