//! Lengths as Parquet's delta encodings write them: blocks of packed differences.
//!
//! Written by hand because the parquet crate reads them only of a whole page in memory.

use parquet::errors::ParquetError;

use super::{header::invalid, stream::PageStream};

/// Reads the lengths that stand before the bytes of `DELTA_LENGTH_BYTE_ARRAY`; at most `most`.
pub(super) fn lengths(stream: &mut PageStream, most: u32) -> Result<Vec<u32>, ParquetError> {
    let block = varint(stream)?;
    let miniblocks = varint(stream)?;
    let total = varint(stream)?;
    let mut last = zigzag(varint(stream)?);
    if total > u64::from(most) || miniblocks == 0 || block % miniblocks != 0 || block > 1 << 20 {
        return Err(invalid("a block of lengths that cannot be"));
    }
    let per_miniblock = block / miniblocks;
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let mut lengths = Vec::new();
    if total > 0 {
        lengths.push(natural(last)?);
    }
    let mut widths = Vec::new();
    let mut packed = Vec::new();
    while lengths.len() < total {
        let least = zigzag(varint(stream)?);
        widths.clear();
        stream.append(miniblocks, &mut widths)?;
        for &width in &widths {
            if lengths.len() == total {
                break;
            }
            if width > 64 {
                return Err(invalid("lengths of more than 64 bits"));
            }
            packed.clear();
            stream.append((per_miniblock * u64::from(width)).div_ceil(8), &mut packed)?;
            let count = usize::try_from(per_miniblock).unwrap_or(usize::MAX);
            for index in 0..count.min(total - lengths.len()) {
                let more = bits(&packed, index * usize::from(width), u32::from(width));
                last = last.wrapping_add(least).wrapping_add(more.cast_signed());
                lengths.push(natural(last)?);
            }
        }
    }
    Ok(lengths)
}

/// `width` bits from the bit `at` on, the lowest first.
fn bits(packed: &[u8], at: usize, width: u32) -> u64 {
    let mut word = [0; 16];
    let there = packed.get(at / 8..).unwrap_or_default();
    let len = there.len().min(16);
    word[..len].copy_from_slice(&there[..len]);
    let shifted = u128::from_le_bytes(word) >> (at % 8);
    let mask = (1u128 << width) - 1;
    u64::try_from(shifted & mask).unwrap_or(u64::MAX)
}

fn natural(length: i64) -> Result<u32, ParquetError> {
    u32::try_from(length).map_err(|_| invalid("a length out of range"))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn varint(stream: &mut PageStream) -> Result<u64, ParquetError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = stream.array()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(invalid("a number of more than 64 bits"))
}
