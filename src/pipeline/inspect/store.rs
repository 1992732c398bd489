//! The facts of a score store.

use std::path::{Path, PathBuf};

use arrow::{
    array::{Array, AsArray},
    datatypes::Float32Type,
};
use serde::Serialize;

use crate::{
    error::Result,
    report::BadRows,
    schema::{CLIP_SCORE, STATUS, Status},
    select::ScoreHistogram,
    source::ShardSet,
    store::{ScoreRows, ScoreStore, ShardIdentity, StoreSpec},
};

/// The quantiles that are told, in per cent.
pub const QUANTILES: [u32; 9] = [1, 5, 10, 25, 50, 75, 90, 95, 99];
/// How often the rows of a shard are opened anew, when a writer has moved them.
const TRIES: usize = 3;

/// What a score store holds.
#[derive(Debug, Serialize)]
pub struct StoreFacts {
    /// Where it is.
    pub directory: String,
    /// Format of its files.
    pub format: u32,
    /// The program that made it.
    pub written_by: String,
    /// Another process was writing to it.
    pub in_use: bool,
    /// Size of its files.
    pub size_bytes: u64,
    /// Everything that decides what it holds of a row.
    pub made_with: StoreSpec,
    /// Rows of all shards it knows.
    pub rows: u64,
    /// Rows of them that are in the store, or that its condition left out.
    pub rows_decided: u64,
    /// Rows in the store.
    pub rows_stored: u64,
    /// Rows in the store without a score.
    pub rows_bad: u64,
    /// The same by status.
    pub bad: BadRows,
    /// The scores; `None` if there is not one.
    pub scores: Option<Scores>,
    /// Every shard it knows.
    pub shards: Vec<StoredShard>,
}

/// A shard as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredShard {
    /// Where it was when it was scored.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Rows before this one are in the store, or its condition left them out.
    pub decided_rows: u64,
    /// How far it is.
    pub progress: Progress,
    /// What has become of the file.
    pub file: FileState,
}

/// How far a shard is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// No row.
    Missing,
    /// Some rows.
    Partial,
    /// Every row.
    Complete,
}

/// A shard's file, compared with what was scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// It has not changed.
    Same,
    /// Its fingerprint is another.
    Changed,
    /// It is not where it was.
    Gone,
    /// It cannot be read.
    Unreadable,
}

/// The distribution of `clip_score`, exact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Rows with a score.
    pub count: u64,
    /// The lowest.
    pub min: f32,
    /// The highest.
    pub max: f32,
    /// The mean.
    pub mean: f64,
    /// Scores at [`QUANTILES`].
    pub quantiles: Vec<Quantile>,
}

/// The lowest score that at least a part `q` of the scores does not exceed; no value lies between two scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantile {
    /// The part.
    pub q: f64,
    /// The score.
    pub score: f32,
}

impl StoreFacts {
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let store = ScoreStore::look(directory)?;
        let in_use = store.is_in_use();
        let shards = store
            .shards()
            .iter()
            .map(|shard| StoredShard::of(&store, shard))
            .collect::<Result<Vec<_>>>()?;
        let content = Content::read(&store, &shards)?;
        let total = |rows: fn(&StoredShard) -> u64| shards.iter().map(rows).sum();
        Ok(Self {
            directory: directory.display().to_string(),
            format: store.format(),
            written_by: store.written_by().to_owned(),
            in_use,
            size_bytes: store.size_bytes(),
            made_with: store.spec().clone(),
            rows: total(|shard| shard.rows),
            rows_decided: total(|shard| shard.decided_rows),
            rows_stored: content.rows,
            rows_bad: content.bad.values().sum(),
            bad: content.bad,
            scores: content.scores,
            shards,
        })
    }
}

impl StoredShard {
    fn of(store: &ScoreStore, shard: &ShardIdentity) -> Result<Self> {
        let coverage = store.coverage(shard)?;
        Ok(Self {
            path: shard.path.clone(),
            rows: shard.rows,
            decided_rows: coverage.decided_rows,
            progress: match (coverage.complete, coverage.decided_rows) {
                (true, _) => Progress::Complete,
                (false, 0) => Progress::Missing,
                (false, _) => Progress::Partial,
            },
            file: FileState::of(shard),
        })
    }
}

impl FileState {
    fn of(shard: &ShardIdentity) -> Self {
        let path = PathBuf::from(&shard.path);
        match ShardSet::open(std::slice::from_ref(&path)) {
            Ok(set) if set.shards[0].fingerprint == shard.fingerprint => Self::Same,
            Ok(_) => Self::Changed,
            Err(_) if !path.exists() => Self::Gone,
            Err(_) => Self::Unreadable,
        }
    }
}

/// What is counted of the rows of a store, in two passes over them.
struct Content {
    rows: u64,
    bad: BadRows,
    scores: Option<Scores>,
}

impl Content {
    /// Reads the rows that `shards` say are decided: a writer may add others meanwhile, and both passes must see
    /// the same.
    fn read(store: &ScoreStore, shards: &[StoredShard]) -> Result<Self> {
        let mut first = FirstPass::default();
        each_stretch(
            store,
            shards,
            &[CLIP_SCORE, STATUS],
            &mut |rows, from, to| {
                first.count(rows, from, to);
            },
        )?;
        let scores = first.scores(|ranks| {
            let mut fine = first.histogram.ranks(ranks);
            each_stretch(store, shards, &[CLIP_SCORE], &mut |rows, from, to| {
                let scores = rows.columns[0].slice(from, to - from);
                let scores = scores.as_primitive::<Float32Type>();
                scores.iter().flatten().for_each(|score| fine.push(score));
            })?;
            Ok(fine.scores())
        })?;
        Ok(Self {
            rows: first.rows,
            bad: first.bad,
            scores,
        })
    }
}

