//! Run-length coded bitmaps.

use crate::fault::Fault;

/// Position in the picture; rows run from the first coded one.
struct Pen<'a> {
    indices: &'a mut [u8],
    width: usize,
    at: usize,
    column: usize,
}

impl Pen<'_> {
    fn is_full(&self) -> bool {
        self.at >= self.indices.len()
    }

    fn put(&mut self, index: u8) {
        if let Some(cell) = self.indices.get_mut(self.at) {
            *cell = index;
            self.at += 1;
        }
    }

    /// A run ends with its row.
    fn put_run(&mut self, count: usize, value: u8, nibbles: bool) {
        let count = count.min(self.width.saturating_sub(self.column));
        for index in 0..count {
            let both = [value >> 4, value & 15];
            self.put(if nibbles { both[index % 2] } else { value });
        }
        self.column += count;
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.indices.len());
    }

    fn end_line(&mut self) {
        self.at = self.at.next_multiple_of(self.width);
        self.column = 0;
    }
}

/// Fills `indices` as Pillow's decoder does: a run ends at its row's end, skipped pixels have index 0.
///
/// `offset` is where `data` lies in the file, because literal runs are padded to even offsets of the file.
pub(crate) fn decode(
    data: &[u8],
    offset: usize,
    nibbles: bool,
    width: usize,
    indices: &mut [u8],
) -> Result<(), Fault> {
    let mut pen = Pen {
        indices,
        width,
        at: 0,
        column: 0,
    };
    let mut read = 0;
    while !pen.is_full() {
        let Some(&[count, value]) = data.get(read..read + 2) else {
            break;
        };
        read += 2;
        match (count, value) {
            (0, 0) => pen.end_line(),
            (0, 1) => break,
            (0, 2) => {
                let Some(&[right, up]) = data.get(read..read + 2) else {
                    break;
                };
                read += 2;
                pen.skip(usize::from(right) + usize::from(up) * width);
                pen.column = pen.at % width;
            }
            (0, count) => {
                let room = pen.indices.len() - pen.at;
                let pixels = room.min(usize::from(count));
                let length = if nibbles { pixels.div_ceil(2) } else { pixels };
                let literal = data
                    .get(read..(read + length).min(data.len()))
                    .unwrap_or_default();
                put_literal(&mut pen, literal, nibbles, pixels);
                if literal.len() < length {
                    break;
                }
                read += length;
                read += (offset + read) % 2;
                pen.column += usize::from(count);
            }
            (count, value) => pen.put_run(usize::from(count), value, nibbles),
        }
    }
    if !pen.is_full() {
        return Err(Fault::truncated(format!(
            "bmp: {} of {} pixels coded",
            pen.at,
            pen.indices.len()
        )));
    }
    Ok(())
}

fn put_literal(pen: &mut Pen<'_>, literal: &[u8], nibbles: bool, pixels: usize) {
    if !nibbles {
        literal.iter().for_each(|&index| pen.put(index));
        return;
    }
    for (at, byte) in literal.iter().enumerate() {
        pen.put(byte >> 4);
        if at * 2 + 1 < pixels {
            pen.put(byte & 15);
        }
    }
}
