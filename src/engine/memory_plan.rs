//! How the memory limit of a run is divided.

use super::{BatchSize, into_datafusion};
use crate::{
    config::ByteSize,
    error::{Error, Result},
    source::{ReadPlan, ShardSet},
};

/// What the program itself holds before it does anything: code, libraries, thread stacks, footers.
pub(super) const PROCESS_BYTES: u64 = 128 << 20;
/// Most rows of an Arrow batch in the wide pass; also bounds the memory of narrow columns.
const MAX_BATCH_ROWS: usize = 256;
/// Arrow batches alive at one time: read, waiting, in flight, being written.
pub(super) const BATCHES_ALIVE: u64 = 6;
/// Shares of operators that hold rows, beside one each of decoders, batches and pages.
const OPERATOR_SHARES: u64 = 2;

/// How the memory limit is divided. Every figure is fixed before the first row is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Encoders that fit.
    pub encoders: usize,
    /// Threads within one operator of each.
    pub intra_threads: usize,
    /// For all image decoders together.
    pub decode_bytes: u64,
    /// For weights, working memory and buffers of images.
    pub encoder_bytes: u64,
    /// For pages that cannot be read in parts.
    pub page_bytes: u64,
    /// Target of one Arrow batch.
    pub batch_bytes: u64,
    /// Most rows of one Arrow batch.
    pub batch_rows: usize,
    /// For the writer's unfinished row group.
    pub row_group_bytes: u64,
    /// For operators that hold rows, as sorts and joins do.
    pub operator_bytes: u64,
}

/// What the memory is divided for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A run, in which rows pass in the order of the shards.
    Run,
    /// Queries, which may sort, group and join them.
    Queries,
}

/// What the division depends on.
#[derive(Debug, Clone, Copy)]
pub struct MemoryNeeds {
    /// `--memory-limit`.
    pub limit: ByteSize,
    /// `--threads`.
    pub threads: usize,
    /// Most encoders wanted, whatever fits.
    pub most_encoders: usize,
    /// Weights and working memory of one encoder.
    pub encoder_bytes: u64,
    /// Rows of a model batch.
    pub model_batch_rows: usize,
    /// One resized image.
    pub image_bytes: u64,
    /// What it is for.
    pub purpose: Purpose,
}

impl MemoryPlan {
    /// For a run that encodes nothing.
    pub fn without_model(limit: ByteSize) -> Self {
        let rest = limit.0.saturating_sub(PROCESS_BYTES).max(32 << 20);
        Self {
            encoders: 1,
            intra_threads: 1,
            decode_bytes: 0,
            encoder_bytes: 0,
            page_bytes: rest / 3,
            batch_bytes: (rest / 3 / BATCHES_ALIVE).clamp(1 << 20, 64 << 20),
            batch_rows: MAX_BATCH_ROWS,
            row_group_bytes: (limit.0 / 4).clamp(8 << 20, 100 << 20),
            operator_bytes: rest / 3,
        }
    }

    /// The Arrow batches of a wide pass.
    pub fn batch(&self) -> BatchSize {
        BatchSize {
            rows: self.batch_rows,
            bytes: self.batch_bytes,
        }
    }

    /// Divides `needs.limit`.
    ///
    /// As many encoders run as threads, each with one thread, while they take no more than half of the
    /// limit; then fewer encoders with more threads each. What is left goes in equal parts to image decoders, Arrow
    /// batches, the pages that the reader holds, and two to the operators of a query.
    ///
    /// # Errors
    /// When not even one encoder fits.
    pub fn divide(needs: &MemoryNeeds) -> Result<Self> {
        let limit = needs.limit.0;
        let threads = needs.threads.max(1);
        let model_batch = needs.image_bytes * needs.model_batch_rows as u64;
        // One model batch in work and one waiting per encoder, one being filled per thread.
        let cost = |encoders: usize| {
            encoders as u64 * (needs.encoder_bytes + 2 * model_batch) + threads as u64 * model_batch
        };
        // Threads are divided between encoders, unless the device rather than the threads says how many there are.
        let shares =
            |encoders: usize| needs.most_encoders < threads || threads.is_multiple_of(encoders);
        let encoders = (1..=needs.most_encoders.clamp(1, threads))
            .rev()
            .find(|&encoders| shares(encoders) && cost(encoders) <= limit / 2)
            .unwrap_or(1);
        let fixed = PROCESS_BYTES + cost(encoders);
        let rest = limit.saturating_sub(fixed);
        let operator_shares = match needs.purpose {
            Purpose::Run => 0,
            Purpose::Queries => OPERATOR_SHARES,
        };
        let share = rest / (3 + operator_shares);
        if rest < 96 << 20 {
            return Err(Error::resources("fit the model into the memory limit")
                .with("limit", needs.limit)
                .with("model and buffers", ByteSize(cost(encoders)))
                .hint(format!(
                    "--memory-limit {}",
                    ByteSize(fixed + (128 << 20)).to_string().replace(' ', "")
                )));
        }
        Ok(Self {
            encoders,
            intra_threads: threads / encoders,
            decode_bytes: share,
            encoder_bytes: cost(encoders),
            page_bytes: share,
            batch_bytes: (share / BATCHES_ALIVE).clamp(1 << 20, 64 << 20),
            batch_rows: MAX_BATCH_ROWS,
            row_group_bytes: (limit / 4).clamp(8 << 20, 100 << 20),
            operator_bytes: operator_shares * share,
        })
    }
}

