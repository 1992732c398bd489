//! Huffman codes of a JPEG and the blocks of a sequential one, read without a check where the next bytes are plain data.
//!
//! What no table or block has room for is read as libjpeg reads it, since Pillow shows such pictures: an unknown code ends
//! its block, a run over the end of one leads to its last coefficient. Behind the end of a segment there are zeros:
//! whether any were taken is known to [`Bits::is_short`] alone. Whoever reads a scan decides what follows from that.

use crate::jpeg_bits::Bits;

/// Bits that a code and its value are looked up by at once.
const LOOK_BITS: u32 = 10;

/// Where the coefficients of a block lie, in the order in which they are coded.
#[rustfmt::skip]
pub(crate) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Run of the symbol that ends a block. In a progressive scan some more bits follow it, the excess over this, and with
/// them it ends many.
pub(crate) const END: u32 = 64;

/// What one code stands for: bits to drop, bits of the value that follow them, coefficients to skip, and the value
/// where it was among the bits looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

impl Entry {
    /// No code of at most [`LOOK_BITS`] bits.
    const LONG: Self = Self(0);

    fn new(bits: u32, size: u32, run: u32, value: i16) -> Self {
        let [low, high] = value.to_le_bytes();
        Self(bits | size << 5 | run << 9 | u32::from(u16::from_le_bytes([low, high])) << 16)
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 & 31
    }

    #[inline(always)]
    fn size(self) -> u32 {
        self.0 >> 5 & 15
    }

    #[inline(always)]
    fn run(self) -> u32 {
        self.0 >> 9 & 127
    }

    #[inline(always)]
    fn value(self) -> i16 {
        let [_, _, low, high] = self.0.to_le_bytes();
        i16::from_le_bytes([low, high])
    }
}

/// Which coefficients a table codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Differences of the first.
    Dc,
    /// All others.
    Ac,
}

/// One Huffman table.
pub(crate) struct Codes {
    class: Class,
    /// Whether the lengths and symbols are those of a prefix code.
    pub(crate) is_sound: bool,
    /// Codes of every length from 1 on.
    counts: [u8; 16],
    symbols: [u8; 256],
    look: [Entry; 1 << LOOK_BITS],
    /// Per length, one more than its last code, and what added to a code gives its symbol's index.
    ends: [i32; 17],
    offsets: [i32; 17],
}

impl Codes {
    /// A table without a code.
    pub(crate) fn empty(class: Class) -> Box<Self> {
        Box::new(Self {
            class,
            is_sound: false,
            counts: [0; 16],
            symbols: [0; 256],
            look: [Entry::LONG; 1 << LOOK_BITS],
            ends: [0; 17],
            offsets: [0; 17],
        })
    }

    /// Takes the table that a file defines; nothing is done where it is the one at hand.
    ///
    /// One that is not sound is damage only where a scan uses it.
    pub(crate) fn set(&mut self, counts: [u8; 16], symbols: &[u8]) {
        if self.is_sound && self.counts == counts && self.symbols.starts_with(symbols) {
            return;
        }
        self.counts = counts;
        self.is_sound = self.build(symbols).is_some();
    }

    fn build(&mut self, symbols: &[u8]) -> Option<()> {
        self.symbols
            .get_mut(..symbols.len())?
            .copy_from_slice(symbols);
        self.look.fill(Entry::LONG);
        let (mut code, mut index) = (0i32, 0i32);
        for (length, count) in (1u32..).zip(self.counts) {
            let at = length as usize;
            self.offsets[at] = index - code;
            self.ends[at] = code + i32::from(count);
            // No code is all ones.
            if self.ends[at] >= 1 << length {
                return None;
            }
            for _ in 0..count {
                let symbol = *symbols.get(usize::try_from(index).ok()?)?;
                self.look_up(length, u32::try_from(code).ok()?, symbol)?;
                (code, index) = (code + 1, index + 1);
            }
            code <<= 1;
        }
        Some(())
    }

