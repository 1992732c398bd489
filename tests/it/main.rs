//! All integration tests, as one binary: each that links the engine takes long to link and much disk.
//!
//! `cli` drives the program with the mock encoder, which needs no model; `encoders`, `golden`, `sample` and `interop`
//! load ONNX Runtime, fetched into the user cache if the machine has none.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::clone_on_ref_ptr,
    reason = "a test that cannot go on fails; its helpers stand outside of test functions"
)]

mod browser;
mod cli;
#[cfg(feature = "delta")]
mod delta;
mod docs;
mod encoders;
mod format_1;
mod golden;
mod hostile;
mod interop;
mod library;
mod method;
mod models;
mod object_store;
mod output_parts;
mod pictures;
mod program;
#[cfg(feature = "remote")]
mod remote;
mod resume;
mod rooms;
mod runtime;
mod sample;
mod second_source;
mod secrets;
mod shards;
mod sharing;
mod slt;
mod sql;
mod times;
mod world;
mod worlds;
