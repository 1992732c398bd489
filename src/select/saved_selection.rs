//! A selection as a file that a later run reads.

use std::{collections::HashMap, io::Write};

use arrow::buffer::{BooleanBuffer, Buffer};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    selection::Selection,
};

/// A [`Selection`] with the fingerprints of its shards, as a file that a later run reads.
///
/// # Format
/// All numbers are little-endian.
///
/// | bytes | what |
/// |---|---|
/// | 8 | `CFSELECT` |
/// | 4 | version, 1 |
/// | 8 | number of shards |
/// | per shard: 4 | length of its fingerprint |
/// | | the fingerprint, UTF-8 |
/// | 8 | its rows |
/// | rows / 8, rounded up | one bit per row, lowest bit first; unused bits are 0 |
/// | 32 | SHA-256 of everything before |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSelection {
    fingerprints: Vec<String>,
    selection: Selection,
}

const MAGIC: &[u8; 8] = b"CFSELECT";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 32;

impl SavedSelection {
    /// Names the shards of a selection, in its order.
    ///
    /// # Errors
    /// When there are not as many fingerprints as shards.
    pub fn new(fingerprints: Vec<String>, selection: Selection) -> Result<Self> {
        if fingerprints.len() != selection.shards().len() {
            return Err(Error::internal("name the shards of a selection")
                .with("shards", selection.shards().len())
                .with("fingerprints", fingerprints.len()));
        }
        Ok(Self {
            fingerprints,
            selection,
        })
    }

    /// The fingerprint of every shard.
    pub fn fingerprints(&self) -> &[String] {
        &self.fingerprints
    }

    /// The selected rows.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// For each of these fingerprints, the shard that has it here; of several, each is named once, in order.
    pub fn places_of(&self, fingerprints: &[String]) -> Vec<Option<usize>> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, fingerprint) in self.fingerprints.iter().enumerate().rev() {
            places.entry(fingerprint).or_default().push(place);
        }
        let take = |name: &String| places.get_mut(name.as_str()).and_then(Vec::pop);
        fingerprints.iter().map(take).collect()
    }

    /// Writes it; a million rows take 125 kB.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: impl Write) -> Result<()> {
        self.write_checked(Checked::new(out))
            .map_err(|error| Error::output("write the selection").source(error))
    }

    fn write_checked<W: Write>(&self, mut out: Checked<W>) -> std::io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&(self.fingerprints.len() as u64).to_le_bytes())?;
        for (fingerprint, bits) in self.fingerprints.iter().zip(self.selection.shards()) {
            let length = u32::try_from(fingerprint.len()).map_err(std::io::Error::other)?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(fingerprint.as_bytes())?;
            out.write_all(&(bits.len() as u64).to_le_bytes())?;
            out.write_all(&bits.sliced())?;
        }
        out.finish()
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// When it is something else, was written by another version, or is damaged.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut rest = Rest(bytes);
        if rest.array() != Some(*MAGIC) {
            return Err(unreadable("it is no saved selection"));
        }
        match rest.array().map(u32::from_le_bytes) {
            Some(VERSION) => {}
            Some(version) => {
                return Err(unreadable("it was written by another version")
                    .with("version", version)
                    .with("expected", VERSION));
            }
            None => return Err(unreadable("it is cut short")),
        }
        let content = bytes.len().checked_sub(CHECKSUM_BYTES);
        let Some((content, checksum)) = content.and_then(|end| bytes.split_at_checked(end)) else {
            return Err(unreadable("it is cut short"));
        };
        if Sha256::digest(content)[..] != *checksum {
            return Err(unreadable("its checksum does not match"));
        }
        let header = MAGIC.len() + size_of_val(&VERSION);
        content
            .get(header..)
            .and_then(|shards| Rest(shards).saved())
            .ok_or_else(|| unreadable("its lengths contradict each other"))
    }
}

