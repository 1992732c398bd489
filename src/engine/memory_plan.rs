//! How the memory limit of a run is divided.

use super::{BatchSize, into_datafusion};
use crate::{
    config::ByteSize,
    error::{Error, Result},
    source::{Location, ReadPlan, ShardSet},
};

/// What the program itself holds before it does anything: code, libraries, thread stacks, footers; ends of
/// remote shards, 24 MiB.
pub(super) const PROCESS_BYTES: u64 = 128 << 20;
/// Most rows of an Arrow batch in the wide pass; also bounds the memory of narrow columns.
const MAX_BATCH_ROWS: usize = 256;
/// Arrow batches alive at one time: read, waiting, in flight, being written.
pub(super) const BATCHES_ALIVE: u64 = 6;
/// Shares of operators that hold rows, beside one each of decoders, batches and pages.
const OPERATOR_SHARES: u64 = 2;
/// The least that is divided where nothing is encoded: buffers of readers and writers are no smaller for a smaller limit.
const LEAST_BYTES: u64 = 64 << 20;
/// The least that is divided beside a model.
const LEAST_BESIDE_MODEL: u64 = 96 << 20;
/// Every limit that is not refused has room for a page of so many bytes, with a model and without.
pub const LEAST_PAGE_BYTES: u64 = LEAST_BESIDE_MODEL / (3 + OPERATOR_SHARES);

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

impl MemoryNeeds {
    /// Bytes of weights, working memory and images of so many encoders.
    fn cost(&self, encoders: usize) -> u64 {
        let model_batch = self.image_bytes * self.model_batch_rows as u64;
        // One model batch in work and one waiting per encoder, one being filled per thread.
        encoders as u64 * (self.encoder_bytes + 2 * model_batch)
            + self.threads.max(1) as u64 * model_batch
    }
}

impl MemoryPlan {
    /// For a run that encodes nothing; [`check_limit`] refuses a limit that is too small for it.
    pub fn without_model(limit: ByteSize) -> Self {
        let rest = divided_bytes(limit);
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
    /// When not even one encoder fits. The limit that is named has room for `beside`, too.
    pub fn divide(needs: &MemoryNeeds, beside: &Beside) -> Result<Self> {
        Self::divided(needs).ok_or_else(|| {
            let least = least_limit(needs.limit, |limit| {
                let divided = Self::divided(&MemoryNeeds { limit, ..*needs });
                divided.is_some_and(|plan| beside(limit, &plan))
            });
            Error::resources("fit the model into the memory limit")
                .with("limit", needs.limit)
                .with("model and buffers", ByteSize(needs.cost(1)))
                .hint(format!("--memory-limit {}", in_mebibytes(least)))
        })
    }

    /// `None` where not even one encoder fits.
    pub fn divided(needs: &MemoryNeeds) -> Option<Self> {
        let limit = needs.limit.0;
        let threads = needs.threads.max(1);
        let beside = PROCESS_BYTES + LEAST_BESIDE_MODEL;
        let most = (limit / 2).min(limit.saturating_sub(beside));
        // Threads are divided between encoders, unless the device rather than the threads says how many there are.
        let shares =
            |encoders: usize| needs.most_encoders < threads || threads.is_multiple_of(encoders);
        let encoders = (1..=needs.most_encoders.clamp(1, threads))
            .rev()
            .find(|&encoders| shares(encoders) && needs.cost(encoders) <= most)
            .unwrap_or(1);
        let encoder_bytes = needs.cost(encoders);
        let rest = limit.checked_sub(PROCESS_BYTES + encoder_bytes);
        let rest = rest.filter(|&rest| rest >= LEAST_BESIDE_MODEL)?;
        let operator_shares = match needs.purpose {
            Purpose::Run => 0,
            Purpose::Queries => OPERATOR_SHARES,
        };
        let share = rest / (3 + operator_shares);
        Some(Self {
            encoders,
            intra_threads: threads / encoders,
            decode_bytes: share,
            encoder_bytes,
            page_bytes: share,
            batch_bytes: (share / BATCHES_ALIVE).clamp(1 << 20, 64 << 20),
            batch_rows: MAX_BATCH_ROWS,
            row_group_bytes: (limit / 4).clamp(8 << 20, 100 << 20),
            operator_bytes: operator_shares * share,
        })
    }
}

/// Whether a limit and its division have room for what comes beside the model.
pub type Beside = dyn Fn(ByteSize, &MemoryPlan) -> bool + Send + Sync;

/// A page that is read as a whole, for which a limit has no room.
#[derive(Debug, Clone)]
pub struct WholePage {
    shard: Location,
    /// Bytes of such pages that are in memory at one time.
    pub bytes: u64,
}

impl WholePage {
    /// The largest of `columns` of `shards`, if it has more than `room` bytes.
    ///
    /// # Errors
    /// When the headers of pages cannot be read.
    pub fn over(room: u64, shards: &ShardSet, columns: &[usize]) -> Result<Option<Self>> {
        let found = shards.whole_pages_over(room, columns)?;
        Ok(found.map(|(shard, bytes)| Self {
            shard: shard.location.clone(),
            bytes,
        }))
    }

