//! The accurate inverse DCT in sixteen lanes, two rows in each vector: what the compiler makes of the portable one takes
//! four times as many instructions. Equal to it for every input.

use std::arch::x86_64::*;

use crate::strip::Lanes;

/// Sixteen numbers of 16 bits, or eight of 32.
type Pair = __m256i;

/// Samples of a block by columns, each from the top.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn whole(coefficients: &[i16; 64], steps: &[u16; 64]) -> [Lanes; 8] {
    let raw = [0, 16, 32, 48].map(|at| load(std::array::from_fn(|lane| coefficients[at + lane])));
    let below = _mm256_or_si256(_mm256_or_si256(raw[1], raw[2]), raw[3]);
    let below = _mm256_or_si256(below, _mm256_permute2x128_si256::<0x81>(raw[0], raw[0]));
    let [r01, r23, r45, r67]: [Pair; 4] = std::array::from_fn(|pair| {
        let steps = load(std::array::from_fn(|lane| {
            steps[16 * pair + lane].cast_signed()
        }));
        _mm256_mullo_epi16(raw[pair], steps)
    });
    let columns = if _mm256_testz_si256(below, below) == 1 {
        level(r01)
    } else {
        let input = [
            _mm256_permute2x128_si256::<0x20>(r01, r45),
            _mm256_permute2x128_si256::<0x31>(r23, r01),
            _mm256_permute2x128_si256::<0x20>(r23, r67),
            _mm256_permute2x128_si256::<0x31>(r67, r45),
        ];
        turned(pass::<11>(input))
    };
    samples(pass::<18>(columns))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(v: [i16; 16]) -> Pair {
    _mm256_setr_epi16(
        v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13],
        v[14], v[15],
    )
}

/// The same pair of 16-bit numbers all over each half.
#[target_feature(enable = "avx2")]
#[inline]
fn factors(low: [i16; 2], high: [i16; 2]) -> Pair {
    let word = |[first, second]: [i16; 2]| i32::from(second) << 16 | i32::from(first) & 0xffff;
    let (low, high) = (word(low), word(high));
    _mm256_setr_epi32(low, low, low, low, high, high, high, high)
}

/// Halves change places.
#[target_feature(enable = "avx2")]
#[inline]
fn swapped(pair: Pair) -> Pair {
    _mm256_permute2x128_si256::<0x01>(pair, pair)
}

/// The columns of a block whose first row alone is coded, with the vector routines' shortcut, which does not saturate.
#[target_feature(enable = "avx2")]
#[inline]
fn level(r01: Pair) -> [Pair; 4] {
    let row = _mm256_slli_epi16::<2>(r01);
    let twice = _mm256_permute2x128_si256::<0x00>(row, row);
    // Each number twice: the first four in the low half, the others in the high one.
    let low = _mm256_unpacklo_epi16(twice, twice);
    let high = _mm256_unpackhi_epi16(twice, twice);
    let both = _mm256_blend_epi32::<0xf0>(low, high);
    let (c04, c15) = (
        _mm256_shuffle_epi32::<0x00>(both),
        _mm256_shuffle_epi32::<0x55>(both),
    );
    let (c26, c37) = (
        _mm256_shuffle_epi32::<0xaa>(both),
        _mm256_shuffle_epi32::<0xff>(both),
    );
    paired(c04, c15, c26, c37)
}

/// As [`pass`] takes them.
#[target_feature(enable = "avx2")]
#[inline]
fn paired(v04: Pair, v15: Pair, v26: Pair, v37: Pair) -> [Pair; 4] {
    [
        v04,
        _mm256_permute2x128_si256::<0x20>(v37, v15),
        v26,
        _mm256_permute2x128_si256::<0x31>(v37, v15),
    ]
}

