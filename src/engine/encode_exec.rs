//! The encode operator, as it runs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Instant,
};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
};
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        ReplaceChildrenOptions, metrics::MetricsSet, stream::RecordBatchReceiverStreamBuilder,
    },
};
use futures::StreamExt;
use tokio::sync::Notify;

use super::{
    AddedColumn, EncodeRuntime, PairColumns,
    encode_columns::{added_column, batch_bytes, image_parts},
    encode_metrics::{EncodeMetrics, EncodeMetricsSet},
    into_datafusion,
    runtime::BATCHES_IN_FLIGHT,
};
use crate::encode::{EncodePool, PairBatch};

/// Runs both towers over its input's pairs and adds columns; rows and their order stay.
#[derive(Debug)]
pub struct ClipEncodeExec {
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) columns: PairColumns<usize>,
    shard: Option<usize>,
    pub(super) added: Vec<AddedColumn>,
    pub(super) runtime: Arc<EncodeRuntime>,
    properties: Arc<PlanProperties>,
    metrics: EncodeMetricsSet,
}

/// Positions of the columns that the operator reads.
#[derive(Debug, Clone)]
pub struct ReadColumns {
    /// Images and captions.
    pub columns: PairColumns<usize>,
    /// The shard of each row, beside which image paths are sought.
    pub shard: Option<usize>,
}

impl ClipEncodeExec {
    /// Encodes the columns of `input` at these positions.
    ///
    /// # Errors
    /// When the input has no such columns.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        read: ReadColumns,
        added: Vec<AddedColumn>,
        runtime: Arc<EncodeRuntime>,
    ) -> Result<Self> {
        let ReadColumns { columns, shard } = read;
        let schema = input.schema();
        let read = columns.image.iter().chain(&columns.text).chain(&shard);
        if read
            .max()
            .is_some_and(|&last| last >= schema.fields().len())
        {
            return internal_err!("ClipEncodeExec has no such input column");
        }
        // A user's column may have the name; only ours has the type.
        let shard = shard.filter(|&shard| schema.field(shard).data_type() == &DataType::UInt32);
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.extend(
            added
                .iter()
                .map(|column| Arc::new(Field::new(&column.name, column.added.data_type(), true))),
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
            shard,
            added,
            runtime,
            properties: Arc::new(properties),
            metrics: EncodeMetricsSet::default(),
        })
    }
}

impl DisplayAs for ClipEncodeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ClipEncodeExec: ")?;
        if let Some(loaded) = self.runtime.loaded() {
            let card = loaded.factory.card();
            let batch = loaded.options.model_batch_rows;
            write!(
                f,
                "model={}, device={}, batch={batch}, ",
                card.name, card.device
            )?;
        }
        let added: Vec<&str> = self
            .added
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        write!(f, "added=[{}]", added.join(", "))
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
        let (old, new) = (self.input.schema(), input.schema());
        let moved = |&position: &usize| -> Result<usize> {
            let name = old.field(position).name();
            match new.fields().get(position) {
                Some(field) if field.name() == name => Ok(position),
                _ => Ok(new.index_of(name)?),
            }
        };
        let columns = self.columns.try_map(moved)?;
        let shard = self.shard.and_then(|shard| moved(&shard).ok());
        Ok(Arc::new(Self::try_new(
            input,
            ReadColumns { columns, shard },
            self.added.clone(),
            Arc::clone(&self.runtime),
        )?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        // One batch waits for the consumer while the next is encoded.
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema(), 1);
        let sender = builder.tx();
        let encoding = Encoding {
            columns: self.columns.clone(),
            shard: self.shard,
            added: self.added.clone(),
            schema: self.schema(),
            runtime: Arc::clone(&self.runtime),
            metrics: self.metrics.execution(partition),
        };
        builder.spawn(async move { encoding.run(input, &context, &sender).await });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.so_far())
    }
}

struct Encoding {
    columns: PairColumns<usize>,
    shard: Option<usize>,
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
        let charge = BatchCharge::new(self.runtime.bytes_in_flight());
        let encoded = input.map(|batch| {
            let (pool, charge) = (Arc::clone(&pool), &charge);
            async move {
                let batch = batch?;
                let bytes = batch_bytes(&batch);
                charge.take(bytes).await;
                let result = self.encode(&pool, batch).await;
                charge.give_back(bytes);
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
        let pairs = self.pairs(&batch)?;
        let encoded = pool
            .encode_for(pairs, &self.metrics.effort)
            .await
            .map_err(into_datafusion)?;
        let faults = (0..encoded.rows()).map(|row| encoded.fault(row));
        let bad = faults.flatten().count();
        self.metrics.output_rows.add(batch.num_rows());
        self.metrics.rows_bad.add(bad);
        let counters = self.runtime.counters();
        counters
            .rows_done
            .fetch_add(batch.num_rows() as u64, Relaxed);
        counters.rows_bad.fetch_add(bad as u64, Relaxed);
        let mut columns = batch.columns().to_vec();
        for column in &self.added {
            columns.push(added_column(column.added, &encoded)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn pairs(&self, batch: &RecordBatch) -> Result<PairBatch> {
        let (images, paths) = match self.columns.image {
            None => (None, None),
            Some(image) => {
                let (images, paths) = image_parts(batch.column(image))?;
                (Some(images), paths)
            }
        };
        let captions = match self.columns.text {
            None => None,
            Some(text) => {
                let captions = cast(batch.column(text), &DataType::Utf8View)?;
                Some(captions.as_string_view().clone())
            }
        };
        let shards = self
            .shard
            .map(|shard| batch.column(shard).as_primitive::<UInt32Type>().clone());
        Ok(PairBatch {
            images,
            paths,
            captions,
            shards,
            bond: self.columns.bond,
        })
    }
}

/// What batches in flight may hold together.
struct BatchCharge {
    room: usize,
    taken: Mutex<usize>,
    returned: Notify,
}

impl BatchCharge {
    fn new(room: usize) -> Self {
        Self {
            room,
            taken: Mutex::new(0),
            returned: Notify::new(),
        }
    }

    /// Waits for other batches to give memory back; one that alone is larger than the room goes alone.
    async fn take(&self, bytes: usize) {
        loop {
            let returned = self.returned.notified();
            if self.fits(bytes) {
                return;
            }
            returned.await;
        }
    }

    fn fits(&self, bytes: usize) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = *taken == 0 || *taken + bytes <= self.room;
        if fits {
            *taken += bytes;
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken -= bytes;
        drop(taken);
        self.returned.notify_waiters();
    }
}
