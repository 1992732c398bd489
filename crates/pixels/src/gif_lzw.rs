//! The codes of a GIF's frame, read as Pillow reads them, so that of a damaged one the same pixels are left.
//!
//! Written by hand because the `gif` crate reads parts of blocks, and Pillow none.

use crate::fault::Fault;

/// Longest code, and codes of such a table.
const MAX_BITS: u32 = 12;
const TABLE: usize = 1 << MAX_BITS;

/// Where a frame lies on its screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) screen_width: usize,
    pub(crate) is_interlaced: bool,
}

/// First row and step of the passes of an interlaced frame.
const PASSES: [(usize, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

/// The next pixel's place.
struct Pen<'a> {
    screen: &'a mut [u8],
    place: Place,
    x: usize,
    y: usize,
    pass: usize,
    is_done: bool,
}

impl Pen<'_> {
    fn put(&mut self, index: u8) {
        let place = self.place;
        let at = (place.top + self.y) * place.screen_width + place.left + self.x;
        if let Some(pixel) = self.screen.get_mut(at).filter(|_| !self.is_done) {
            *pixel = index;
        }
        self.x += 1;
        if self.x < place.width {
            return;
        }
        self.x = 0;
        if !place.is_interlaced {
            self.y += 1;
            self.is_done = self.y >= place.height;
            return;
        }
        self.y += PASSES[self.pass].1;
        while self.y >= place.height {
            let Some((first, _)) = PASSES.get(self.pass + 1) else {
                self.is_done = true;
                return;
            };
            (self.pass, self.y) = (self.pass + 1, *first);
        }
    }
}

/// Bits of blocks, each of which begins with its length.
struct Bits<'a> {
    rest: &'a [u8],
    block: &'a [u8],
    bits: u32,
    count: u32,
}

impl Bits<'_> {
    /// None where the next block is not whole.
    fn take(&mut self, size: u32) -> Option<usize> {
        while self.count < size {
            if let Some((&byte, block)) = self.block.split_first() {
                self.block = block;
                self.bits |= u32::from(byte) << self.count;
                self.count += 8;
                continue;
            }
            let (&length, rest) = self.rest.split_first()?;
            (self.block, self.rest) = rest.split_at_checked(usize::from(length))?;
        }
        let code = self.bits & ((1 << size) - 1);
        self.bits >>= size;
        self.count -= size;
        usize::try_from(code).ok()
    }
}

/// Strings of indices by their code.
struct Strings {
    /// The last index of a string, and the code of what stands before it.
    last: [u8; TABLE],
    before: [u16; TABLE],
    /// The string at hand, from its end.
    string: Vec<u8>,
}

impl Strings {
    /// Adds the string of a code to that at hand; its first index.
    fn read(&mut self, mut code: usize, clear: usize) -> u8 {
        while code >= clear {
            self.string.push(self.last[code]);
            code = usize::from(self.before[code]);
        }
        self.string.push(low(code));
        low(code)
    }
}

/// An index of at most eight bits.
fn low(code: usize) -> u8 {
    code.to_le_bytes()[0]
}

