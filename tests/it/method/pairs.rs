//! Labelled pairs that the mock model encodes.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use serde_json::Value;

use crate::{
    program::Place,
    shards::{self, Pair},
};

/// Names of the classes of [`labelled`].
pub(super) const KINDS: [&str; 3] = ["cat", "dog", "boat"];

/// A column `kind` beside the columns of `shards::hf_batch`: the classes in turn, every eleventh row without one.
pub(super) fn labelled(pairs: &[Pair]) -> RecordBatch {
    let kinds = (0..pairs.len()).map(|row| (row % 11 != 5).then(|| KINDS[row % KINDS.len()]));
    let uids = (0..pairs.len()).map(|row| Some(format!("{row:032x}")));
    let ranks: Int64Array = (0..i64::try_from(pairs.len()).unwrap()).collect();
    shards::batch(vec![
        ("uid", Arc::new(uids.collect::<StringArray>())),
        ("image", shards::image_column(pairs)),
        ("text", shards::text_column(pairs)),
        ("rank", Arc::new(ranks)),
        ("kind", Arc::new(kinds.collect::<StringArray>())),
    ])
}

/// `in.parquet` with bad images and rows without a class.
pub(super) fn place(rows: u32) -> Place {
    let place = Place::new();
    let batch = labelled(&shards::mixed_pairs(rows));
    shards::write(&place.path("in.parquet"), &batch);
    place
}

/// Every input row is one of kept, cut and bad.
#[track_caller]
pub(super) fn assert_accounted(report: &Value) {
    let count = |name: &str| report[name].as_u64().unwrap();
    let accounted = count("rows_kept") + count("rows_cut") + count("rows_bad");
    assert_eq!(accounted, count("rows_in"), "{report}");
}