/// Refuses `limit` where a page of `columns` that cannot be read in parts is larger than `plan` has room for.
///
/// # Errors
/// Names the shard, the bytes, and the least limit that would do.
pub fn check_pages(
    shards: &ShardSet,
    columns: &[usize],
    plan: &MemoryPlan,
    limit: ByteSize,
) -> Result<()> {
    let Some((shard, bytes)) = shards.whole_pages_over(plan.page_bytes, columns)? else {
        return Ok(());
    };
    let least = limit.0 + 3 * (bytes - plan.page_bytes) + (1 << 20);
    Err(Error::resources(
        "fit a page into the memory limit: of its encoding or codec it is read as a whole",
    )
    .with("shard", &shard.location)
    .with("limit", limit)
    .with("page", ByteSize(bytes))
    .hint(format!(
        "--memory-limit {}MiB, or write the shard again with smaller pages",
        least >> 20
    )))
}

/// [`check_pages`] of a scan that has `limit` to itself, if it has one.
pub(super) fn check_scan(
    shards: &ShardSet,
    plan: &ReadPlan,
    limit: Option<ByteSize>,
) -> datafusion::common::Result<()> {
    let Some(limit) = limit else {
        return Ok(());
    };
    let room = MemoryPlan::without_model(limit);
    check_pages(shards, &plan.columns_read(), &room, limit).map_err(into_datafusion)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(limit: u64, threads: usize, encoder_bytes: u64) -> MemoryNeeds {
        MemoryNeeds {
            limit: ByteSize(limit),
            threads,
            most_encoders: threads,
            encoder_bytes,
            model_batch_rows: 16,
            image_bytes: 602_112,
            purpose: Purpose::Queries,
        }
    }

    #[test]
    fn a_large_model_gets_fewer_encoders_with_more_threads() {
        let small = MemoryPlan::divide(&needs(8 << 30, 8, 100 << 20)).unwrap();
        assert_eq!((small.encoders, small.intra_threads), (8, 1));
        let large = MemoryPlan::divide(&needs(8 << 30, 8, 900 << 20)).unwrap();
        assert_eq!((large.encoders, large.intra_threads), (4, 2));
    }

    #[test]
    fn parts_never_exceed_the_limit() {
        for limit in [512u64 << 20, 1 << 30, 6 << 30, 64 << 30] {
            for threads in [1, 2, 3, 16, 96] {
                let Ok(plan) = MemoryPlan::divide(&needs(limit, threads, 150 << 20)) else {
                    continue;
                };
                let sum = PROCESS_BYTES
                    + plan.encoder_bytes
                    + plan.decode_bytes
                    + plan.page_bytes
                    + plan.operator_bytes
                    + plan.batch_bytes * BATCHES_ALIVE;
                assert!(sum <= limit, "limit {limit}, threads {threads}: {plan:?}");
            }
        }
    }

    #[test]
    fn a_limit_below_the_model_is_refused_with_a_limit_that_works() {
        let error = MemoryPlan::divide(&needs(512 << 20, 2, 600 << 20)).unwrap_err();
        let report = error.report();
        let hint = report.rsplit("--memory-limit ").next().unwrap();
        let limit: ByteSize = hint.parse().unwrap();
        assert!(
            MemoryPlan::divide(&needs(limit.0, 2, 600 << 20)).is_ok(),
            "{report}"
        );
    }
}
