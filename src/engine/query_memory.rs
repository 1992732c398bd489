//! How the memory of one query in SQL is divided.
//!
//! What the program, the model, pages and batches on their way take is set aside. The rest is for operators that hold
//! rows: sorts, groups, joins, windows. Sorts, groups and joins of pictures write what does not fit to temporary files
//! and merge it again; for that a batch must be a small part of what an operator may hold, whatever its rows are.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, tree_node::TreeNodeRecursion},
    datasource::source_as_provider,
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    logical_expr::{LogicalPlan, TableScan},
    prelude::SessionConfig,
};

use super::{
    BatchSize, LEAST_PAGE_BYTES, MemoryNeeds, MemoryPlan, PairsTable, ShardTable, WholePage,
    check_limit,
    memory_plan::{BATCHES_ALIVE, check_limit_beside, divided_bytes, in_mebibytes, least_limit},
};
use crate::{
    config::ByteSize,
    error::{Error, Result},
    schema::{ROW, SHARD},
    source::ShardSet,
};

/// Rows of a batch where nothing is encoded.
pub(super) const BATCH_ROWS: usize = 8192;
/// Rows of a batch that images are part of, where an operator puts several together.
const WIDE_BATCH_ROWS: usize = 256;
/// Rows of so many bytes are wide ones.
const WIDE_ROW_BYTES: u64 = 16 << 10;
/// A value of which no footer says how long it is: an embedding of 1,024 dimensions.
const UNKNOWN_LIST_BYTES: u64 = 4 << 10;
/// Batches of which an operator may hold so many. A merge holds four of each run.
pub(super) const BATCHES_HELD: u32 = 128;
/// The largest row is one of which an operator may hold so many: a merge has some of each run, and some on the way.
const ROWS_HELD: u64 = 16;
/// For pages of columns that have no pictures.
const SMALL_PAGES_BYTES: u64 = 16 << 20;
/// Batches out of a scan of which an operator may hold so many: a sort needs two of them to begin.
const READ_BATCHES_HELD: u64 = 16;
/// Sorted runs that are merged at one time: half of what an operator may hold.
pub(super) const RUNS_MERGED: usize = 16;
/// Most that a sort sets aside for merging before it writes.
const MOST_MERGE_BYTES: u64 = 10 << 20;
/// Sorts and hash tables hold a row up to so many times.
const COPIES_HELD: u64 = 2;
/// A thread may keep what it has freed: that much of it, of what a query has.
const THREAD_BYTES: u64 = 32 << 20;

/// Threads that queries may use under `limit`, of `threads`.
pub fn query_threads(limit: ByteSize, threads: usize) -> usize {
    let most = usize::try_from(divided_bytes(limit) / THREAD_BYTES).unwrap_or(usize::MAX);
    threads.clamp(1, most.max(1))
}

/// What decides how the memory of a query is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryNeeds {
    /// `--memory-limit`.
    pub(super) limit: ByteSize,
    /// Threads of a query that may reorder rows.
    pub(super) threads: usize,
    /// What a loaded model needs.
    pub(super) model: Option<MemoryNeeds>,
    found: Found,
}

impl QueryNeeds {
    /// For the optimised plan `plan`, without a model.
    pub(super) fn of(plan: &LogicalPlan, limit: ByteSize, threads: usize) -> Self {
        Self {
            limit,
            threads: query_threads(limit, threads),
            model: None,
            found: Found::in_plan(plan),
        }
    }

    /// Whether operators may hold the average row of all tables under `limit`, of which `plan` is the division.
    pub(super) fn holds_rows(&self, limit: ByteSize, plan: &MemoryPlan) -> bool {
        let memory = QueryMemory::divided(Self { limit, ..*self }, plan);
        !self.found.holds_bytes || memory.asked.has_room(self.found.row_bytes)
    }

    /// The least limit above this one under which `fits`.
    fn least(&self, fits: impl Fn(&QueryMemory) -> bool) -> String {
        let least = least_limit(self.limit, |limit| {
            let plan = match self.model {
                Some(needs) => MemoryPlan::divided(&MemoryNeeds { limit, ..needs }),
                None => Some(MemoryPlan::without_model(limit)),
            };
            let needs = Self { limit, ..*self };
            plan.is_some_and(|plan| fits(&QueryMemory::divided(needs, &plan)))
        });
        in_mebibytes(least)
    }
}

/// What a query may hold, and how it is run to hold no more.
#[derive(Debug, Clone)]
pub(super) struct QueryMemory {
    /// Whether several partitions, or batches of thousands of rows, would hold too much.
    pub(super) is_wide: bool,
    /// Rows of a batch that an operator puts together.
    batch_rows: usize,
    asked: AskedBytes,
    /// For pages, and batches on their way.
    passing_bytes: u64,
    merge_bytes: u64,
    /// For all operators that hold rows.
    operator_bytes: u64,
}