    /// Enters a code at every index that begins with it.
    fn look_up(&mut self, length: u32, code: u32, symbol: u8) -> Option<()> {
        let plain = self.entry(length, symbol)?;
        let Some(free) = LOOK_BITS.checked_sub(length) else {
            return Some(());
        };
        let size = plain.size();
        for rest in 0..1u32 << free {
            let entry = if size > 0 && size <= free {
                let magnitude = rest >> (free - size);
                Entry::new(length + size, 0, plain.run(), extended(magnitude, size))
            } else {
                plain
            };
            *self.look.get_mut((code << free | rest) as usize)? = entry;
        }
        Some(())
    }

    /// What a symbol stands for, its value still to be read.
    fn entry(&self, length: u32, symbol: u8) -> Option<Entry> {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match self.class {
            Class::Dc => (symbol < 16).then(|| Entry::new(length, size, 0, 0)),
            // Zeros only: a run of sixteen, or all that are left.
            Class::Ac if size == 0 && run != 15 => Some(Entry::new(length, 0, END + run, 0)),
            Class::Ac => Some(Entry::new(length, size, run, 0)),
        }
    }

    /// The entry of a code too long for the table; of none, that of symbol 0 behind the bits that libjpeg drops.
    #[cold]
    fn long(&self, bits: u64) -> Entry {
        let known = || {
            for length in LOOK_BITS + 1..=16 {
                let at = length as usize;
                let code = i32::try_from(bits >> (64 - length)).ok()?;
                if code < self.ends[at] {
                    let index = usize::try_from(code + self.offsets[at]).ok()?;
                    return self.entry(length, *self.symbols.get(index)?);
                }
            }
            None
        };
        let run = match self.class {
            Class::Dc => 0,
            Class::Ac => END,
        };
        known().unwrap_or(Entry::new(17, 0, run, 0))
    }

    #[inline(always)]
    fn look(&self, reader: &mut Bits<'_>) -> Entry {
        reader.refill();
        match self.look[(reader.ahead() >> (64 - LOOK_BITS)) as usize] {
            Entry::LONG => self.long(reader.ahead()),
            entry => entry,
        }
    }

    /// Coefficients to skip and the value behind them; up to 15 bits are left at hand.
    #[inline(always)]
    pub(crate) fn next(&self, reader: &mut Bits<'_>) -> (u32, i16) {
        let entry = self.look(reader);
        reader.drop(entry.bits());
        let size = entry.size();
        let value = if size == 0 {
            entry.value()
        } else {
            extended(reader.take(size), size)
        };
        (entry.run(), value)
    }

    /// As [`Codes::next`] where a value can only be one: a larger one is damage, and has one bit all the same.
    #[inline(always)]
    pub(crate) fn next_one(&self, reader: &mut Bits<'_>) -> (u32, i16) {
        let entry = self.look(reader);
        let (bits, value) = (entry.bits(), entry.value());
        let looked_up = i16::BITS - value.unsigned_abs().leading_zeros();
        let value = if entry.size() > 0 || looked_up > 1 {
            reader.drop(bits - looked_up);
            extended(reader.take(1), 1)
        } else {
            reader.drop(bits);
            value
        };
        (entry.run(), value)
    }
}

/// A value of `size` bits, of which the lower half are the negative ones.
#[inline(always)]
fn extended(magnitude: u32, size: u32) -> i16 {
    let [low, high, ..] = magnitude.to_le_bytes();
    let value = i16::from_le_bytes([low, high]);
    if magnitude >> (size - 1) == 0 {
        value.wrapping_sub((1i16 << size).wrapping_sub(1))
    } else {
        value
    }
}

/// Reads the next block into coefficients in natural order, which are zeros; `before` is the component's first one in
/// the block before. True where no other than the first was coded.
#[inline(always)]
pub(crate) fn read_block(
    coefficients: &mut [i16; 64],
    reader: &mut Bits<'_>,
    dc: &Codes,
    ac: &Codes,
    before: &mut i16,
) -> bool {
    let (_, difference) = dc.next(reader);
    *before = before.wrapping_add(difference);
    coefficients[0] = *before;
    let (mut at, mut is_flat) = (1, true);
    while at < 64 {
        let (run, value) = ac.next(reader);
        at += run;
        if run >= END {
            break;
        }
        is_flat = false;
        coefficients[usize::from(NATURAL[at.min(63) as usize]) & 63] = value;
        at += 1;
    }
    is_flat
}
