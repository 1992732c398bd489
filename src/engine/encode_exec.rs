use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, Float32Array, ListArray, RecordBatch, StringArray,
        StringViewArray, UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
};
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        ReplaceChildrenOptions,
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time},
        stream::RecordBatchReceiverStreamBuilder,
    },
};
use futures::StreamExt;

use super::{Added, AddedColumn, EncodeRuntime, into_datafusion, runtime::BATCHES_IN_FLIGHT};
use crate::{
    encode::{EncodePool, EncodedBatch, PairBatch},
    report::Stage,
    schema::{SHARD, Status},
    score::cosine,
};

/// Runs both towers over its input's pairs and adds columns; rows and their order stay.
#[derive(Debug)]
pub struct ClipEncodeExec {
    input: Arc<dyn ExecutionPlan>,
    columns: PairColumns,
    added: Vec<AddedColumn>,
    runtime: Arc<EncodeRuntime>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Positions in the input.
#[derive(Debug, Clone, Copy)]
struct PairColumns {
    image: usize,
    text: usize,
    shard: Option<usize>,
}

impl ClipEncodeExec {
    /// Encodes the columns named `image` and `text` of `input`.
    ///
    /// # Errors
    /// When the input lacks one of them.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        (image, text): (&str, &str),
        added: Vec<AddedColumn>,
        runtime: Arc<EncodeRuntime>,
    ) -> Result<Self> {
        let schema = input.schema();
        let columns = PairColumns {
            image: schema.index_of(image)?,
            text: schema.index_of(text)?,
            shard: schema.index_of(SHARD).ok(),
        };
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.extend(
            added.iter().map(|column| Arc::new(Field::new(&column.name, column.added.data_type(), true))),
        );
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            input,
            columns,
            added,
            runtime,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for ClipEncodeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let card = self.runtime.factory().card();
        let added: Vec<&str> = self.added.iter().map(|column| column.name.as_str()).collect();
        write!(
            f,
            "ClipEncodeExec: model={}, device={}, batch={}, added=[{}]",
            card.name,
            card.device,
            self.runtime.model_batch_rows(),
            added.join(", ")
        )
    }
}

