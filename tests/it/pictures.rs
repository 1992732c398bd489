//! Small images made on the spot.

/// A BMP of one flat colour but for a darker left half: its bytes depend on `seed` alone.
pub(crate) fn bmp(seed: u32) -> Vec<u8> {
    bmp_of(16, 12, seed)
}

/// As [`bmp`], in this size; `width` must be a multiple of 4.
pub(crate) fn bmp_of(width: u32, height: u32, seed: u32) -> Vec<u8> {
    assert!(width.is_multiple_of(4), "rows are padded to four bytes");
    let pixels = width * height * 3;
    let mut bytes = b"BM".to_vec();
    for field in [
        54 + pixels,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        pixels,
        2835,
        2835,
        0,
        0,
    ] {
        bytes.extend(field.to_le_bytes());
    }
    let mixed = seed.wrapping_mul(2_654_435_761);
    let colour = [mixed >> 24, mixed >> 16 & 0xff, mixed >> 8 & 0xff]
        .map(|value| u8::try_from(value).unwrap());
    for _ in 0..height {
        for x in 0..width {
            let shade = if x < width / 2 { 2 } else { 1 };
            bytes.extend(colour.map(|value| value / shade));
        }
    }
    bytes
}

/// A BMP whose pixels end early.
pub(crate) fn cut_bmp(seed: u32) -> Vec<u8> {
    let mut bytes = bmp(seed);
    bytes.truncate(200);
    bytes
}