/// One dimension of all lanes: takes rows 0 4, 3 1, 2 6, 7 5 and gives 0 1, 3 2, 4 5, 7 6.
#[target_feature(enable = "avx2")]
#[inline]
fn pass<const SHIFT: i32>([v04, v31, v26, v75]: [Pair; 4]) -> [Pair; 4] {
    let v62 = swapped(v26);
    let turn = factors([4_433 + 6_270, 4_433], [4_433 - 15_137, 4_433]);
    let signs = _mm256_setr_epi16(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
    let level = _mm256_add_epi16(swapped(v04), _mm256_sign_epi16(v04, signs));
    let sums = _mm256_add_epi16(v75, v31);
    let sums_swapped = swapped(sums);
    let both = factors([9_633 - 16_069, 9_633], [9_633 - 3_196, 9_633]);
    let v13 = swapped(v31);
    let first = factors([2_446 - 7_373, -7_373], [16_819 - 20_995, -20_995]);
    let second = factors([-7_373, 12_299 - 7_373], [-20_995, 25_172 - 20_995]);
    let zero = _mm256_setzero_si256();
    let half = |is_high: bool| {
        let merged = |a, b| match is_high {
            false => _mm256_unpacklo_epi16(a, b),
            true => _mm256_unpackhi_epi16(a, b),
        };
        let turned = _mm256_madd_epi16(merged(v26, v62), turn);
        let level = _mm256_srai_epi32::<3>(merged(zero, level));
        let (even01, even32) = (
            _mm256_add_epi32(level, turned),
            _mm256_sub_epi32(level, turned),
        );
        let both = _mm256_madd_epi16(merged(sums, sums_swapped), both);
        let odd = merged(v75, v13);
        let odd32 = _mm256_add_epi32(_mm256_madd_epi16(odd, first), both);
        let odd01 = _mm256_add_epi32(_mm256_madd_epi16(odd, second), swapped(both));
        [
            _mm256_add_epi32(even01, odd01),
            _mm256_add_epi32(even32, odd32),
            _mm256_sub_epi32(even32, odd32),
            _mm256_sub_epi32(even01, odd01),
        ]
        .map(|sum| {
            _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (SHIFT - 1))))
        })
    };
    let (low, high) = (half(false), half(true));
    std::array::from_fn(|pair| _mm256_packs_epi32(low[pair], high[pair]))
}

/// Rows to columns, as [`pass`] gives and takes them.
#[target_feature(enable = "avx2")]
#[inline]
fn turned([v01, v32, v45, v76]: [Pair; 4]) -> [Pair; 4] {
    let (v23, v67) = (swapped(v32), swapped(v76));
    let merged = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
    let ([a, b], [c, d]) = (merged(v01, v45), merged(v23, v67));
    // Even rows of two columns in the low half, odd ones in the high half.
    let ([c01, c23], [c45, c67]) = (merged(a, c), merged(b, d));
    let columns = |a, b| {
        merged(
            _mm256_permute2x128_si256::<0x20>(a, b),
            _mm256_permute2x128_si256::<0x31>(a, b),
        )
    };
    let ([v04, v15], [v26, v37]) = (columns(c01, c45), columns(c23, c67));
    paired(v04, v15, v26, v37)
}

#[target_feature(enable = "avx2")]
#[inline]
fn samples([v01, v32, v45, v76]: [Pair; 4]) -> [Lanes; 8] {
    let middle = _mm256_set1_epi8(-128);
    let left = _mm256_add_epi8(_mm256_packs_epi16(v01, v32), middle);
    let right = _mm256_add_epi8(_mm256_packs_epi16(v45, v76), middle);
    [
        _mm256_extract_epi64::<0>(left),
        _mm256_extract_epi64::<2>(left),
        _mm256_extract_epi64::<3>(left),
        _mm256_extract_epi64::<1>(left),
        _mm256_extract_epi64::<0>(right),
        _mm256_extract_epi64::<2>(right),
        _mm256_extract_epi64::<3>(right),
        _mm256_extract_epi64::<1>(right),
    ]
    .map(i64::to_le_bytes)
}
