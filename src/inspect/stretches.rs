//! Stored rows, in stretches, while somebody may be writing others.

use std::ops::Range;

use super::store::StoredShard;
use crate::{
    error::Result,
    store::{ScoreRows, ScoreStore, ShardIdentity},
};

/// How often the rows of a shard are opened anew, when a writer has moved them.
const TRIES: usize = 3;

/// Gets stretches of stored rows, each with the positions in it that count.
pub(super) type Visit<'a> = dyn FnMut(&ScoreRows, usize, usize) + 'a;

/// Visits the rows that `shards` say are decided: a writer may add others meanwhile, and every pass must see the same.
pub(super) fn each_stretch(
    store: &ScoreStore,
    shards: &[StoredShard],
    columns: &[&str],
    visit: &mut Visit<'_>,
) -> Result<()> {
    let stretches = Stretches { store, columns };
    for (identity, shard) in store.shards().iter().zip(shards) {
        let decided = i64::try_from(shard.decided_rows).unwrap_or(i64::MAX);
        let mut rows_left = 0..decided;
        for left in (0..TRIES).rev() {
            match stretches.read_on(identity, &mut rows_left, visit) {
                Ok(()) => break,
                // A writer may have made one file of the parts; the rows that are left are in that.
                Err(_) if left > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Some columns of a store.
struct Stretches<'a> {
    store: &'a ScoreStore,
    columns: &'a [&'a str],
}

impl Stretches<'_> {
    /// Visits those rows of a shard that are left; they are fewer afterwards.
    fn read_on(
        &self,
        shard: &ShardIdentity,
        rows_left: &mut Range<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let mut cursor = self.store.scores(shard)?.cursor(self.columns, 0)?;
        while let Some(rows) = cursor.advance()? {
            // Both are found at once, but for the first and the last stretch.
            let mut positions = 0..rows.len();
            let from = positions.find(|&position| rows.row(position) >= rows_left.start);
            let from = from.unwrap_or(rows.len());
            let last = (from..rows.len())
                .rev()
                .find(|&position| rows.row(position) < rows_left.end);
            let Some(last) = last else {
                continue;
            };
            visit(rows, from, last + 1);
            rows_left.start = rows.row(last) + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, UInt32Array};

    use super::*;
    use crate::{
        inspect::store::{FileState, Progress},
        schema::CLIP_SCORE,
        store::{EmbeddingType, StoreSpec},
        summary::ModelCard,
    };

    fn spec() -> StoreSpec {
        StoreSpec {
            model: ModelCard::default(),
            image_column: "image".to_owned(),
            text_column: "text".to_owned(),
            class_captions: None,
            max_pixels: 9,
            reading: Default::default(),
            allow_external_paths: false,
            condition: None,
            embeddings: EmbeddingType::None,
        }
    }

    /// Rows as a store keeps them; a row's score is its number.
    fn rows(range: std::ops::Range<u16>) -> RecordBatch {
        let len = range.len();
        let column = |column: ArrayRef, nullable| (column, nullable);
        let columns = [
            (
                "row",
                column(
                    Arc::new(Int64Array::from_iter_values(range.clone().map(i64::from))),
                    false,
                ),
            ),
            (
                "status",
                column(Arc::new(StringArray::from(vec!["ok"; len])), false),
            ),
            ("reason", column(Arc::new(StringArray::new_null(len)), true)),
            (
                "width",
                column(Arc::new(UInt32Array::from(vec![3; len])), true),
            ),
            (
                "height",
                column(Arc::new(UInt32Array::from(vec![4; len])), true),
            ),
            (
                "clip_score",
                column(
                    Arc::new(Float32Array::from_iter_values(range.map(f32::from))),
                    true,
                ),
            ),
        ];
        let columns = columns.map(|(name, (column, nullable))| (name, column, nullable));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn a_writer_at_work_changes_nothing_of_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ScoreStore::open_or_create(dir.path(), &spec()).unwrap();
        let shard = ShardIdentity {
            path: "/no/such.parquet".to_owned(),
            given: "such.parquet".to_owned(),
            fingerprint: "f".repeat(64),
            size_bytes: 1,
            rows: 30_000,
        };
        writer.record(std::slice::from_ref(&shard)).unwrap();
        for part in [0..10_000, 10_000..20_000] {
            let decided = u64::from(part.start)..u64::from(part.end);
            writer.commit_part(&shard, decided, &[rows(part)]).unwrap();
        }
        let store = ScoreStore::look(dir.path()).unwrap();
        let shards = [StoredShard::of(&store, &shard, &crate::source::Places::default()).unwrap()];
        assert_eq!(
            (shards[0].progress, shards[0].file),
            (Progress::Partial, FileState::Gone)
        );
        let mut seen = Vec::new();
        each_stretch(&store, &shards, &[CLIP_SCORE], &mut |stretch, from, to| {
            if seen.is_empty() {
                writer
                    .commit_part(&shard, 20_000..30_000, &[rows(20_000..30_000)])
                    .unwrap();
                writer.complete(&shard).unwrap();
            }
            seen.extend((from..to).map(|position| stretch.row(position)));
        })
        .unwrap();
        assert_eq!(seen, (0..20_000).collect::<Vec<i64>>());
    }
}