    /// The error that names the shard, the bytes, and the least limit above `limit` that `fits`.
    pub fn refused(&self, limit: ByteSize, fits: impl Fn(ByteSize) -> bool) -> Error {
        let least = least_limit(limit, fits);
        Error::resources(
            "fit a page into the memory limit: of its encoding or codec it is read as a whole",
        )
        .with("shard", &self.shard)
        .with("limit", limit)
        .with("page", ByteSize(self.bytes))
        .hint(format!(
            "--memory-limit {}, or write the shard again with smaller pages",
            in_mebibytes(least)
        ))
    }
}

/// Refuses `limit` where it is too small for work that encodes nothing, or has no room for `page`.
///
/// # Errors
/// Names the least limit that would do.
pub fn check_limit(limit: ByteSize, page: Option<&WholePage>) -> Result<()> {
    check_limit_beside(limit, page, &|_, _| true)
}

/// As [`check_limit`]; the limit that is named has room for `beside`, too.
pub(super) fn check_limit_beside(
    limit: ByteSize,
    page: Option<&WholePage>,
    beside: &Beside,
) -> Result<()> {
    let bytes = page.map_or(0, |page| page.bytes);
    let has_room = |limit| MemoryPlan::without_model(limit).page_bytes >= bytes;
    let is_enough = |limit: ByteSize| limit.0 >= PROCESS_BYTES + LEAST_BYTES && has_room(limit);
    let fits = |limit| is_enough(limit) && beside(limit, &MemoryPlan::without_model(limit));
    match page {
        _ if is_enough(limit) => Ok(()),
        Some(page) if !has_room(limit) => Err(page.refused(limit, fits)),
        _ => Err(Error::resources("work within the memory limit")
            .with("limit", limit)
            .hint(format!(
                "--memory-limit {}",
                in_mebibytes(least_limit(limit, fits))
            ))),
    }
}

/// What of `limit` the program itself does not take.
pub(super) fn divided_bytes(limit: ByteSize) -> u64 {
    limit.0.saturating_sub(PROCESS_BYTES).max(LEAST_BYTES)
}

/// Bytes in which a row group of a query's result may wait, beside all that the query holds.
pub(super) fn result_row_group_bytes(limit: ByteSize) -> u64 {
    (divided_bytes(limit) / 8).max(8 << 20)
}

/// The least limit above `limit`, in whole mebibytes, that `fits`; one of several where more does not always help.
pub(super) fn least_limit(limit: ByteSize, fits: impl Fn(ByteSize) -> bool) -> ByteSize {
    const LARGEST: u64 = 1 << 40;
    let mebibytes = |number: u64| ByteSize(number << 20);
    let (mut low, mut step) = (limit.0 >> 20, 1);
    while low < LARGEST && !fits(mebibytes(low + step)) {
        low += step;
        step *= 2;
    }
    let mut high = low + step;
    while low + 1 < high {
        let middle = low.midpoint(high);
        match fits(mebibytes(middle)) {
            true => high = middle,
            false => low = middle,
        }
    }
    mebibytes(high)
}

/// `limit` as it is typed.
pub(super) fn in_mebibytes(limit: ByteSize) -> String {
    format!("{}MiB", limit.0.div_ceil(1 << 20))
}

/// Refuses a scan that has `limit` to itself, if it has one, where a page of its columns is too large for it.
pub(super) fn check_scan(
    shards: &ShardSet,
    plan: &ReadPlan,
    limit: Option<ByteSize>,
) -> datafusion::common::Result<()> {
    let Some(limit) = limit else {
        return Ok(());
    };
    let room = MemoryPlan::without_model(limit).page_bytes;
    let page = WholePage::over(room, shards, &plan.columns_read()).map_err(into_datafusion)?;
    check_limit(limit, page.as_ref()).map_err(into_datafusion)
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
        let small = MemoryPlan::divided(&needs(8 << 30, 8, 100 << 20)).unwrap();
        assert_eq!((small.encoders, small.intra_threads), (8, 1));
        let large = MemoryPlan::divided(&needs(8 << 30, 8, 900 << 20)).unwrap();
        assert_eq!((large.encoders, large.intra_threads), (4, 2));
    }

    #[test]
    fn parts_never_exceed_the_limit() {
        for limit in [512u64 << 20, 1 << 30, 6 << 30, 64 << 30] {
            for threads in [1, 2, 3, 16, 96] {
                let Some(plan) = MemoryPlan::divided(&needs(limit, threads, 150 << 20)) else {
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

    /// The limit that `error` names.
    fn named(error: &Error) -> ByteSize {
        let report = error.report();
        let hint = report.rsplit("--memory-limit ").next().unwrap();
        hint.split(',').next().unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_limit_below_the_model_is_refused_with_the_least_that_works() {
        let pages = 100 << 20;
        for encoder_bytes in [137 << 10, 60 << 20, 600 << 20] {
            for threads in [1, 2, 16] {
                let under = |limit: u64| needs(limit, threads, encoder_bytes);
                for limit in [1, 50 << 20, 200 << 20] {
                    let any = |_: ByteSize, _: &MemoryPlan| true;
                    let error = MemoryPlan::divide(&under(limit), &any).unwrap_err();
                    let least = named(&error).0;
                    assert!(MemoryPlan::divided(&under(least)).is_some(), "{least}");
                    assert!(MemoryPlan::divided(&under(least - (1 << 20))).is_none());

                    let beside = move |_: ByteSize, plan: &MemoryPlan| plan.page_bytes >= pages;
                    let error = MemoryPlan::divide(&under(limit), &beside).unwrap_err();
                    let plan = MemoryPlan::divided(&under(named(&error).0)).unwrap();
                    assert!(plan.page_bytes >= pages, "{plan:?}");
                }
            }
        }
    }

    #[test]
    fn a_limit_without_a_model_is_refused_with_the_least_that_works() {
        let page = WholePage {
            shard: Location::local("in.parquet"),
            bytes: 100 << 20,
        };
        for page in [None, Some(&page)] {
            for limit in [0, 1 << 20, 160 << 20] {
                let least = named(&check_limit(ByteSize(limit), page).unwrap_err());
                check_limit(least, page).unwrap();
                check_limit(ByteSize(least.0 - (1 << 20)), page).unwrap_err();
            }
        }
    }
}