fn unreadable(found: &str) -> Error {
    Error::input("read the earlier selection")
        .with("found", found)
        .hint("remove the file: all rows that are kept then count as entered")
}

/// Bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn saved(mut self) -> Option<SavedSelection> {
        let shards = u64::from_le_bytes(self.array()?);
        let (mut fingerprints, mut bitmaps) = (Vec::new(), Vec::new());
        for _ in 0..shards {
            let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
            fingerprints.push(str::from_utf8(self.take(length)?).ok()?.to_owned());
            let rows = usize::try_from(u64::from_le_bytes(self.array()?)).ok()?;
            let bits = Buffer::from(self.take(rows.div_ceil(8))?);
            bitmaps.push(BooleanBuffer::new(bits, 0, rows));
        }
        self.0.is_empty().then(|| SavedSelection {
            fingerprints,
            selection: Selection::from_shards(bitmaps),
        })
    }
}

/// Hashes what it writes.
struct Checked<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Checked<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            hash: Sha256::new(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }

    fn finish(mut self) -> std::io::Result<()> {
        let checksum = self.hash.finalize();
        self.out.write_all(&checksum)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::seeded::Seeded;

    fn saved(seed: u64) -> SavedSelection {
        let mut random = Seeded::new(seed);
        let rows: Vec<u64> = (0..random.below(5)).map(|_| random.below(70)).collect();
        let mut builder = Selection::builder(rows.iter().copied());
        for (shard, &rows) in rows.iter().enumerate() {
            for row in 0..usize::try_from(rows).unwrap() {
                if random.below(2) == 0 {
                    builder.select(shard, row);
                }
            }
        }
        let fingerprints = rows.iter().map(|rows| format!("shard-é-{rows}")).collect();
        SavedSelection::new(fingerprints, builder.finish()).unwrap()
    }

    fn written(saved: &SavedSelection) -> Vec<u8> {
        let mut bytes = Vec::new();
        saved.write(&mut bytes).unwrap();
        bytes
    }

    fn found(bytes: &[u8]) -> String {
        SavedSelection::read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_it_wrote() {
        for seed in 0..30 {
            let saved = saved(seed);
            let bytes = written(&saved);
            assert_eq!(SavedSelection::read(&bytes).unwrap(), saved, "seed {seed}");
            assert_eq!(written(&SavedSelection::read(&bytes).unwrap()), bytes);
        }
    }

    #[test]
    fn every_bit_that_flips_is_noticed() {
        let bytes = written(&saved(3));
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (position % 8);
            assert!(SavedSelection::read(&damaged).is_err(), "byte {position}");
        }
    }

    #[test]
    fn every_length_but_the_right_one_is_noticed() {
        let mut bytes = written(&saved(3));
        for length in 0..bytes.len() {
            assert!(
                SavedSelection::read(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
        bytes.push(0);
        assert!(found(&bytes).contains("checksum"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(found(b"PAR1 and more").contains("no saved selection"));
        assert!(found(b"CFSELECT\x02\0\0\0").contains("version: 2"));
        assert!(found(b"CFSELECT\x01\0\0\0").contains("cut short"));
        // A right checksum over wrong lengths.
        let sealed = |content: &[u8]| {
            let mut bytes = Vec::new();
            let mut out = Checked::new(&mut bytes);
            out.write_all(content).unwrap();
            out.finish().unwrap();
            bytes
        };
        for content in [
            &b"CFSELECT\x01\0\0\0"[..],
            b"CFSELECT\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            b"CFSELECT\x01\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0a\xff\xff\xff\xff\xff\xff\xff\xff",
            b"CFSELECT\x01\0\0\0\0\0\0\0\0\0\0\0extra",
        ] {
            assert!(found(&sealed(content)).contains("lengths"), "{content:?}");
        }
    }

    #[test]
    fn shards_and_names_must_match() {
        let selection = Selection::builder([3, 4]).finish();
        assert!(SavedSelection::new(vec!["a".into()], selection).is_err());
    }
}