/// Puts the pixels of a frame on its screen, from the byte on that tells the size of codes; what is missing stays as it
/// is.
///
/// # Errors
///
/// `Truncated` or `Corrupt` where the frame is not whole; the screen has then what there is.
pub(crate) fn decode(data: &[u8], place: Place, screen: &mut [u8]) -> Result<(), Fault> {
    let cut = || Fault::truncated("gif: the file ends within the picture");
    let damaged = || Fault::corrupt("gif: the compressed picture is damaged");
    let (&bits, rest) = data.split_first().ok_or_else(cut)?;
    if u32::from(bits) > MAX_BITS {
        return Err(damaged());
    }
    let clear = 1_usize << bits;
    let mut pen = Pen {
        screen,
        place,
        x: 0,
        y: 0,
        pass: 0,
        is_done: place.width == 0 || place.height == 0,
    };
    let mut reader = Bits {
        rest,
        block: &[],
        bits: 0,
        count: 0,
    };
    let mut strings = Strings {
        last: [0; TABLE],
        before: [0; TABLE],
        string: Vec::new(),
    };
    let first_size = u32::from(bits) + 1;
    let (mut size, mut next) = (first_size, clear + 2);
    let mut known: Option<(usize, u8)> = None;
    while !pen.is_done {
        let code = reader.take(size).ok_or_else(cut)?;
        if code == clear {
            (size, next, known) = (first_size, clear + 2, None);
            continue;
        }
        if code == clear + 1 {
            return Err(cut());
        }
        let Some((before, first)) = known else {
            if code > clear {
                return Err(damaged());
            }
            let index = low(code);
            pen.put(index);
            known = Some((code, index));
            continue;
        };
        if code > next {
            return Err(damaged());
        }
        strings.string.clear();
        let mut at = code;
        if code == next {
            // The string that is only being made: the one before and its own first index.
            strings.string.push(first);
            at = before;
        }
        let first = strings.read(at, clear);
        for &index in strings.string.iter().rev() {
            if !pen.is_done {
                pen.put(index);
            }
        }
        if next < TABLE {
            strings.last[next] = first;
            strings.before[next] = u16::try_from(before).unwrap_or(0);
            if next == (1 << size) - 1 && size < MAX_BITS {
                size += 1;
            }
            next += 1;
        }
        known = Some((code, first));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(width: usize, height: usize, is_interlaced: bool) -> Place {
        Place {
            left: 0,
            top: 0,
            width,
            height,
            screen_width: width,
            is_interlaced,
        }
    }

    /// Codes of three bits each: clear, then one for each pixel.
    fn data(indices: &[u8]) -> Vec<u8> {
        // Three bits hold no more than two codes that the table grows by; a clear before every pixel keeps them so.
        let codes: Vec<u8> = indices.iter().flat_map(|&index| [4, index]).collect();
        let mut bytes = vec![0; (codes.len() * 3).div_ceil(8)];
        for (number, code) in codes.iter().enumerate() {
            for bit in 0..3 {
                let at = number * 3 + bit;
                bytes[at / 8] |= (code >> bit & 1) << (at % 8);
            }
        }
        let length = u8::try_from(bytes.len()).unwrap();
        [&[2, length][..], &bytes, &[0]].concat()
    }

    #[test]
    fn rows_of_an_interlaced_frame_lie_where_their_pass_has_them() {
        let mut screen = [9; 10];
        let indices: Vec<u8> = (0..10).map(|row| row % 4).collect();
        decode(&data(&indices), place(1, 10, true), &mut screen).unwrap();
        // Rows 0 and 8, then 4, then 2 and 6, then the odd ones.
        assert_eq!(screen, [0, 1, 3, 2, 2, 3, 0, 0, 1, 1]);
    }

    #[test]
    fn what_is_missing_stays_as_it_is() {
        let whole = data(&[1, 2, 3, 1]);
        let mut screen = [9; 4];
        decode(&whole, place(2, 2, false), &mut screen).unwrap();
        assert_eq!(screen, [1, 2, 3, 1]);
        // A block that is not whole is not read at all.
        let mut screen = [9; 4];
        let cut = decode(&whole[..whole.len() - 2], place(2, 2, false), &mut screen);
        assert_eq!(cut.unwrap_err().kind, crate::fault::FaultKind::Truncated);
        assert_eq!(screen, [9; 4]);
        // A code that no string has yet.
        let mut screen = [9; 4];
        let wrong = decode(&[2, 2, 0b11_001_100, 1, 0], place(2, 2, false), &mut screen);
        assert_eq!(wrong.unwrap_err().kind, crate::fault::FaultKind::Corrupt);
        assert_eq!(screen, [1, 9, 9, 9]);
    }
}
