//! An ONNX file: what is read of its graph, and the graph cut down to each of its outputs, which is read again.
#![no_main]

use clip_filter::fuzzing::graph;
use clip_filter_fuzz::tolerate_others;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: tolerate_others(), |bytes: &[u8]| {
    let _ = graph(bytes);
});
