//! An ONNX file: what is read of its graph, and the graph cut down to each of its outputs, which is read again.
#![no_main]

use clip_filter::fuzzing::graph;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = graph(bytes);
});
