//! The first directory of a TIFF before the `tiff` crate reads it, which makes room for what an entry declares.

use crate::fault::Fault;

const PHOTOMETRIC: u16 = 262;
const ORIENTATION: u16 = 274;
const XMP: u16 = 700;

/// Entries that are read, by the crate or by us; whatever else a file says of itself may be broken.
const READ: [u16; 21] = [
    256,
    257,
    258,
    259,
    PHOTOMETRIC,
    266,
    273,
    277,
    278,
    279,
    284,
    317,
    320,
    322,
    323,
    324,
    325,
    338,
    339,
    347,
    530,
];

/// Memory of one value while an entry is read: what the crate holds it in, and the number that is kept.
const VALUE_BYTES: u64 = 32 + 8;

/// What must be known of a directory before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Offset of the number that says what samples mean.
    pub(crate) photometric_at: usize,
    /// That number.
    pub(crate) photometric: u16,
    /// Upper bound of the memory for the values of all entries that are read.
    pub(crate) held_bytes: u64,
}

impl Directory {
    /// Looks through the first directory of a file.
    ///
    /// # Errors
    ///
    /// `Corrupt` where it does not say what its samples mean, or an entry has more values than the file has room for.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let file = File::new(bytes);
        let (mut found, mut held_bytes) = (None, 0u64);
        let mut entries = 0;
        for entry in file.entries().into_iter().flatten() {
            entries += 1;
            if file.is_big() && !entry.is_known() {
                // The crate would go on in the middle of it.
                let message = format!("tiff: tag {} is of kind {}", entry.tag, entry.kind);
                return Err(Fault::unsupported(message));
            }
            if !READ.contains(&entry.tag) {
                continue;
            }
            let room = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if entry.count.saturating_mul(entry.value_size()) > room {
                let message = format!("tiff: {} values of tag {}", entry.count, entry.tag);
                return Err(Fault::corrupt(message));
            }
            held_bytes = held_bytes.saturating_add(entry.count.saturating_mul(VALUE_BYTES));
            if entry.tag == PHOTOMETRIC {
                found = file.photometric(&entry);
            }
        }
        let (photometric_at, photometric) = found.ok_or_else(|| match file.entry_count() {
            Some(count) if count == entries => {
                Fault::corrupt("tiff: its directory does not say what its samples mean")
            }
            Some(_) => Fault::truncated("tiff: the file ends within its directory"),
            None => Fault::truncated("tiff: the file ends before its directory"),
        })?;
        Ok(Self {
            photometric_at,
            photometric,
            held_bytes,
        })
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u64,
    count: u64,
    /// Offset of its value, or of where that is.
    value_at: usize,
}

impl Entry {
    fn is_known(&self) -> bool {
        matches!(self.kind, 1..=13 | 16..=18)
    }

    /// Whether it is of a kind whose values are read for metadata.
    fn has_value(&self) -> bool {
        matches!(self.kind, 1..=13 | 16)
    }

    /// Bytes of one value.
    ///
    /// # Source
    ///
    /// TIFF 6.0, section 2, and BigTIFF for kinds 16 to 18.
    fn value_size(&self) -> u64 {
        match self.kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        }
    }
}

/// What a directory says of the position in which its picture is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orientation {
    /// It says nothing.
    Absent,
    /// A number from 1 to 8, or 0 for what is none of these.
    Number(u8),
    /// It is no directory.
    Damaged,
}

/// What the first directory of a TIFF says of its position.
pub(crate) fn orientation(bytes: &[u8]) -> Orientation {
    let file = File::new(bytes);
    if file.number(4, 4).is_none() {
        return Orientation::Damaged;
    }
    let value = file.value(ORIENTATION);
    value.map_or(Orientation::Absent, |value| {
        Orientation::Number(file.small_number(value))
    })
}

/// The XMP packet that the first directory of a TIFF holds.
pub(crate) fn xmp(bytes: &[u8]) -> Option<&[u8]> {
    let value = File::new(bytes).value(XMP)?;
    matches!(value.kind, 1 | 7).then_some(value.bytes)
}

/// What an entry holds.
#[derive(Clone, Copy)]
struct Value<'a> {
    kind: u64,
    bytes: &'a [u8],
}

