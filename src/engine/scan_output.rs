//! What scans have in common as they give out batches: metrics and limits.

use arrow::array::RecordBatch;
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, ScopedTimerGuard, Time,
};

use super::encode_columns::batch_bytes;

/// Metrics of an operator that reads.
pub(super) struct ScanMetrics {
    output_rows: Count,
    /// Bytes of the values; a page that several batches lie on is not counted for each.
    output_bytes: Count,
    elapsed_compute: Time,
}

impl ScanMetrics {
    pub(super) fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let new = || MetricBuilder::new(set);
        Self {
            output_rows: new().output_rows(partition),
            output_bytes: new().output_bytes(partition),
            elapsed_compute: new().elapsed_compute(partition),
        }
    }
}

/// What a scan gives out: counted, and cut off at a limit.
///
/// `elapsed_compute` is the time from one batch to the next, without that in which the consumer takes none.
pub(super) struct ScanOutput<'a> {
    metrics: &'a ScanMetrics,
    timer: ScopedTimerGuard<'a>,
    rows_left: usize,
}

impl<'a> ScanOutput<'a> {
    pub(super) fn new(metrics: &'a ScanMetrics, limit: Option<usize>) -> Self {
        Self {
            metrics,
            timer: metrics.elapsed_compute.timer(),
            rows_left: limit.unwrap_or(usize::MAX),
        }
    }

    /// Gives `batch` to `send`, whose answer is whether it takes more; true if there should be more.
    pub(super) fn give(
        &mut self,
        batch: &RecordBatch,
        send: impl FnOnce(RecordBatch) -> bool,
    ) -> bool {
        let rows = batch.num_rows().min(self.rows_left);
        self.rows_left -= rows;
        let batch = batch.slice(0, rows);
        self.metrics.output_rows.add(rows);
        self.metrics.output_bytes.add(batch_bytes(&batch));
        self.timer.stop();
        let takes_more = send(batch);
        self.timer.restart();
        takes_more && self.rows_left > 0
    }
}
