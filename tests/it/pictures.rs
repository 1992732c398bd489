//! Small images made on the spot.

use std::io::Write;

use flate2::{Compression, Crc, write::ZlibEncoder};

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

/// A PNG of 16 x 12 pixels that has this Exif orientation and depends on `seed`.
pub(crate) fn png(seed: u32, orientation: u8) -> Vec<u8> {
    let (width, height) = (16_u32, 12_u32);
    let mixed = seed.wrapping_mul(2_654_435_761).to_be_bytes();
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::fast());
    for y in 0..height {
        rows.write_all(&[0]).unwrap();
        for x in 0..width {
            let shade = if x < width / 2 && y < height / 3 {
                2
            } else {
                1
            };
            let pixel: Vec<u8> = mixed[..3].iter().map(|value| value / shade).collect();
            rows.write_all(&pixel).unwrap();
        }
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [
        (b"IHDR", header),
        (b"eXIf", exif),
        (b"IDAT", rows.finish().unwrap()),
        (b"IEND", Vec::new()),
    ] {
        let mut sum = Crc::new();
        sum.update(kind);
        sum.update(&body);
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend(body);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}
