//! Streaming filter for image-text Parquet: CLIP scores as columns, exact budgets, bounded memory.
//!
//! ```text
//! shards ─► source ─► preprocess ─► encode ─► store ─► adapt ─► score ─► select ─► sink ─► pruned dataset
//!            rows      pixels,       embed-    score   linear   columns  Selection  only the selected
//!                      tokens        dings     store   maps     of the   (a value)  rows are read again
//!                                                               store
//! ```
//!
//! Read [`pipeline`] first: its entries, and the steps in order. A room imports the contract ([`error`], [`schema`],
//! [`config`], [`machine`], [`secrets`], [`summary`], [`trace`], [`selection`]) and what stands before it in the flow, never after it; a test
//! (`tests/it/rooms.rs`) reads the sources and says so. [`report`] and [`inspect`] tell people what a selection, shards,
//! a store or a model are. Kernels are crates of their own, `clip-filter-pixels` and `clip-filter-vectors`: both stay
//! optimised in a debug build.
//!
//! Only [`engine`] sees DataFusion, only `encode/onnx` sees ONNX Runtime, only `remote` sees
//! object_store, only `delta` sees the library of Delta's log, only [`cli`] sees clap.
//!
//! # Where does something new go?
//! | new | place |
//! |---|---|
//! | a score | an entry in [`schema::ScoreColumn`]'s registry, which says where its values are made |
//! | a layout of model files | a line in [`config::model_files`] |
//! | how a family of models prepares captions or pictures | `encode/model/texts`, `encode/model/images` |
//! | a kind of input, or a place where inputs lie | [`source`] |
//! | a format of tables | a room of its own, as `delta`, behind [`source::Tables`] |
//! | a place where outputs go | [`sink`] |
//! | a rule that selects | [`select`] |
//! | a function of SQL | a file in `engine/udf`, and its page in `sql/functions` |
//! | an option | `options`, which sorts it into what decides a run; its flag in `cli` |
//!
//! The feature `fuzzing` shows fuzzers (`fuzz/`) what is not public; no build of the program has it.
//!
//! # Use it
//! Options say what is done, a [`pipeline::RunContext`] with what; both own all they have, so that the work may be moved to any
//! thread. The command line does nothing else: it makes options of what was typed. A host whose options are named as its flags
//! calls its commands ([`cli::call`]); the Python package (`python/`) does.
//!
//! ```
//! use std::sync::Arc;
//! use clip_filter::{
//!     model::{Model, ModelOptions},
//!     pipeline::{RunContext, RunOptions, prepare, run},
//!     select::SelectOptions,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = tempfile::tempdir()?;
//! # let output = place.path().join("kept.parquet");
//! // `mock` encodes without a model; `bundled`, a directory or `hf:org/name` is a real one.
//! let model = Model::open("mock", ModelOptions::new())?;
//! let options = RunOptions::new(["assets/sample.parquet"], output)
//!     .with_select(SelectOptions::new("0.3".parse()?));
//! let prepared = prepare(&options)?; // what can be refused, before the model is loaded
//! let filtered = run(&options, prepared, RunContext::new(Arc::new(model)));
//! let summary = tokio::runtime::Runtime::new()?.block_on(filtered)?;
//! assert_eq!((summary.rows_in, summary.rows_kept, summary.rows_bad), (236, 70, 4));
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - Pixels never become a column: one 224 x 224 image is 602,112 bytes, a batch of rows would be gigabytes.
//! - A bad row never fails a run unless asked; `kept + cut + bad = rows in`, always.
//! - Nothing is visible under the output's name before it is complete and synced.
//! - What a run was told in confidence is in nothing that it writes or says (see [`secrets`]); data stays data.
//! - A row whose score is committed is not encoded again, and a run that was killed ends as one that was not.
//! - The output does not depend on threads, batch size or shard order, but for a model whose own vectors do
//!   (see [`summary::ModelCard::batch_dependent`]). Clusters and adapters of `--adapt=infonce` are drawn by the
//!   position of rows: they depend on the order of shards, too, and on nothing else but `--seed`. Adapters in closed form depend on neither,
//!   pools of pairs and repeats on the seed alone.
//! - Scores from embeddings, and selections by them, hold stretches of rows or of a cell in memory, not the dataset.
//! - No room reads the environment unless a host asks for it ([`model::ModelOptions::from_environment`]); `provision` and `remote` alone
//!   reach the network.
//! - The library sets nothing that belongs to the process: no environment, signal handlers, panic hooks, thread pools. One
//!   thing is one per process all the same: ONNX Runtime, loaded with the first model. The command line (`cli::run`) sets a hook, once: a
//!   panic that becomes an error is not printed. Connections to object stores are kept there, too, for its next command.
//!
//! # What a host may set
//! ONNX Runtime reads its environment only: `ORT_DISABLE_TELEMETRY=1`, before it is loaded, keeps its 1.32 builds from
//! sending usage events. The command line sets it.
//!
//! # Why is encoding an operator and not a function?
//! A scalar function in SQL runs once per place it is written, on rows that a cheaper condition would drop.
//! `ClipEncodeExec` runs once per row, after the cheap conditions, and overlaps reading, decoding and encoding.
//!
//! In SQL `clip_score(image, text)` is written like a function and hoisted into that operator before any rule can
//! copy the call.
//!
//! # Why is every selection two passes?
//! Scores go to the store first, always: a run that is killed goes on from there, and the next selection needs
//! seconds. Without `--scores` the store is private and goes with the run. One exception is asked for by name:
//! [`pipeline::online`] filters while a data loader reads, stores nothing, and holds the budget within a tolerance.
//!
//! # Why does a report decide nothing?
//! [`report`] tells what the selection of a run did, from the bits that it left: a second opinion in the page would be
//! one more thing to be wrong. Only the sliders count anew, and they count the histogram that is in front of the reader.
//!
//! # Why is the scan our own?
//! DataFusion's Parquet source fetches whole column chunks. Image shards have row groups of a gigabyte; ours
//! holds one page per column, so memory does not depend on how the shard was written.

pub mod adapt;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(any(feature = "remote", feature = "delta"))]
mod contention;
#[cfg(feature = "delta")]
pub mod delta;
mod digest;
pub mod encode;
pub mod engine;
pub mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod inspect;
pub mod machine;
pub mod model;
mod options;
pub mod pipeline;
pub mod preprocess;
pub mod provision;
#[cfg(feature = "remote")]
pub mod remote;
pub mod report;
pub mod schema;
pub mod score;
pub mod secrets;
pub mod select;
pub mod selection;
pub mod sink;
pub mod source;
pub mod store;
pub mod summary;
pub mod trace;
