//! The names of what is in a store.

use std::{
    ffi::OsStr,
    ops::Range,
    path::{Component, Path, PathBuf},
};

/// Characters of a fingerprint that name a file.
const FINGERPRINT_CHARS: usize = 32;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MODELS: &str = "models";
pub(super) const SCORES: &str = "scores";
pub(super) const RECORDS: &str = "records";
/// Rows of several small shards.
pub(super) const BUNDLES: &str = "bundles";
pub(super) const PARTS: &str = "parts";
/// Columns that are computed from the embeddings of all rows, a folder for each model.
pub(super) const DERIVED: &str = "derived";
/// What the store remembers besides.
pub(super) const STATE: &str = "state";
/// Uploads under way, under the names of what they become; in object stores alone.
#[cfg(feature = "remote")]
pub(super) const UPLOADS: &str = "uploads";
/// Where shards were found last.
pub(super) const KNOWN_SHARDS: &str = "state/shards.json";
/// Versions of tables that were scored with a model.
pub(super) fn known_tables(model: &str) -> String {
    format!("{STATE}/tables-{model}.json")
}

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

pub(super) fn bundle(name: &str) -> String {
    format!("{BUNDLES}/{name}.parquet")
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

/// Says who scores a shard.
#[cfg(feature = "remote")]
pub(super) fn claim(scored: &str) -> String {
    format!("{PARTS}/{scored}/claim")
}

/// Notes the upload of a blob.
#[cfg(feature = "remote")]
pub(super) fn upload(name: &str) -> String {
    format!("{UPLOADS}/{name}.json")
}

pub(super) fn model(key: &str) -> String {
    format!("{MODELS}/{key}.json")
}

/// The rows in a part's name; `None` for anything else.
pub(super) fn rows_of_part(name: &str) -> Option<Range<u64>> {
    let (start, end) = name.strip_suffix(".parquet")?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// Where a name leads in `directory`: never out of it, whatever a manifest made up by somebody calls a shard or a model.
pub(super) fn inside(directory: &Path, name: &str) -> PathBuf {
    let parts = Path::new(name).components().map(|part| match part {
        Component::Normal(part) => part,
        _ => OsStr::new("_"),
    });
    directory.join(parts.collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_store() {
        let store = Path::new("/data/store");
        let ours = scores(&scored("0123456789abcdef", "ab12"));
        assert_eq!(inside(store, &ours), store.join(&ours));
        for fingerprint in ["../../etc/x", "/etc/x", "a/../../../x", ".."] {
            for name in [scores(&scored(fingerprint, "m")), model(fingerprint)] {
                let path = inside(store, &name);
                let leaves = path.components().any(|part| part == Component::ParentDir);
                assert!(path.starts_with(store) && !leaves, "{}", path.display());
            }
        }
    }
}
