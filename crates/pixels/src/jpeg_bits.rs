//! The bits of a JPEG's entropy-coded data, up to a marker, and how they go on behind one.

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

    /// The bits that come next, from the highest on.
    #[inline(always)]
    pub(crate) fn ahead(&self) -> u64 {
        self.bits
    }

    /// Has 32 bits at hand: those of a code and of its value.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
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
    pub(crate) fn drop(&mut self, bits: u32) {
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
