//! Rows of a PNG that is damaged or cut, as far as there are any.
//!
//! The `png` crate gives a picture or none. Pillow keeps the rows before the damage, does not look at the checksums of
//! the picture's chunks, and takes a picture whose stream ends with a row for a whole one.

use flate2::{Decompress, FlushDecompress, Status};

use crate::fault::Fault;
use crate::png_chunks::Chunks;
use crate::spec::Truncated;

/// The samples of every pixel that a pass of an interlaced picture has: first column and row, steps.
#[derive(Clone, Copy)]
struct Pass {
    left: usize,
    top: usize,
    across: usize,
    down: usize,
}

const WHOLE: [Pass; 1] = [pass(0, 0, 1, 1)];

const INTERLACED: [Pass; 7] = [
    pass(0, 0, 8, 8),
    pass(4, 0, 8, 8),
    pass(0, 4, 4, 8),
    pass(2, 0, 4, 4),
    pass(0, 2, 2, 4),
    pass(1, 0, 2, 2),
    pass(0, 1, 1, 2),
];

const fn pass(left: usize, top: usize, across: usize, down: usize) -> Pass {
    Pass {
        left,
        top,
        across,
        down,
    }
}

/// How far the rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    Cut,
}

/// Fills `samples`, rows packed as in the file and padded to whole bytes; what is missing stays as it is.
///
/// # Errors
///
/// `Truncated` or `Corrupt` where rows are missing, unless they are filled.
pub(crate) fn read(
    chunks: &Chunks<'_>,
    truncated: Truncated,
    samples: &mut [u8],
) -> Result<Ending, Fault> {
    let bits = chunks.channels() * usize::from(chunks.bits);
    let stride = (chunks.width * bits).div_ceil(8);
    let passes = match chunks.is_interlaced {
        true => &INTERLACED[..],
        false => &WHOLE[..],
    };
    let mut rows = Rows {
        inflater: Inflater::new(&chunks.data),
        line: vec![0; stride + 1],
        above: vec![0; stride],
        step: bits.div_ceil(8),
    };
    for pass in passes {
        let width = chunks.width.saturating_sub(pass.left).div_ceil(pass.across);
        let length = (width * bits).div_ceil(8);
        if length == 0 {
            continue;
        }
        rows.above.fill(0);
        for row in (pass.top..chunks.height).step_by(pass.down) {
            match rows.next(length) {
                Next::Row => {}
                Next::End => return Ok(Ending::Whole),
                Next::Missing(_) if truncated == Truncated::Fill => return Ok(Ending::Cut),
                Next::Missing(fault) => return Err(fault),
            }
            let out = &mut samples[row * stride..][..stride];
            spread(&rows.above[..length], *pass, bits, out);
        }
    }
    Ok(Ending::Whole)
}

/// Puts the pixels of a row of a pass, of `bits` each, where they belong in a whole row.
fn spread(row: &[u8], pass: Pass, bits: usize, out: &mut [u8]) {
    if pass.across == 1 {
        return out.copy_from_slice(row);
    }
    let step = bits / 8;
    if step > 0 {
        let places = out[pass.left * step..].chunks_mut(pass.across * step);
        for (place, pixel) in places.zip(row.chunks_exact(step)) {
            place[..step].copy_from_slice(pixel);
        }
        return;
    }
    let per_byte = 8 / bits;
    let mask = 0xff_u8 >> (8 - bits);
    let shift = |pixel: usize| 8 - bits - pixel % per_byte * bits;
    for pixel in 0..row.len() * per_byte {
        let column = pass.left + pixel * pass.across;
        if let Some(place) = out.get_mut(column / per_byte) {
            *place |= (row[pixel / per_byte] >> shift(pixel) & mask) << shift(column);
        }
    }
}

enum Next {
    /// A row lies in [`Rows::above`].
    Row,
    /// The stream ended with the row before.
    End,
    Missing(Fault),
}

/// Rows out of the stream.
struct Rows<'a> {
    inflater: Inflater<'a>,
    /// The filter's number and the row.
    line: Vec<u8>,
    /// The row before.
    above: Vec<u8>,
    /// Bytes from a sample to that of the pixel before.
    step: usize,
}

impl Rows<'_> {
    fn next(&mut self, length: usize) -> Next {
        let whole = length + 1;
        if self.inflater.state == State::Ended {
            return Next::End;
        }
        let found = self.inflater.read(&mut self.line[..whole]);
        // What fails right behind a row fails with it.
        if found < whole || self.inflater.state == State::Failed {
            return Next::Missing(match self.inflater.state {
                State::Failed => Fault::corrupt("png: the compressed picture is damaged"),
                _ => Fault::truncated("png: the file ends within the picture"),
            });
        }
        let filter = self.line[0];
        if filter > 4 {
            let message = format!("png: a row of filter {filter}, which there is not");
            return Next::Missing(Fault::corrupt(message));
        }
        let (row, above) = (&mut self.line[1..whole], &mut self.above[..length]);
        unfilter(filter, row, above, self.step);
        above.copy_from_slice(row);
        Next::Row
    }
}

/// # Source
///
/// PNG, third edition, 9.2.
fn unfilter(filter: u8, row: &mut [u8], above: &[u8], step: usize) {
    for index in 0..row.len() {
        let left = index.checked_sub(step);
        let (a, c) = left.map_or((0, 0), |left| (row[left], above[left]));
        let b = above[index];
        let predicted = match filter {
            1 => a,
            2 => b,
            3 => a.midpoint(b),
            4 => nearest(a, b, c),
            _ => 0,
        };
        row[index] = row[index].wrapping_add(predicted);
    }
}

/// Paeth's predictor.
fn nearest(a: u8, b: u8, c: u8) -> u8 {
    let [left, up, corner] = [a, b, c].map(i16::from);
    let [to_left, to_up] = [(up - corner).abs(), (left - corner).abs()];
    let to_corner = (left + up - 2 * corner).abs();
    if to_left <= to_up && to_left <= to_corner {
        a
    } else if to_up <= to_corner {
        b
    } else {
        c
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    /// There are no more pieces.
    Dry,
    Ended,
    Failed,
}

struct Inflater<'a> {
    pieces: std::slice::Iter<'a, &'a [u8]>,
    piece: &'a [u8],
    stream: Decompress,
    state: State,
}

impl<'a> Inflater<'a> {
    fn new(pieces: &'a [&'a [u8]]) -> Self {
        Self {
            pieces: pieces.iter(),
            piece: &[],
            stream: Decompress::new(true),
            state: State::Going,
        }
    }

    /// How many bytes there were for `out`.
    fn read(&mut self, out: &mut [u8]) -> usize {
        let mut done = 0;
        while done < out.len() && self.state == State::Going {
            if self.piece.is_empty() {
                // What was read but had no room is not asked for, and Pillow asks for none either.
                match self.pieces.next() {
                    Some(piece) => self.piece = piece,
                    None => self.state = State::Dry,
                }
                continue;
            }
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status =
                self.stream
                    .decompress(self.piece, &mut out[done..], FlushDecompress::None);
            let length = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(0);
            let taken = length(self.stream.total_in(), taken);
            let given = length(self.stream.total_out(), given);
            self.piece = &self.piece[taken.min(self.piece.len())..];
            done += given;
            self.state = match status {
                Ok(Status::StreamEnd) => State::Ended,
                Ok(_) if taken + given > 0 => State::Going,
                _ => State::Failed,
            };
        }
        done
    }
}
