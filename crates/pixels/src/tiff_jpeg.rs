//! JPEG within TIFF: every strip or tile is a picture for our own decoder, whose bits are libjpeg's.

use tiff::tags::Tag;

use crate::fault::Fault;
use crate::jpeg;
use crate::jpeg_tables::Tables;
use crate::samples::Buffers;
use crate::spec::Truncated;
use crate::tiff_page::Page;

/// Start and end of a JPEG stream.
const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];

/// Upper bound of what one strip or tile takes: coefficients, samples, rows in work, RGB.
pub(crate) fn decoder_bytes(page: &Page<'_>) -> u64 {
    let (columns, rows) = page.chunk();
    let edge = |length: u32| u64::from(length).next_multiple_of(32);
    // Per pixel three coefficients of two bytes and three of RGB, per column sixteen rows of samples in several buffers.
    edge(columns) * (edge(rows) * 10 + 2048)
}

/// Fills `rgb`.
pub(crate) fn decode(bytes: &[u8], page: &mut Page<'_>, rgb: &mut [u8]) -> Result<(), Fault> {
    let shared: Vec<u8> = page.numbers(Tag::JPEGTables)?;
    let (columns, rows) = page.chunk();
    let across = index(page.width.div_ceil(columns.max(1)));
    let width = index(page.width);
    let (mut tables, mut buffers) = (Tables::default(), Buffers::default());
    let mut stream = Vec::new();
    for (number, (from, length)) in page.strips(bytes)?.into_iter().enumerate() {
        let short = || Fault::truncated(format!("tiff: strip {number} is not in the file"));
        let end = from.checked_add(length).ok_or_else(short)?;
        let strip = bytes.get(from..end).ok_or_else(short)?;
        assemble(strip, &shared, page, &mut stream);
        let facts = jpeg::probe(&stream)?;
        let (left, top) = (number % across, number / across);
        let (left, top) = (left * index(columns), top * index(rows));
        let wanted = rows.min(
            page.height
                .saturating_sub(u32::try_from(top).unwrap_or(u32::MAX)),
        );
        if facts.width != columns || facts.height < wanted || facts.height > rows {
            let (width, height) = (facts.width, facts.height);
            let message = format!("tiff: a JPEG of {width} x {height} for {columns} x {wanted}");
            return Err(Fault::corrupt(message));
        }
        let wanted = jpeg::Wanted {
            reduction: 1,
            truncated: Truncated::Drop,
        };
        jpeg::decode(&stream, &facts, wanted, &mut tables, &mut buffers)?;
        let lines = rgb.chunks_exact_mut(width * 3).skip(top);
        for (line, part) in lines.zip(buffers.rgb.chunks_exact(index(columns) * 3)) {
            let line = line.get_mut(left * 3..).unwrap_or_default();
            let length = line.len().min(part.len());
            line[..length].copy_from_slice(&part[..length]);
        }
    }
    if page.photometric == 0 {
        rgb.iter_mut().for_each(|channel| *channel = !*channel);
    }
    Ok(())
}

/// One whole JPEG: the file's tables, what the samples mean, and the strip.
fn assemble(strip: &[u8], tables: &[u8], page: &Page<'_>, stream: &mut Vec<u8>) {
    stream.clear();
    stream.extend_from_slice(&START);
    if page.samples == 3 {
        let transform = u8::from(page.photometric == 6);
        stream.extend_from_slice(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0");
        stream.push(transform);
    }
    let tables = tables.strip_prefix(&START).unwrap_or(tables);
    stream.extend_from_slice(tables.strip_suffix(&END).unwrap_or(tables));
    stream.extend_from_slice(strip.strip_prefix(&START).unwrap_or(strip));
}

fn index(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
