//! The names of what is in a store.

use std::ops::Range;

/// Characters of a fingerprint that name a file.
const FINGERPRINT_CHARS: usize = 32;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MODELS: &str = "models";
pub(super) const SCORES: &str = "scores";
pub(super) const RECORDS: &str = "records";
pub(super) const PARTS: &str = "parts";
/// Columns that are computed from the embeddings of all rows, a folder for each model.
pub(super) const DERIVED: &str = "derived";
/// What the store remembers besides.
pub(super) const STATE: &str = "state";
/// Where shards were found last.
pub(super) const KNOWN_SHARDS: &str = "state/shards.json";
/// The rows that the last run kept.
pub(super) const SELECTION: &str = "state/selection.bin";

/// The part of a fingerprint that names files.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..FINGERPRINT_CHARS).unwrap_or(fingerprint)
}

/// What a shard is called in names of one model.
pub(super) fn scored(fingerprint: &str, model: &str) -> String {
    format!("{}-{model}", short(fingerprint))
}

pub(super) fn scores(scored: &str) -> String {
    format!("{SCORES}/{scored}.parquet")
}

pub(super) fn record(scored: &str) -> String {
    format!("{RECORDS}/{scored}.json")
}

pub(super) fn parts(scored: &str) -> String {
    format!("{PARTS}/{scored}")
}

pub(super) fn part(scored: &str, rows: &Range<u64>) -> String {
    format!(
        "{PARTS}/{scored}/{:012}-{:012}.parquet",
        rows.start, rows.end
    )
}

pub(super) fn model(key: &str) -> String {
    format!("{MODELS}/{key}.json")
}

/// The rows in a part's name; `None` for anything else.
pub(super) fn rows_of_part(name: &str) -> Option<Range<u64>> {
    let (start, end) = name.strip_suffix(".parquet")?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}
