use std::{
    fs::File,
    io::{Read, Result, Seek, SeekFrom},
};

use sha2::{Digest, Sha256};

/// Read at the end of a file, where a Parquet footer is.
const TAIL_BYTES: u64 = 256 << 10;
/// Places between start and end that are looked at, and how much is read at each.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 4 << 10;

/// Hash of a file's size, its end and samples in between, hex.
///
/// Reading all of a terabyte to learn that nothing has changed would cost what the scores save. A Parquet
/// footer holds offsets, sizes and mostly statistics of every column chunk, so a file that was written anew
/// has another; only bytes exchanged in place, between the samples, go unnoticed.
pub(super) fn fingerprint(mut file: &File, size_bytes: u64) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(size_bytes.to_le_bytes());
    let mut sample = |start: u64, len: u64| -> Result<()> {
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        hash.update(&bytes);
        Ok(())
    };
    let body = size_bytes.saturating_sub(TAIL_BYTES);
    sample(body, TAIL_BYTES)?;
    for number in 0..SAMPLES {
        sample(body / SAMPLES * number, SAMPLE_BYTES.min(body))?;
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_end_or_start_is_another_file() {
        let of = |bytes: &[u8]| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            std::fs::write(&path, bytes).unwrap();
            fingerprint(&File::open(&path).unwrap(), bytes.len() as u64).unwrap()
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
}