impl ExecutionPlan for ClipEncodeExec {
    fn name(&self) -> &str {
        "ClipEncodeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// The worker threads are shared; more partitions would only reorder rows.
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
            return internal_err!("ClipEncodeExec takes one input");
        };
        let schema = self.input.schema();
        let names = (schema.field(self.columns.image).name().as_str(), schema.field(self.columns.text).name().as_str());
        Ok(Arc::new(Self::try_new(input, names, self.added.clone(), Arc::clone(&self.runtime))?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        // One batch waits for the consumer while the next is encoded.
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema(), 1);
        let sender = builder.tx();
        let encoding = Encoding {
            columns: self.columns,
            added: self.added.clone(),
            schema: self.schema(),
            runtime: Arc::clone(&self.runtime),
            metrics: EncodeMetrics::new(&self.metrics, partition),
        };
        builder.spawn(async move {
            let result = encoding.run(input, &context, &sender).await;
            encoding.metrics.record_stages(&encoding.runtime);
            result
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct EncodeMetrics {
    output_rows: Count,
    rows_bad: Count,
    images_decoded: Count,
    model_batches: Count,
    decode_time: Time,
    encode_time: Time,
    wait_time: Time,
}

impl EncodeMetrics {
    fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name| MetricBuilder::new(set).counter(name, partition);
        let time = |name| MetricBuilder::new(set).subset_time(name, partition);
        Self {
            output_rows: MetricBuilder::new(set).output_rows(partition),
            rows_bad: count("rows_bad"),
            images_decoded: count("images_decoded"),
            model_batches: count("model_batches"),
            decode_time: time("decode_time"),
            encode_time: time("encode_time"),
            wait_time: time("wait_time"),
        }
    }

    /// The threads are shared by all executions; what they did is known as totals.
    fn record_stages(&self, runtime: &EncodeRuntime) {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = runtime.counters();
        let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        self.images_decoded.add(count(counters.images_decoded.load(Relaxed)));
        self.model_batches.add(count(counters.model_batches.load(Relaxed)));
        self.decode_time.add_duration(counters.busy(Stage::Decode));
        self.encode_time.add_duration(counters.busy(Stage::Encode));
    }
}

struct Encoding {
    columns: PairColumns,
    added: Vec<AddedColumn>,
    schema: SchemaRef,
    runtime: Arc<EncodeRuntime>,
    metrics: EncodeMetrics,
}

impl Encoding {
    async fn run(
        &self,
        input: SendableRecordBatchStream,
        context: &TaskContext,
        sender: &tokio::sync::mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        let pool = self.runtime.pool(context).await?;
        let reservation = MemoryConsumer::new("ClipEncodeExec batches").register(context.memory_pool());
        let encoded = input.map(|batch| {
            let (pool, reservation) = (Arc::clone(&pool), &reservation);
            async move {
                let batch = batch?;
                let bytes = batch_bytes(&batch);
                reservation.try_grow(bytes)?;
                let result = self.encode(&pool, batch).await;
                reservation.shrink(bytes);
                result
            }
        });
        let mut encoded = std::pin::pin!(encoded.buffered(BATCHES_IN_FLIGHT));
        loop {
            let start = Instant::now();
            let next = encoded.next().await;
            self.metrics.wait_time.add_elapsed(start);
            let Some(batch) = next else { return Ok(()) };
            let failed = batch.is_err();
            if sender.send(batch).await.is_err() || failed {
                return Ok(());
            }
        }
    }

    async fn encode(&self, pool: &EncodePool, batch: RecordBatch) -> Result<RecordBatch> {
        use std::sync::atomic::Ordering::Relaxed;
        let pairs = self.pairs(&batch)?;
        let encoded = pool.encode(pairs).await.map_err(into_datafusion)?;
        let bad = encoded.faults.iter().flatten().count();
        self.metrics.output_rows.add(batch.num_rows());
        self.metrics.rows_bad.add(bad);
        let counters = self.runtime.counters();
        counters.rows_done.fetch_add(batch.num_rows() as u64, Relaxed);
        counters.rows_bad.fetch_add(bad as u64, Relaxed);
        let mut columns = batch.columns().to_vec();
        for column in &self.added {
            columns.push(added_column(column.added, &encoded)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn pairs(&self, batch: &RecordBatch) -> Result<PairBatch> {
        let (images, paths) = image_parts(batch.column(self.columns.image))?;
        let captions = cast(batch.column(self.columns.text), &DataType::Utf8View)?;
        let shards = self.columns.shard.map(|shard| batch.column(shard).as_primitive::<UInt32Type>().clone());
        Ok(PairBatch { images, paths, captions: captions.as_string_view().clone(), shards })
    }
}

/// Bytes that a batch keeps alive: what its views point to, not the whole pages behind them.
fn batch_bytes(batch: &RecordBatch) -> usize {
    fn column_bytes(array: &dyn Array) -> usize {
        match array.data_type() {
            DataType::BinaryView => array.as_binary_view().iter().flatten().map(<[u8]>::len).sum(),
            DataType::Utf8View => array.as_string_view().iter().flatten().map(str::len).sum(),
            DataType::Struct(_) => {
                array.as_struct().columns().iter().map(|column| column_bytes(column.as_ref())).sum()
            }
            _ => array.get_slice_memory_size_or_zero(),
        }
    }
    batch.columns().iter().map(|column| column_bytes(column.as_ref())).sum()
}

/// `Array` knows the size of a slice only through its data.
trait SliceSize {
    fn get_slice_memory_size_or_zero(&self) -> usize;
}

impl SliceSize for dyn Array + '_ {
    fn get_slice_memory_size_or_zero(&self) -> usize {
        self.to_data().get_slice_memory_size().unwrap_or(0)
    }
}

/// The bytes and, where there is one, the path of an image column; null under a null struct.
fn image_parts(column: &ArrayRef) -> Result<(BinaryViewArray, Option<StringViewArray>)> {
    let DataType::Struct(fields) = column.data_type() else {
        let bytes = cast(column, &DataType::BinaryView)?;
        return Ok((bytes.as_binary_view().clone(), None));
    };
    let parts = column.as_struct();
    let child = |name: &str, data_type: DataType| -> Result<Option<ArrayRef>> {
        let Some((position, _)) = fields.find(name) else { return Ok(None) };
        Ok(Some(cast(parts.column(position), &data_type)?))
    };
    let Some(bytes) = child("bytes", DataType::BinaryView)? else {
        return internal_err!("the image struct has no bytes");
    };
    let (views, buffers, nulls) = bytes.as_binary_view().clone().into_parts();
    let bytes = BinaryViewArray::try_new(views, buffers, NullBuffer::union(nulls.as_ref(), parts.nulls()))?;
    let paths = match child("path", DataType::Utf8View)? {
        None => None,
        Some(paths) => {
            let (views, buffers, nulls) = paths.as_string_view().clone().into_parts();
            Some(StringViewArray::try_new(views, buffers, NullBuffer::union(nulls.as_ref(), parts.nulls()))?)
        }
    };
    Ok((bytes, paths))
}

fn added_column(added: Added, encoded: &EncodedBatch) -> Result<ArrayRef> {
    let rows = encoded.faults.len();
    let dim = encoded.dim;
    let vector = |all: &'_ [f32], row: usize| all[row * dim..(row + 1) * dim].to_vec();
    Ok(match added {
        Added::Score => Arc::new(Float32Array::from_iter((0..rows).map(|row| {
            let good = encoded.faults[row].is_none();
            good.then(|| {
                let range = row * dim..(row + 1) * dim;
                cosine(&encoded.images[range.clone()], &encoded.texts[range])
            })
        }))),
        Added::Status => Arc::new(StringArray::from_iter_values(encoded.faults.iter().map(|fault| {
            fault.as_ref().map_or(Status::Ok, |fault| fault.status).as_str()
        }))),
        Added::Reason => Arc::new(StringArray::from_iter(
            encoded.faults.iter().map(|fault| fault.as_ref().map(|fault| fault.reason.as_str())),
        )),
        Added::Width => Arc::new(known_sizes(encoded, |size| size.0)),
        Added::Height => Arc::new(known_sizes(encoded, |size| size.1)),
        Added::ImageEmbedding => embeddings(encoded, |row| vector(&encoded.images, row))?,
        Added::TextEmbedding => embeddings(encoded, |row| vector(&encoded.texts, row))?,
    })
}

fn known_sizes(encoded: &EncodedBatch, side: impl Fn((u32, u32)) -> u32) -> UInt32Array {
    encoded.sizes.iter().map(|&size| (size != (0, 0)).then(|| side(size))).collect()
}

fn embeddings(encoded: &EncodedBatch, vector: impl Fn(usize) -> Vec<f32>) -> Result<ArrayRef> {
    let good: Vec<bool> = encoded.faults.iter().map(Option::is_none).collect();
    let lengths = good.iter().map(|&good| if good { encoded.dim } else { 0 });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let values: Float32Array =
        (0..good.len()).filter(|&row| good[row]).flat_map(vector).collect::<Vec<f32>>().into();
    let DataType::List(field) = Added::ImageEmbedding.data_type() else {
        return internal_err!("an embedding is a list");
    };
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(values), Some(NullBuffer::from(good)))?))
}
