//! Streaming filter for image-text Parquet.

pub mod config;
pub mod encode;
pub mod error;
pub mod preprocess;
pub mod schema;