/// What a query asks of those that make batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedBytes {
    /// Most bytes of a batch out of a scan.
    read: u64,
    /// Most bytes of a batch that an operator holds.
    held: u64,
    /// Most bytes of one row that an operator holds.
    row: u64,
    needs: QueryNeeds,
}

impl AskedBytes {
    /// What a query of `config` asks; nothing of one that is not of a SQL session.
    pub(super) fn of(config: &SessionConfig) -> Option<Arc<Self>> {
        config.get_extension()
    }

    /// A batch that an operator holds.
    pub(super) fn held(&self, config: &SessionConfig) -> BatchSize {
        BatchSize {
            rows: config.batch_size(),
            bytes: self.held,
        }
    }

    /// Refuses a row of `bytes` that an operator would hold too few of.
    pub(super) fn check_row(&self, bytes: u64) -> Result<()> {
        if bytes <= self.row {
            return Ok(());
        }
        let least = self.needs.least(|memory| memory.asked.has_room(bytes));
        Err(
            Error::resources("sort, group or join a row within the memory limit")
                .with("limit", self.needs.limit)
                .with("row", ByteSize(bytes))
                .hint(format!("--memory-limit {least}")),
        )
    }

    /// Whether an operator may hold rows such as one of `bytes`: others may be a quarter longer.
    fn has_room(&self, bytes: u64) -> bool {
        bytes + bytes / 4 <= self.row
    }
}

impl QueryMemory {
    /// For a query under a limit of which `memory` is the division.
    pub(super) fn divided(needs: QueryNeeds, memory: &MemoryPlan) -> Self {
        let found = needs.found;
        let is_wide = found.reads_bytes || found.row_bytes >= WIDE_ROW_BYTES;
        let most_rows = if is_wide { WIDE_BATCH_ROWS } else { BATCH_ROWS };
        let most_passing = memory.page_bytes + memory.batch_bytes * BATCHES_ALIVE;
        let passing_bytes = match is_wide {
            true => most_passing,
            false => most_passing.min(
                SMALL_PAGES_BYTES
                    + found
                        .row_bytes
                        .saturating_mul(BATCH_ROWS as u64 * BATCHES_ALIVE),
            ),
        };
        let set_aside = passing_bytes + memory.encoder_bytes + memory.decode_bytes;
        let operator_bytes = divided_bytes(needs.limit).saturating_sub(set_aside);
        let share = operator_bytes / found.holders.max(1);
        let (batch_bytes, read_bytes) = match found.holders {
            0 => (memory.batch_bytes, memory.batch_bytes),
            _ => (share / u64::from(BATCHES_HELD), share / READ_BATCHES_HELD),
        };
        let fitting = batch_bytes / found.row_bytes.max(1);
        let partitions = if is_wide { 1 } else { needs.threads as u64 };
        Self {
            is_wide,
            batch_rows: usize::try_from(fitting)
                .unwrap_or(usize::MAX)
                .clamp(1, most_rows),
            asked: AskedBytes {
                read: read_bytes.min(memory.batch_bytes),
                held: batch_bytes,
                row: share / ROWS_HELD,
                needs,
            },
            passing_bytes,
            merge_bytes: (share / partitions / 8).min(MOST_MERGE_BYTES),
            operator_bytes,
        }
    }

    /// Threads of a query that may reorder rows.
    pub(super) fn threads(&self) -> usize {
        self.asked.needs.threads
    }

    /// `config` for the query.
    pub(super) fn configured(&self, config: SessionConfig) -> SessionConfig {
        let mut config = config
            .with_batch_size(self.batch_rows)
            .with_extension(Arc::new(self.asked));
        let execution = &mut config.options_mut().execution;
        execution.sort_spill_reservation_bytes =
            usize::try_from(self.merge_bytes).unwrap_or(usize::MAX);
        config
    }

    /// Sets aside in `pool` what pages and passing batches take, until it is dropped. A second query at the same time
    /// sets the same aside once more, so that operators have less.
    pub(super) fn set_aside(&self, pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        let passing = MemoryConsumer::new("pages and batches").register(pool);
        passing.grow(usize::try_from(self.passing_bytes).unwrap_or(usize::MAX));
        passing
    }

    /// What helps where `error` says that memory is exhausted.
    pub(super) fn remedy(&self, error: &DataFusionError) -> Option<String> {
        let DataFusionError::ResourcesExhausted(_) = error.find_root() else {
            return None;
        };
        let found = self.asked.needs.found;
        let wanted = found
            .bytes
            .saturating_mul(COPIES_HELD * found.holders.max(1));
        let enough = |memory: &QueryMemory| memory.operator_bytes >= wanted;
        Some(format!(
            "--memory-limit {} has room for all rows; or have fewer rows or columns joined, grouped or numbered by a \
             window: pictures can be joined to what is left of them, by {} and {}",
            self.asked.needs.least(enough),
            SHARD,
            ROW,
        ))
    }
}

