//! Narrow rows on disk between the passes of one run.

mod spool;

pub use spool::{Spool, SpoolRows};
