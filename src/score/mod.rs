//! Kernels over embeddings.

mod alignment;

pub use alignment::{cosine, dot};
