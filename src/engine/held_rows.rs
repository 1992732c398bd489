//! What operators that hold rows are given, so that what they hold is known.
//!
//! A sort or a group counts a batch by the pages that its strings and pictures lie in, as often as it cuts the batch, so that it is
//! given small batches with bytes of their own. Windows hold rows without a word to the memory pool, one of them all
//! rows, the other the bytes of every string and picture that has passed: where that is too much the query must end,
//! not the machine.

use std::{collections::HashSet, fmt, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch, RecordBatchOptions},
    buffer::Buffer,
    datatypes::DataType,
};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
        utils::memory::get_record_batch_memory_size,
    },
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::PhysicalExpr,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        ReplaceChildrenOptions,
        aggregates::AggregateExec,
        limit::LocalLimitExec,
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::{StreamExt, TryStreamExt};

use super::{
    BatchSize,
    encode_columns::batch_bytes,
    into_datafusion,
    query_memory::{AskedBytes, BATCHES_HELD, holds_bytes},
};
use crate::source::compact;

/// Bytes that are not worth a copy.
const SMALL_BYTES: usize = 4096;

/// Puts a [`HeldRowsExec`] below every sort and window whose rows have strings or pictures, and below groups of pictures.
///
/// What is sorted for a LIMIT that is a large part of what a sort may hold is sorted as a whole: only that is written to
/// temporary files.
#[derive(Debug)]
pub(super) struct KnowHeldRows;

impl PhysicalOptimizerRule for KnowHeldRows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch_rows = config.execution.batch_size.get();
        let most_rows = batch_rows.saturating_mul(BATCHES_HELD as usize / 4);
        let known = plan.transform_up(|plan| {
            if let Some(sort) = plan.downcast_ref::<SortExec>() {
                let Some(input) = HeldRowsExec::below(sort.input(), Held::Batches) else {
                    return Ok(Transformed::no(plan));
                };
                let fetch = sort.fetch().filter(|&rows| rows > most_rows);
                let sort = match fetch {
                    Some(_) => Arc::new(sort.with_fetch(None)),
                    None => plan,
                };
                let sort = sort.replace_children(vec![input], recomputed())?;
                return Ok(Transformed::yes(match fetch {
                    Some(rows) => Arc::new(LocalLimitExec::new(sort, rows)),
                    None => sort,
                }));
            }
            if plan.is::<AggregateExec>() {
                let pictures = |input: &&Arc<dyn ExecutionPlan>| {
                    let schema = input.schema();
                    schema
                        .fields()
                        .iter()
                        .any(|field| holds_bytes(field.data_type()))
                };
                let children = plan.children();
                let input = children.first().copied().filter(pictures);
                let input = input.and_then(|input| HeldRowsExec::below(input, Held::Batches));
                return Ok(match input {
                    Some(input) => {
                        Transformed::yes(plan.replace_children(vec![input], recomputed())?)
                    }
                    None => Transformed::no(plan),
                });
            }
            let held = match () {
                () if plan.is::<WindowAggExec>() => Held::Rows,
                () if plan.is::<BoundedWindowAggExec>() => Held::Values,
                () => return Ok(Transformed::no(plan)),
            };
            let children = plan
                .children()
                .into_iter()
                .map(|input| HeldRowsExec::below(input, held).unwrap_or_else(|| Arc::clone(input)));
            let children = children.collect();
            Ok(Transformed::yes(
                plan.replace_children(children, recomputed())?,
            ))
        })?;
        Ok(known.data)
    }

    fn name(&self) -> &str {
        "know_held_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn recomputed() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)
}

/// How the operator above holds the rows that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// As batches, which it counts.
    Batches,
    /// All of them, until it ends.
    Rows,
    /// The bytes of strings and pictures that have passed, until it ends.
    Values,
}

/// Gives its rows as they are, so that it is known what the operator above it holds of them.
#[derive(Debug)]
struct HeldRowsExec {
    input: Arc<dyn ExecutionPlan>,
    held: Held,
}

impl HeldRowsExec {
    /// `None` where nothing in the rows of `input` is held otherwise than it is counted.
    fn below(input: &Arc<dyn ExecutionPlan>, held: Held) -> Option<Arc<dyn ExecutionPlan>> {
        let schema = input.schema();
        let mut fields = schema.fields().iter();
        let counts = held == Held::Rows || fields.any(|field| has_views(field.data_type()));
        let input = Arc::clone(input);
        counts.then(|| Arc::new(Self { input, held }) as Arc<dyn ExecutionPlan>)
    }
}

impl DisplayAs for HeldRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for HeldRowsExec {
    fn name(&self) -> &str {
        "HeldRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("HeldRowsExec takes one input");
        };
        let held = self.held;
        Ok(Arc::new(Self { input, held }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, recomputed())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = input.schema();
        if self.held == Held::Batches {
            let config = context.session_config();
            let Some(asked) = AskedBytes::of(config) else {
                return Ok(input);
            };
            let most = asked.held(config);
            let cut = input.map_ok(move |batch| {
                let mut pieces = Vec::new();
                cut(batch, most, &mut pieces);
                let pieces = pieces.into_iter().map(|piece| own(piece, &asked));
                futures::stream::iter(pieces.collect::<Vec<_>>())
            });
            let cut = RecordBatchStreamAdapter::new(schema, cut.try_flatten());
            return Ok(Box::pin(cut));
        }
        let consumer = MemoryConsumer::new("rows of a window");
        let mut charge = Charge {
            reservation: consumer.register(context.memory_pool()),
            held: self.held,
            known: HashSet::new(),
        };
        let charged = input.map(move |batch| {
            let batch = batch?;
            charge.take(&batch)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, charged)))
    }
}