#[derive(Default)]
struct FirstPass {
    rows: u64,
    bad: BadRows,
    histogram: ScoreHistogram,
    sum: f64,
}

impl FirstPass {
    fn count(&mut self, rows: &ScoreRows, from: usize, to: usize) {
        self.rows += (to - from) as u64;
        let scores = rows.columns[0].slice(from, to - from);
        for score in scores.as_primitive::<Float32Type>().iter().flatten() {
            self.histogram.push(score);
            self.sum += f64::from(score);
        }
        if scores.null_count() == 0 {
            return;
        }
        let statuses = rows.columns[1].slice(from, to - from);
        for status in statuses.as_string::<i32>().iter().flatten() {
            if status != Status::Ok.as_str() {
                *self.bad.entry(status.to_owned()).or_default() += 1;
            }
        }
    }

    /// The distribution; `at_ranks` tells the scores at ranks, 1 the lowest.
    fn scores(
        &self,
        at_ranks: impl FnOnce(&[u64]) -> Result<Vec<Option<f32>>>,
    ) -> Result<Option<Scores>> {
        let count = self.histogram.count();
        let ranks: Vec<u64> = [1, count]
            .into_iter()
            .chain(QUANTILES.iter().map(|&percent| rank(count, percent)))
            .collect();
        if count == 0 {
            return Ok(None);
        }
        let found: Option<Vec<f32>> = at_ranks(&ranks)?.into_iter().collect();
        let Some([min, max, quantiles @ ..]) = found.as_deref() else {
            // A shard was scored anew between the passes.
            return Ok(None);
        };
        let quantiles = QUANTILES.iter().zip(quantiles);
        #[expect(clippy::cast_precision_loss, reason = "a mean for a person")]
        let mean = self.sum / count as f64;
        Ok(Some(Scores {
            count,
            min: *min,
            max: *max,
            mean,
            quantiles: quantiles
                .map(|(&percent, &score)| Quantile {
                    q: f64::from(percent) / 100.0,
                    score,
                })
                .collect(),
        }))
    }
}

/// The rank of a quantile: part x count, rounded up.
fn rank(count: u64, percent: u32) -> u64 {
    let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
    u64::try_from(rank).unwrap_or(count).max(1)
}

/// Gets stretches of stored rows, each with the positions in it that count.
type Visit<'a> = dyn FnMut(&ScoreRows, usize, usize) + 'a;

fn each_stretch(
    store: &ScoreStore,
    shards: &[StoredShard],
    columns: &[&str],
    visit: &mut Visit<'_>,
) -> Result<()> {
    for (identity, shard) in store.shards().iter().zip(shards) {
        let decided = i64::try_from(shard.decided_rows).unwrap_or(i64::MAX);
        let mut next = 0;
        for left in (0..TRIES).rev() {
            match read_on(store, identity, columns, (&mut next, decided), visit) {
                Ok(()) => break,
                // A writer may have made one file of the parts; the rows that are left are in that.
                Err(_) if left > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Visits the rows of a shard from `next` on and before `end`; `next` follows.
fn read_on(
    store: &ScoreStore,
    shard: &ShardIdentity,
    columns: &[&str],
    (next, end): (&mut i64, i64),
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut cursor = store.scores(shard)?.cursor(columns, 0)?;
    while let Some(rows) = cursor.advance()? {
        // Both are found at once, but for the first and the last stretch.
        let mut positions = 0..rows.len();
        let from = positions.find(|&position| rows.row(position) >= *next);
        let from = from.unwrap_or(rows.len());
        let last = (from..rows.len())
            .rev()
            .find(|&position| rows.row(position) < end);
        let Some(last) = last else {
            continue;
        };
        visit(rows, from, last + 1);
        *next = rows.row(last) + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, UInt32Array};

    use super::*;
    use crate::{report::ModelCard, store::EmbeddingType};

    fn spec() -> StoreSpec {
        StoreSpec {
            model: ModelCard::default(),
            image_column: "image".to_owned(),
            text_column: "text".to_owned(),
            class_captions: None,
            max_pixels: 9,
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
        let shards = [StoredShard::of(&store, &shard).unwrap()];
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

    #[test]
    fn quantiles_are_the_scores_that_sorting_finds() {
        for count in [1u16, 2, 9, 100, 101, 1000] {
            let scores: Vec<f32> = (0..count)
                .map(|row| f32::from((row * 37) % count) / 1000.0 - 0.2)
                .collect();
            let mut first = FirstPass::default();
            for &score in &scores {
                first.histogram.push(score);
                first.sum += f64::from(score);
            }
            let at_ranks = |ranks: &[u64]| {
                let mut fine = first.histogram.ranks(ranks);
                scores.iter().for_each(|&score| fine.push(score));
                Ok(fine.scores())
            };
            let found = first.scores(at_ranks).unwrap().unwrap();
            let mut sorted = scores.clone();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(
                (found.min, found.max),
                (sorted[0], sorted[sorted.len() - 1])
            );
            assert_eq!(found.count, u64::from(count));
            for quantile in found.quantiles {
                // The first score that enough scores do not exceed.
                let reached = |score: &&f32| {
                    let below = sorted.iter().filter(|other| other <= score).count();
                    below as f64 >= quantile.q * f64::from(count) - 1e-9
                };
                let expected = sorted.iter().find(reached).unwrap();
                assert_eq!(quantile.score, *expected, "{count}: {}", quantile.q);
            }
        }
        let none = FirstPass::default();
        assert_eq!(none.scores(|_| Ok(Vec::new())).unwrap(), None);
    }
}
