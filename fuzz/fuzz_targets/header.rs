//! The header of an image: whatever the bytes, an answer, without room for a pixel.
#![no_main]

use allocation_counter::measure;
use clip_filter_fuzz::tolerate_others;
use clip_filter_pixels::probe;
use libfuzzer_sys::fuzz_target;

/// What the items of an AVIF may take, and of a TIFF what does not grow with the file.
const MOST_BYTES: usize = 1 << 20;
/// Memory for every byte of a file that is all one entry of a TIFF's directory.
const VALUE_BYTES: usize = 40;

fuzz_target!(init: tolerate_others(), |bytes: &[u8]| {
    let mut answer = None;
    let memory = measure(|| answer = Some(probe(bytes))).bytes_max;
    let most = u64::try_from(MOST_BYTES + VALUE_BYTES * bytes.len()).unwrap_or(u64::MAX);
    assert!(memory <= most, "{memory} bytes for a header");
    if let Some(Ok(facts)) = answer {
        assert!(facts.width > 0 && facts.height > 0);
        assert!(facts.working_bytes() >= facts.pixels().saturating_mul(3));
    }
});