/// Adds `batch` to `pieces` in halves of halves, each of at most `most` or one row.
fn cut(batch: RecordBatch, most: BatchSize, pieces: &mut Vec<RecordBatch>) {
    let rows = batch.num_rows();
    if rows > 1 && (rows > most.rows || batch_bytes(&batch) as u64 > most.bytes) {
        let half = rows / 2;
        cut(batch.slice(0, half), most, pieces);
        return cut(batch.slice(half, rows - half), most, pieces);
    }
    pieces.push(batch);
}

/// `batch` with bytes of its own, where it holds much more than it has.
fn own(batch: RecordBatch, asked: &AskedBytes) -> Result<RecordBatch> {
    let bytes = batch_bytes(&batch);
    if batch.num_rows() == 1 {
        asked.check_row(bytes as u64).map_err(into_datafusion)?;
    }
    let mut held = 0;
    for column in batch.columns() {
        each_value_buffer(column.as_ref(), &mut |buffer| held += buffer.capacity());
    }
    match held > bytes + bytes / 4 + SMALL_BYTES {
        true => with_own_bytes(&batch),
        false => Ok(batch),
    }
}

fn with_own_bytes(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(compact).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let own = RecordBatch::try_new_with_options(batch.schema(), columns, &options);
    Ok(own?)
}

/// What is held so far.
struct Charge {
    reservation: MemoryReservation,
    held: Held,
    /// Addresses of the bytes of strings and pictures: batches share them, and they stay as long as this does.
    known: HashSet<usize>,
}

impl Charge {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let (mut all, mut new) = (0, 0);
        for column in batch.columns() {
            each_value_buffer(column.as_ref(), &mut |buffer| {
                all += buffer.capacity();
                if self.known.insert(buffer.data_ptr().as_ptr() as usize) {
                    new += buffer.capacity();
                }
            });
        }
        let fixed = match self.held {
            // They are put together in the end, which copies what is no string.
            Held::Rows => 2 * get_record_batch_memory_size(batch).saturating_sub(all),
            Held::Values | Held::Batches => 0,
        };
        self.reservation.try_grow(new + fixed)
    }
}

fn has_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::BinaryView | DataType::Utf8View => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_views(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_views(item.data_type()),
        _ => false,
    }
}

/// Calls `see` with the buffers that the views of `array` point into.
fn each_value_buffer(array: &dyn Array, see: &mut dyn FnMut(&Buffer)) {
    match array.data_type() {
        DataType::BinaryView => array.as_binary_view().data_buffers().iter().for_each(see),
        DataType::Utf8View => array.as_string_view().data_buffers().iter().for_each(see),
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                each_value_buffer(column.as_ref(), see);
            }
        }
        DataType::List(_) => each_value_buffer(array.as_list::<i32>().values().as_ref(), see),
        DataType::LargeList(_) => each_value_buffer(array.as_list::<i64>().values().as_ref(), see),
        DataType::FixedSizeList(..) => {
            each_value_buffer(array.as_fixed_size_list().values().as_ref(), see);
        }
        DataType::Map(..) => each_value_buffer(array.as_map().entries(), see),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryViewArray, StringArray};

    use super::*;

    fn pictures(bytes: &[usize]) -> RecordBatch {
        let pictures = bytes.iter().map(|&bytes| vec![7; bytes]);
        let pictures: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(pictures));
        RecordBatch::try_from_iter([("image", pictures)]).unwrap()
    }

    #[test]
    fn pieces_are_small_in_rows_and_bytes_and_keep_the_order() {
        let batch = pictures(&[10_000, 20, 30_000, 40, 50, 60, 70, 80]);
        let most = BatchSize {
            rows: 3,
            bytes: 5000,
        };
        let mut pieces = Vec::new();
        cut(batch.clone(), most, &mut pieces);
        for piece in &pieces {
            let rows = piece.num_rows();
            assert!(rows <= 3 && (rows == 1 || batch_bytes(piece) <= 5000));
        }
        let together = arrow::compute::concat_batches(&batch.schema(), &pieces).unwrap();
        assert_eq!(together, batch);
    }

    #[test]
    fn bytes_that_batches_share_are_charged_once() {
        let pool: Arc<dyn datafusion::execution::memory_pool::MemoryPool> = Arc::new(
            datafusion::execution::memory_pool::GreedyMemoryPool::new(100_000),
        );
        let mut charge = Charge {
            reservation: MemoryConsumer::new("test").register(&pool),
            held: Held::Values,
            known: HashSet::new(),
        };
        let batch = pictures(&[30_000, 30_000]);
        charge.take(&batch.slice(0, 1)).unwrap();
        charge.take(&batch.slice(1, 1)).unwrap();
        let once = pool.reserved();
        assert!((60_000..100_000).contains(&once), "{once}");
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["plain"; 10_000]));
        let plain = RecordBatch::try_from_iter([("text", texts)]).unwrap();
        charge.take(&plain).unwrap();
        assert_eq!(
            pool.reserved(),
            once,
            "what is no view is given back as it passes"
        );
        assert!(charge.take(&pictures(&[60_000])).is_err());
    }
}
