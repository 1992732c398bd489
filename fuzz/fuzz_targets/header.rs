//! The header of an image: whatever the bytes, an answer, without room for a pixel.
#![no_main]

use allocation_counter::measure;
use clip_filter_pixels::probe;
use libfuzzer_sys::fuzz_target;

/// What the directory of a TIFF or the items of an AVIF may take, whatever they declare.
const MOST_BYTES: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut answer = None;
    let memory = measure(|| answer = Some(probe(bytes))).bytes_max;
    assert!(memory <= MOST_BYTES, "{memory} bytes for a header");
    if let Some(Ok(facts)) = answer {
        assert!(facts.width > 0 && facts.height > 0);
        assert!(facts.working_bytes() >= facts.pixels().saturating_mul(3));
    }
});