struct File<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            big_endian: bytes.starts_with(b"MM"),
        }
    }

    /// The value of a tag, of which the first entry counts that has one.
    ///
    /// # Source
    ///
    /// Pillow's `ImageFileDirectory_v2.load`: what would be larger than the file is passed over, and reading ends at a
    /// value that is not in the file.
    fn value(&self, tag: u16) -> Option<Value<'a>> {
        let word = if self.is_big() { 8 } else { 4 };
        let all = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        let mut apart = 0u64;
        for entry in self.entries()?.filter(Entry::has_value) {
            let size = entry.count.saturating_mul(entry.value_size());
            let inline = self
                .bytes
                .get(entry.value_at..entry.value_at.checked_add(word)?)?;
            let length = usize::try_from(size).unwrap_or(usize::MAX);
            let mut bytes = inline.get(..length);
            if bytes.is_none() {
                apart = apart.saturating_add(size);
                if apart > all {
                    continue;
                }
                let at = usize::try_from(self.number(entry.value_at, word)?).ok()?;
                bytes = Some(self.bytes.get(at..at.checked_add(length)?)?);
            }
            let bytes = bytes.filter(|bytes| entry.tag == tag && !bytes.is_empty());
            if let Some(bytes) = bytes {
                return Some(Value {
                    kind: entry.kind,
                    bytes,
                });
            }
        }
        None
    }

    /// The first of an entry's numbers where it is one from 1 to 8, else 0.
    fn small_number(&self, value: Value<'_>) -> u8 {
        let values = File {
            bytes: value.bytes,
            big_endian: self.big_endian,
        };
        let whole = |size: usize| values.number(0, size);
        let is = |number: u8| {
            let wanted = u64::from(number);
            match value.kind {
                3 | 8 => whole(2) == Some(wanted),
                4 | 9 | 13 => whole(4) == Some(wanted),
                6 => whole(1) == Some(wanted),
                16 => whole(8) == Some(wanted),
                5 | 10 => {
                    let product = values.number(4, 4).map(|below| below * wanted);
                    product != Some(0) && product == whole(4)
                }
                11 => whole(4) == Some(u64::from(f32::from(number).to_bits())),
                12 => whole(8) == Some(f64::from(number).to_bits()),
                _ => false,
            }
        };
        (1..=8).find(|&number| is(number)).unwrap_or(0)
    }
}

impl File<'_> {
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let part = self.bytes.get(at..at.checked_add(size)?)?;
        let append = |sum: u64, &byte: &u8| (sum << 8) | u64::from(byte);
        Some(match self.big_endian {
            true => part.iter().fold(0, append),
            false => part.iter().rev().fold(0, append),
        })
    }

    fn is_big(&self) -> bool {
        self.number(2, 2) == Some(43)
    }

    /// How many entries the first directory declares, if it is in the file.
    fn entry_count(&self) -> Option<u64> {
        let (start_at, word, count_size) = if self.is_big() { (8, 8, 8) } else { (4, 4, 2) };
        let start = usize::try_from(self.number(start_at, word)?).ok()?;
        self.number(start, count_size)
    }

    /// Those of the first directory that are in the file.
    fn entries(&self) -> Option<impl Iterator<Item = Entry> + '_> {
        let big = self.is_big();
        let (start_at, word) = if big { (8, 8) } else { (4, 4) };
        let start = usize::try_from(self.number(start_at, word)?).ok()?;
        let (count_size, entry_size) = if big { (8, 20) } else { (2, 12) };
        let first = start.checked_add(count_size)?;
        let count = usize::try_from(self.number(start, count_size)?).ok()?;
        let entry = move |index: usize| {
            let at = index.checked_mul(entry_size)?.checked_add(first)?;
            Some(Entry {
                tag: u16::try_from(self.number(at, 2)?).ok()?,
                kind: self.number(at.checked_add(2)?, 2)?,
                count: self.number(at.checked_add(4)?, word)?,
                value_at: at.checked_add(4 + word)?,
            })
        };
        Some((0..count).map_while(entry))
    }

    /// Where an entry of one number says what samples mean, and what it says.
    fn photometric(&self, entry: &Entry) -> Option<(usize, u16)> {
        // A long number ends with the short one where it is big-endian.
        let long = self.big_endian && entry.kind == 4;
        let at = entry.value_at.checked_add(if long { 2 } else { 0 })?;
        Some((at, u16::try_from(self.number(at, 2)?).ok()?))
    }
}
