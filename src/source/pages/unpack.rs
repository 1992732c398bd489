//! Pages decompressed as a whole.

use bytes::Bytes;
use parquet::{basic::Compression, errors::ParquetError, file::reader::ChunkReader};

use super::{
    header::invalid,
    stream::{PageStream, StoredPage},
};

pub(super) fn all_of(page: StoredPage) -> Result<Bytes, ParquetError> {
    behind_levels(page, 0, true)
}

/// A page decompressed, by the kept crates where these take a block as a whole; the first `levels` bytes are as they are.
pub(super) fn behind_levels(
    page: StoredPage,
    levels: u64,
    is_compressed: bool,
) -> Result<Bytes, ParquetError> {
    let bytes = |length| {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        page.file.get_bytes(page.start, length)
    };
    let stored = page.end - page.start;
    if page.codec == Compression::UNCOMPRESSED || !is_compressed {
        return bytes(stored);
    }
    let Some(rest) = page.bytes.checked_sub(levels).filter(|_| levels <= stored) else {
        return Err(invalid("levels that are larger than their page"));
    };
    let mut out = bytes(levels)?.to_vec();
    // Of nothing there need not be a compressed form.
    if rest == 0 {
        return Ok(out.into());
    }
    let values = StoredPage {
        start: page.start + levels,
        bytes: rest,
        ..page
    };
    match values.codec {
        Compression::SNAPPY | Compression::LZ4_RAW => {
            let block = bytes_of(&values)?;
            let fits = values.codec == Compression::LZ4_RAW
                || snap::raw::decompress_len(&block).is_ok_and(|len| len as u64 == rest);
            let length = usize::try_from(rest).ok().filter(|_| fits);
            let from = out.len();
            out.resize(from + length.ok_or_else(other_length)?, 0);
            let filled = match values.codec {
                Compression::SNAPPY => {
                    let decoder = &mut snap::raw::Decoder::new();
                    decoder.decompress(&block, &mut out[from..]).ok()
                }
                _ => lz4_flex::block::decompress_into(&block, &mut out[from..]).ok(),
            };
            if filled != length {
                return Err(other_length());
            }
        }
        _ => PageStream::open(values)?.append(rest, &mut out)?,
    }
    Ok(out.into())
}

fn other_length() -> ParquetError {
    invalid("a page that does not decompress to its length")
}

fn bytes_of(page: &StoredPage) -> Result<Bytes, ParquetError> {
    let length = usize::try_from(page.end - page.start).unwrap_or(usize::MAX);
    page.file.get_bytes(page.start, length)
}
