//! Strips of a TIFF that are not compressed, row by row: a file that is cut has those before the cut.
//!
//! As in Pillow only where a strip begins counts, and not how long it says it is.

use tiff::decoder::ChunkType;
use tiff::tags::Tag;

use crate::fault::Fault;
use crate::spec::Truncated;
use crate::tiff_page::{Page, compression};

/// How far the rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    Cut,
}

/// Whether a page is of the kind that is read here.
pub(crate) fn is_raw(page: &mut Page<'_>) -> Result<bool, Fault> {
    let is_planar = page.samples > 1 && page.number(Tag::PlanarConfiguration, 1)? == 2;
    Ok(page.compression == compression::NONE
        && page.decoder.get_chunk_type() == ChunkType::Strip
        && page.number(Tag::FillOrder, 1)? == 1
        && !is_planar)
}

/// Fills `samples`, whose numbers get the machine's order.
///
/// # Errors
///
/// `Truncated` where rows are missing, unless they are filled: then they are black, or without ink.
pub(crate) fn read(
    bytes: &[u8],
    page: &mut Page<'_>,
    truncated: Truncated,
    samples: &mut [u8],
) -> Result<Ending, Fault> {
    let stride = usize::try_from(page.stride()).unwrap_or(usize::MAX).max(1);
    let (_, rows) = page.chunk();
    let strip_rows = usize::try_from(rows).unwrap_or(usize::MAX).max(1);
    let offsets: Vec<u64> = page.numbers(Tag::StripOffsets)?;
    let missing = match page.photometric {
        // White is zero, but what is missing is black.
        0 if page.bits <= 8 => 0xff,
        _ => 0,
    };
    let mut ending = Ending::Whole;
    for (row, out) in samples.chunks_exact_mut(stride).enumerate() {
        let strip = offsets.get(row / strip_rows);
        let start = strip.and_then(|&offset| {
            let within = (row % strip_rows).checked_mul(stride)?;
            usize::try_from(offset).ok()?.checked_add(within)
        });
        let found = start.and_then(|start| bytes.get(start..start.checked_add(stride)?));
        match found {
            Some(found) => out.copy_from_slice(found),
            None if truncated == Truncated::Fill => {
                out.fill(missing);
                ending = Ending::Cut;
            }
            None => {
                let height = page.height;
                let message = format!("tiff: the file ends within row {row} of {height}");
                return Err(Fault::truncated(message));
            }
        }
    }
    if page.bits > 8 && bytes.starts_with(b"MM") != cfg!(target_endian = "big") {
        let step = usize::from(page.bits / 8).max(1);
        samples.chunks_exact_mut(step).for_each(<[u8]>::reverse);
    }
    Ok(ending)
}
