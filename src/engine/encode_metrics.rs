//! What EXPLAIN ANALYZE tells of the encode operator.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time,
};

use crate::encode::Effort;

/// Metrics of all executions of one encode operator.
///
/// Threads are shared by every query of a session; what they did for this operator is counted apart, and looked up
/// when it is asked for: a query that needs no more rows, as under a LIMIT, drops its executions without a word.
#[derive(Debug, Default)]
pub(super) struct EncodeMetricsSet {
    metrics: ExecutionPlanMetricsSet,
    efforts: Mutex<Vec<(usize, Arc<Effort>)>>,
}

/// Metrics of one execution.
pub(super) struct EncodeMetrics {
    /// Rows that went on.
    pub(super) output_rows: Count,
    /// Bad rows among them.
    pub(super) rows_bad: Count,
    /// How long the operator waited for its next batch, be it for the input or for the threads.
    pub(super) wait_time: Time,
    pub(super) effort: Arc<Effort>,
}

impl EncodeMetricsSet {
    /// Metrics for an execution of `partition`.
    pub(super) fn execution(&self, partition: usize) -> EncodeMetrics {
        let new = || MetricBuilder::new(&self.metrics);
        let effort = Arc::new(Effort::default());
        let mut efforts = self.efforts.lock().unwrap_or_else(PoisonError::into_inner);
        efforts.push((partition, Arc::clone(&effort)));
        EncodeMetrics {
            output_rows: new().output_rows(partition),
            rows_bad: new().counter("rows_bad", partition),
            wait_time: new().subset_time("wait_time", partition),
            effort,
        }
    }

    /// All metrics as they are now; times of threads are summed over them.
    pub(super) fn so_far(&self) -> MetricsSet {
        let of_threads = ExecutionPlanMetricsSet::new();
        let efforts = self.efforts.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, effort) in efforts.iter() {
            let new = || MetricBuilder::new(&of_threads);
            let count = |name, value: &AtomicU64| {
                let value = usize::try_from(value.load(Relaxed)).unwrap_or(usize::MAX);
                new().counter(name, *partition).add(value);
            };
            count("images_decoded", &effort.images_decoded);
            count("model_batches", &effort.model_batches);
            let time = |name, nanos: &AtomicU64| {
                let time = Duration::from_nanos(nanos.load(Relaxed));
                new().subset_time(name, *partition).add_duration(time);
            };
            time("decode_time", &effort.decode_nanos);
            time("encode_time", &effort.encode_nanos);
        }
        let mut all = self.metrics.clone_inner();
        for metric in of_threads.clone_inner().iter() {
            all.push(Arc::clone(metric));
        }
        all
    }
}
