//! The strips and tiles of a TIFF page, decompressed into one array of interleaved samples.

use flate2::{Decompress, FlushDecompress, Status};
use weezl::{BitOrder, LzwStatus};

use crate::fault::Fault;
use crate::samples::{Buffers, cleared};
use crate::tiff::Directory;

const NONE: u32 = 1;
const LZW: u32 = 5;
const DEFLATE: u32 = 8;
const DEFLATE_OLD: u32 = 32_946;
const PACK_BITS: u32 = 32_773;

/// Fills `buffers.raw` with the rows of the page, each [`Directory::stride`] bytes.
pub(crate) fn read_samples(
    bytes: &[u8],
    page: &Directory,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    if !matches!(
        page.compression,
        NONE | LZW | DEFLATE | DEFLATE_OLD | PACK_BITS
    ) {
        return Err(Fault::unsupported(format!(
            "tiff: compression {}",
            page.compression
        )));
    }
    let grid = Grid::new(page)?;
    let raw = cleared(&mut buffers.raw, page.stride() * page.height);
    let chunk = cleared(&mut buffers.stream, grid.chunk_bytes);
    for plane in 0..grid.planes {
        for down in 0..grid.down {
            for across in 0..grid.across {
                let index = (plane * grid.down + down) * grid.across + across;
                let rows = grid.rows_of(page, down);
                let wanted = chunk
                    .get_mut(..grid.chunk_stride * rows)
                    .unwrap_or_default();
                decompress(page, encoded(bytes, page, index, wanted.len())?, wanted)?;
                undo_predictor(page, grid.channels, grid.chunk_stride, wanted);
                let place = Place {
                    plane,
                    left: across * page.chunk.0,
                    top: down * page.chunk.1,
                };
                store(page, &grid, place, wanted, raw);
            }
        }
    }
    Ok(())
}

/// How the page is cut.
struct Grid {
    across: usize,
    down: usize,
    planes: usize,
    /// Samples of a pixel within one chunk.
    channels: usize,
    chunk_stride: usize,
    chunk_bytes: usize,
    tiled: bool,
}

impl Grid {
    fn new(page: &Directory) -> Result<Self, Fault> {
        let (columns, rows) = page.chunk;
        let (planes, channels) = if page.planar {
            (page.samples, 1)
        } else {
            (1, page.samples)
        };
        let chunk_stride = columns
            .checked_mul(channels * usize::from(page.bits))
            .ok_or_else(|| Fault::corrupt("tiff: tile out of range"))?
            .div_ceil(8);
        let chunk_bytes = chunk_stride.saturating_mul(rows);
        // A tile may be larger than a small page, but not without bound.
        if chunk_bytes > (page.stride() * page.height).saturating_mul(4).max(1 << 22) {
            return Err(Fault::corrupt(format!(
                "tiff: a tile of {columns} x {rows} pixels"
            )));
        }
        let (across, down) = (page.width.div_ceil(columns), page.height.div_ceil(rows));
        let tiled = columns != page.width;
        Ok(Self {
            across,
            down,
            planes,
            channels,
            chunk_stride,
            chunk_bytes,
            tiled,
        })
    }

    /// Rows that the chunk holds: the last strip is short, a tile never is.
    fn rows_of(&self, page: &Directory, down: usize) -> usize {
        if self.tiled {
            page.chunk.1
        } else {
            page.chunk.1.min(page.height - down * page.chunk.1)
        }
    }
}

/// The encoded bytes of one chunk.
fn encoded<'a>(
    bytes: &'a [u8],
    page: &Directory,
    index: usize,
    decoded: usize,
) -> Result<&'a [u8], Fault> {
    let short = || Fault::truncated(format!("tiff: strip {index} is not in the file"));
    let from = page
        .offsets
        .get(index)
        .and_then(|&offset| usize::try_from(offset).ok())
        .ok_or_else(short)?;
    let count = page
        .counts
        .get(index)
        .and_then(|&count| usize::try_from(count).ok());
    let rest = bytes.get(from..).ok_or_else(short)?;
    match count {
        Some(count) if page.compression != NONE => Ok(&rest[..count.min(rest.len())]),
        _ => Ok(&rest[..decoded.min(rest.len())]),
    }
}

