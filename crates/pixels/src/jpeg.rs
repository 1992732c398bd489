//! JPEG of any kind to RGB, with libjpeg-turbo's arithmetic, from which Pillow's pixels come.
//!
//! Our own in safe Rust, and not a library, because pixels must be Pillow's to the last bit, memory bounded by what the
//! header declares, and a sequential file must never be there as a whole picture (`jpeg_plain`).

use crate::fault::Fault;
use crate::jpeg_blocks::{Block, Blocks};
use crate::jpeg_rows::Rows;
use crate::jpeg_scans::{ScanReader, read_all};
use crate::jpeg_smooth::Known;
use crate::jpeg_stream::{Frame, Scan, check_end};
use crate::jpeg_tables::Tables;
use crate::probe::{ImageFacts, ImageKind};
use crate::samples::{Buffers, cleared};

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let (frame, scan) = Frame::parse(bytes, |_, _| Ok(()))?;
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    ImageFacts::new(width, height, ImageKind::Jpeg, decoder_bytes(&frame, &scan))
}

/// Blocks and sample rows, three of coding units and one of the picture per component.
fn decoder_bytes(frame: &Frame, scan: &Scan) -> u64 {
    const WIDEST: u64 = 65_535;
    let wide = |count: usize| u64::try_from(count).unwrap_or(WIDEST);
    let (units, sampling) = (frame.units(), frame.sampling());
    let factors: u64 = frame
        .components()
        .iter()
        .map(|c| u64::from(c.across) * u64::from(c.down))
        .sum();
    let (across, down) = (wide(units.0), wide(units.1));
    let held = if frame.is_multi_scan(scan) { down } else { 1 };
    let block = u64::try_from(size_of::<Block>()).unwrap_or(WIDEST);
    let coefficients = across * held * factors * block;
    // The fast way has strips of three components also for grey.
    let samples = across * factors.max(3) * 64 * 3;
    // Spread, as sums of 16 bits and as samples.
    let spread = across * 8 * wide(sampling.0) * 4 * (2 + 1);
    coefficients + samples + spread
}

/// Decodes to RGB at one part in `reduction` of the width and height, rounded up.
pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    reduction: u32,
    (tables, buffers): (&mut Tables, &mut Buffers),
) -> Result<(), Fault> {
    let (frame, scan) = tables.read(bytes)?;
    check_end(bytes, &scan)?;
    let edge = |length: u32| u64::from(length.div_ceil(reduction));
    let pixels = usize::try_from(edge(facts.width) * edge(facts.height))
        .map_err(|_| Fault::unsupported("jpeg: larger than memory"))?;
    let reduction = usize::try_from(reduction).unwrap_or(1);
    let is_multi_scan = frame.is_multi_scan(&scan);
    let mut blocks = Blocks::new(&frame, is_multi_scan, &mut buffers.blocks)?;
    if is_multi_scan {
        let known = read_all(bytes, (&frame, scan), tables, &mut blocks)?;
        let mut rows = Rows::new(&frame, &blocks, reduction)?;
        let rgb = cleared(&mut buffers.rgb, pixels * 3);
        for unit in 0..frame.units().1 {
            rows.take(unit, (&known, &blocks), rgb);
        }
        return Ok(());
    }
    let mut known = Known::default();
    known.take(&frame, &scan, tables)?;
    let mut rows = Rows::new(&frame, &blocks, reduction)?;
    let mut reader = ScanReader::new(bytes, &frame, scan, tables)?;
    let rgb = cleared(&mut buffers.rgb, pixels * 3);
    for unit in 0..frame.units().1 {
        blocks.clear();
        reader.read_row(unit, &mut blocks)?;
        rows.take(unit, (&known, &blocks), rgb);
    }
    Ok(())
}