/// `batch`, no larger than a query of `state` asks for.
pub(super) fn read_batch(state: &dyn Session, batch: BatchSize) -> BatchSize {
    match state.config().get_extension::<AskedBytes>() {
        Some(asked) => BatchSize {
            bytes: batch.bytes.min(asked.read),
            ..batch
        },
        None => batch,
    }
}

/// What a plan reads, and does with it.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    /// Operators that hold rows.
    holders: u64,
    /// Bytes of an average row of all tables together.
    row_bytes: u64,
    /// Bytes of all rows.
    bytes: u64,
    /// Whether what is read may have pictures.
    reads_bytes: bool,
    /// Whether what operators hold may have pictures.
    holds_bytes: bool,
}

impl Found {
    fn in_plan(plan: &LogicalPlan) -> Self {
        let mut found = Self::default();
        let searched = plan.apply_with_subqueries(|plan| {
            match plan {
                LogicalPlan::TableScan(scan) => found.scan(scan),
                LogicalPlan::Sort(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::RecursiveQuery(_) => found.hold(plan, 1),
                // Each may sort what it takes.
                LogicalPlan::Window(_) => found.hold(plan, 2),
                LogicalPlan::Join(_) => found.hold(plan, 3),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        // A plan that cannot be searched is taken for a wide one.
        found.reads_bytes |= searched.is_err();
        found
    }

    fn hold(&mut self, plan: &LogicalPlan, holders: u64) {
        self.holders += holders;
        let inputs = plan.inputs();
        let mut fields = inputs.iter().flat_map(|input| input.schema().fields());
        self.holds_bytes |= fields.any(|field| holds_bytes(field.data_type()));
    }

    fn scan(&mut self, scan: &TableScan) {
        let fields = scan.projected_schema.fields();
        self.reads_bytes |= fields.iter().any(|field| holds_bytes(field.data_type()));
        let provider = source_as_provider(&scan.source);
        let set = provider.as_ref().ok().and_then(shards_of);
        let Some(set) = set else { return };
        let value = |field: &Field| match set.value_bytes(field.name()) {
            0 if field.data_type().is_list() => UNKNOWN_LIST_BYTES,
            bytes => bytes.max(8),
        };
        let row: u64 = fields.iter().map(|field| value(field)).sum();
        let rows: u64 = set.shards.iter().map(|shard| shard.rows).sum();
        self.row_bytes = self.row_bytes.saturating_add(row);
        self.bytes = self.bytes.saturating_add(row.saturating_mul(rows));
    }
}

/// Refuses a limit that is too small for any query; the one that is named has room for pages that `plan` reads, and for
/// rows that it holds, too.
pub(super) fn check_query_limit(needs: QueryNeeds, plan: &LogicalPlan) -> Result<()> {
    let Err(refused) = check_limit(needs.limit, None) else {
        return Ok(());
    };
    let page = largest_page(plan)?;
    let beside = move |limit: ByteSize, plan: &MemoryPlan| needs.holds_rows(limit, plan);
    let named = check_limit_beside(needs.limit, page.as_ref(), &beside);
    Err(named.err().unwrap_or(refused))
}

/// Bytes of the largest page that is read as a whole; 0 where none is large, or headers cannot be read: then the scan says so.
pub(super) fn largest_page_bytes(plan: &LogicalPlan) -> u64 {
    let page = largest_page(plan).ok().flatten();
    page.map_or(0, |page| page.bytes)
}

/// The largest page of the tables of `plan` that is read as a whole, if a limit may have no room for it.
fn largest_page(plan: &LogicalPlan) -> Result<Option<WholePage>> {
    let mut scans = Vec::new();
    // A plan that cannot be searched is not run either.
    let _ = plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan {
            let provider = source_as_provider(&scan.source);
            let set = provider.as_ref().ok().and_then(shards_of).map(Arc::clone);
            let fields = scan.projected_schema.fields().iter();
            let names = fields.map(|field| field.name().clone());
            scans.extend(set.map(|set| (set, names.collect::<Vec<_>>())));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let mut largest: Option<WholePage> = None;
    for (set, names) in scans {
        let columns = names.iter().flat_map(|name| set.schema.index_of(name));
        let columns: Vec<usize> = columns.collect();
        let room = largest.as_ref().map_or(LEAST_PAGE_BYTES, |page| page.bytes);
        largest = WholePage::over(room, &set, &columns)?.or(largest);
    }
    Ok(largest)
}

fn shards_of(provider: &Arc<dyn TableProvider>) -> Option<&Arc<ShardSet>> {
    let provider = provider.as_ref() as &dyn std::any::Any;
    let pairs = provider
        .downcast_ref::<PairsTable>()
        .map(PairsTable::shards);
    pairs.or_else(|| {
        provider
            .downcast_ref::<ShardTable>()
            .map(ShardTable::shards)
    })
}

/// Whether values of a type can be pictures.
pub(super) fn holds_bytes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds_bytes(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds_bytes(item.data_type()),
        _ => false,
    }
}