fn decompress(page: &Directory, encoded: &[u8], out: &mut [u8]) -> Result<(), Fault> {
    let turned: Vec<u8>;
    let mut data = encoded;
    if page.reversed_bits {
        turned = encoded.iter().map(|byte| byte.reverse_bits()).collect();
        data = &turned;
    }
    let written = match page.compression {
        LZW => lzw(data, out)?,
        DEFLATE | DEFLATE_OLD => inflate(data, out)?,
        PACK_BITS => pack_bits(data, out),
        _ => {
            let length = data.len().min(out.len());
            out[..length].copy_from_slice(&data[..length]);
            length
        }
    };
    if written < out.len() {
        return Err(Fault::truncated(format!(
            "tiff: strip of {written} bytes instead of {}",
            out.len()
        )));
    }
    Ok(())
}

fn lzw(data: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&data[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::NoProgress | LzwStatus::Done) => break,
            Err(error) => return Err(Fault::corrupt(format!("tiff: lzw: {error}"))),
        }
    }
    Ok(written)
}

fn inflate(data: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut decoder = Decompress::new(true);
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let before = (decoder.total_in(), decoder.total_out());
        let status = decoder
            .decompress(&data[read..], &mut out[written..], FlushDecompress::None)
            .map_err(|error| Fault::corrupt(format!("tiff: deflate: {error}")))?;
        let progress = (
            decoder.total_in() - before.0,
            decoder.total_out() - before.1,
        );
        read += usize::try_from(progress.0).unwrap_or(0);
        written += usize::try_from(progress.1).unwrap_or(0);
        if status == Status::StreamEnd || progress == (0, 0) {
            break;
        }
    }
    Ok(written)
}

fn pack_bits(data: &[u8], out: &mut [u8]) -> usize {
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let Some(&head) = data.get(read) else { break };
        read += 1;
        let room = out.len() - written;
        let length = match head {
            0..=127 => {
                let run = data.get(read..).unwrap_or_default();
                let length = (usize::from(head) + 1).min(room).min(run.len());
                out[written..written + length].copy_from_slice(&run[..length]);
                read += usize::from(head) + 1;
                length
            }
            128 => 0,
            129..=255 => {
                let Some(&byte) = data.get(read) else { break };
                let length = (257 - usize::from(head)).min(room);
                out[written..written + length].fill(byte);
                read += 1;
                length
            }
        };
        written += length;
    }
    written
}

/// Horizontal differencing, which only the dictionary compressions carry.
fn undo_predictor(page: &Directory, channels: usize, stride: usize, rows: &mut [u8]) {
    if page.predictor != 2
        || !matches!(page.compression, LZW | DEFLATE | DEFLATE_OLD)
        || page.bits < 8
    {
        return;
    }
    for row in rows.chunks_exact_mut(stride) {
        if page.bits == 8 {
            for at in channels..row.len() {
                row[at] = row[at].wrapping_add(row[at - channels]);
            }
            continue;
        }
        for at in (2 * channels..row.len().saturating_sub(1)).step_by(2) {
            let before = at - 2 * channels;
            let (now, left) = ([row[at], row[at + 1]], [row[before], row[before + 1]]);
            let sum = if page.big_endian {
                u16::from_be_bytes(now)
                    .wrapping_add(u16::from_be_bytes(left))
                    .to_be_bytes()
            } else {
                u16::from_le_bytes(now)
                    .wrapping_add(u16::from_le_bytes(left))
                    .to_le_bytes()
            };
            row[at..at + 2].copy_from_slice(&sum);
        }
    }
}

/// Where a chunk belongs.
struct Place {
    plane: usize,
    left: usize,
    top: usize,
}

fn store(page: &Directory, grid: &Grid, place: Place, chunk: &[u8], raw: &mut [u8]) {
    let stride = page.stride();
    let rows = raw.chunks_exact_mut(stride).skip(place.top);
    for (row, line) in rows.zip(chunk.chunks_exact(grid.chunk_stride)) {
        if page.planar {
            let step = usize::from(page.bits / 8);
            let cells = row.chunks_exact_mut(page.samples * step).skip(place.left);
            for (cell, sample) in cells.zip(line.chunks_exact(step)) {
                cell[place.plane * step..][..step].copy_from_slice(sample);
            }
            continue;
        }
        let from = place.left * grid.channels * usize::from(page.bits) / 8;
        if let Some(rest) = row.get_mut(from..) {
            let length = rest.len().min(line.len());
            rest[..length].copy_from_slice(&line[..length]);
        }
    }
}
