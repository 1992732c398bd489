//! Tells whether a shard is still the one that was scored.

use std::io::Result;

use sha2::{Digest, Sha256};

use super::{Location, ShardBytes};

use crate::digest::hex;

/// Read at the end of a file, where a Parquet footer is.
const TAIL_BYTES: u64 = 256 << 10;
/// Places between start and end that are looked at, and how much is read at each.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 4 << 10;

/// What tells the content of a file from another, hex.
///
/// Where a listing gives a version, that and the size; nothing is read. `seal` is what else is known of the content.
pub(super) fn fingerprint(
    location: &Location,
    file: &ShardBytes,
    seal: Option<&str>,
) -> Result<String> {
    match &location.listed().version {
        None => {
            let content = of_content(file)?;
            let sealed = seal.map(|seal| hex(&Sha256::digest(format!("{content} {seal}"))));
            Ok(sealed.unwrap_or(content))
        }
        Some(version) => {
            let mut hash = Sha256::new();
            hash.update(file.size_bytes().to_le_bytes());
            hash.update(version);
            Ok(hex(&hash.finalize()))
        }
    }
}

/// Hash of a file's size, its end and samples in between.
///
/// Reading all of a terabyte to learn that nothing has changed would cost what the scores save. A Parquet
/// footer holds offsets, sizes and mostly statistics of every column chunk, so a file that was written anew
/// has another; only bytes exchanged in place, between the samples, go unnoticed.
fn of_content(file: &ShardBytes) -> Result<String> {
    let size_bytes = file.size_bytes();
    let mut hash = Sha256::new();
    hash.update(size_bytes.to_le_bytes());
    let body = size_bytes.saturating_sub(TAIL_BYTES);
    hash.update(&file.read_at(body..size_bytes)?);
    for number in 0..SAMPLES {
        let start = body / SAMPLES * number;
        hash.update(&file.read_at(start..start + SAMPLE_BYTES.min(body))?);
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::{
        Listed, Places,
        memory::{MemoryFile, MemoryPlace},
    };

    #[test]
    fn another_size_end_or_start_is_another_file() {
        let of = |bytes: &[u8]| {
            let file = Arc::new(MemoryFile::new(bytes.to_vec()));
            of_content(&ShardBytes::new(file)).unwrap()
        };
        let body = vec![7u8; 1 << 20];
        let mut first = body.clone();
        first[0] = 8;
        let mut last = body.clone();
        *last.last_mut().unwrap() = 8;
        let all = [
            of(&body),
            of(&first),
            of(&last),
            of(&body[1..]),
            of(b""),
            of(b"x"),
        ];
        for (position, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 64);
            assert!(!all[..position].contains(one), "{position}");
        }
        assert_eq!(of(&body), all[0]);
    }

    /// A store that was filled by an earlier version of the program goes on.
    #[test]
    fn the_fingerprint_of_a_local_file_has_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let bytes: Vec<u8> = (0..=240).cycle().take(500_000).collect();
        std::fs::write(&path, bytes).unwrap();
        let location = Location::local(path);
        assert_eq!(
            fingerprint(&location, &location.open().unwrap(), None).unwrap(),
            "04ffbbb9b2c8096f2a2bedcf58fac03bc1d97c7e70db53ff74a966a7a0aac902"
        );
    }

    #[test]
    fn a_version_that_is_listed_stands_for_the_content() {
        let memory = Arc::new(MemoryPlace::default());
        let file = memory.put("mem://a", vec![1; 1000]);
        let places = Places::default().with_place("mem", Arc::clone(&memory) as _);
        let of = |version: &str| {
            memory.set_version("mem://a", version);
            let location = places.at("mem://a").unwrap();
            fingerprint(&location, &location.open().unwrap(), None).unwrap()
        };
        let first = of("e1");
        assert_ne!(first, of("e2"));
        assert_eq!(first, of("e1"));
        assert_eq!(file.ranges(), 0);
        let unlisted = Location::new(Listed::named("mem://a"), memory);
        assert_ne!(
            first,
            fingerprint(&unlisted, &unlisted.open().unwrap(), None).unwrap()
        );
    }
}
