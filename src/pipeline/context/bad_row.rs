//! The error that names a bad row.

use crate::error::Error;

/// A row that `--on-error fail` stops at.
pub(in crate::pipeline) struct BadRow<'a> {
    pub(in crate::pipeline) shard: &'a str,
    pub(in crate::pipeline) row: i64,
    pub(in crate::pipeline) key: &'a str,
    pub(in crate::pipeline) status: &'a str,
    pub(in crate::pipeline) reason: &'a str,
}

pub(in crate::pipeline) fn bad_row(bad: BadRow<'_>) -> Error {
    Error::input("score a row")
        .with("shard", bad.shard)
        .with("row", bad.row)
        .with("key", bad.key)
        .with("status", bad.status)
        .with("reason", bad.reason)
        .hint("--on-error drop leaves bad rows out and counts them")
}
