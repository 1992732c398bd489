//! Huffman codes of a JPEG and the blocks of a sequential one, read without a check where the next bytes are plain data.
//!
//! What no table or block has room for is read as libjpeg reads it, since Pillow shows such pictures: an unknown code ends
//! its block, a run over the end of one leads to its last coefficient. Behind the end of a segment there are zeros:
//! whether any were taken is known to [`Bits::is_short`] alone. Whoever reads a scan decides what follows from that.

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
        match self.look[(reader.bits >> (64 - LOOK_BITS)) as usize] {
            Entry::LONG => self.long(reader.bits),
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

/// The bits of an entropy-coded segment.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// From the highest on; below the first `count` there may be some of those that follow.
    bits: u64,
    count: u32,
    /// How many of them were made up behind the end of the segment.
    padded: u32,
    /// Whether that is the end of the file, and no marker.
    is_cut: bool,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            bits: 0,
            count: 0,
            padded: 0,
            is_cut: false,
        }
    }

    /// Whether more bits were taken than there were.
    pub(crate) fn is_short(&self) -> bool {
        self.padded > self.count
    }

    /// Offset behind all bytes that were looked at: no marker lies before it.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Whether the file ends here, rather than the segment.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Goes on behind restart marker `number`; false where the data has another marker for libjpeg to stay at.
    ///
    /// # Source
    ///
    /// libjpeg's `jpeg_resync_to_restart`: one of the two that come next is not passed over, one of the two before is.
    #[cold]
    pub(crate) fn resume(&mut self, number: u8) -> bool {
        let mut at = self.at;
        loop {
            let Some(found) = memchr::memchr(0xff, self.data.get(at..).unwrap_or_default()) else {
                *self = Self {
                    at: self.data.len(),
                    is_cut: true,
                    ..Self::new(self.data)
                };
                return false;
            };
            at += found;
            let (stays, next) = match self.data[at..] {
                [0xff, 0xff, ..] => {
                    at += 1;
                    continue;
                }
                [0xff, kind @ 0xd0..=0xd7, ..] => match (kind & 7).wrapping_sub(number) & 7 {
                    1 | 2 => (true, at),
                    6 | 7 => {
                        at += 2;
                        continue;
                    }
                    _ => (false, at + 2),
                },
                // Below the frames' kinds there are none.
                [0xff, 0..=0xbf, ..] => {
                    at += 2;
                    continue;
                }
                _ => (true, at),
            };
            *self = Self {
                at: next,
                is_cut: self.data.len() - at < 2,
                ..Self::new(self.data)
            };
            return !stays;
        }
    }

    /// Goes on behind restart marker `number`, which must be next.
    pub(crate) fn restart(&mut self, number: u8) -> Option<()> {
        while self.data.get(self.at..)?.starts_with(&[0xff, 0xff]) {
            self.at += 1;
        }
        let marker = self.data.get(self.at..self.at + 2)?;
        if self.is_short() || self.count - self.padded > 7 || marker != [0xff, 0xd0 | number] {
            return None;
        }
        *self = Self {
            at: self.at + 2,
            ..Self::new(self.data)
        };
        Some(())
    }

    /// Has 32 bits at hand: those of a code and of its value.
    #[inline(always)]
    fn refill(&mut self) {
        const LOW: u64 = 0x0101_0101_0101_0101;
        if self.count >= 32 {
            return;
        }
        if let Some(bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*bytes);
            let marked = (!word).wrapping_sub(LOW) & word & (LOW << 7);
            if marked == 0 {
                self.bits |= word >> self.count;
                let taken = (64 - self.count) / 8;
                self.at += taken as usize;
                self.count += taken * 8;
                return;
            }
        }
        self.refill_slowly();
    }

    /// Byte by byte: a stuffed byte is passed over, and behind a marker there are zeros.
    #[cold]
    fn refill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = match self.data.get(self.at..).unwrap_or_default() {
                [0xff, 0, ..] => {
                    self.at += 2;
                    0xff
                }
                [byte, ..] if *byte != 0xff => {
                    self.at += 1;
                    *byte
                }
                rest => {
                    // Before a zero as before a marker there may be more of them.
                    let more = rest.iter().take_while(|&&byte| byte == 0xff).count();
                    match rest.get(more) {
                        Some(0) => {
                            self.at += more + 1;
                            0xff
                        }
                        found => {
                            self.is_cut = found.is_none();
                            self.padded += 8;
                            0
                        }
                    }
                }
            };
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    #[inline(always)]
    fn drop(&mut self, bits: u32) {
        self.bits <<= bits;
        self.count -= bits;
    }

    #[inline(always)]
    pub(crate) fn bit(&mut self) -> bool {
        if self.count == 0 {
            self.refill();
        }
        let bit = self.bits >> 63;
        self.drop(1);
        bit == 1
    }

    /// Between 1 and 16 bits that are at hand.
    #[inline(always)]
    pub(crate) fn take(&mut self, bits: u32) -> u32 {
        let [low, high, ..] = (self.bits >> (64 - bits)).to_le_bytes();
        self.drop(bits);
        u32::from(u16::from_le_bytes([low, high]))
    }
}

/// Reads the next block into coefficients in natural order, which are zeros; `before` is the component's first one in
/// the block before. True where no other than the first was coded.
#[inline(always)]
pub(crate) fn read_block(
    coefficients: &mut [i16; 64],
    reader: &mut Bits<'_>,
    (dc, ac): (&Codes, &Codes),
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
