//! Shards as a table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::TableType,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
};

use super::{
    nan::counting_nan,
    pairs_table::BatchSize,
    predicate::{ScanFilters, shard_predicate},
    query_memory::read_batch,
    scan_exec::ShardScanExec,
    shard_scan::{ShardScan, ShardStarts},
    stored_types::StoredTypes,
};
use crate::{
    config::ByteSize,
    schema::{ROW, SHARD},
    source::{ReadPlan, ShardSet, view_schema},
    summary::Counters,
};

/// The shards of a run as a table: their columns, then [`SHARD`] and [`ROW`].
#[derive(Debug)]
pub struct ShardTable {
    set: Arc<ShardSet>,
    image: String,
    /// The captions, in which what is not UTF-8 is null.
    captions: Option<usize>,
    starts: Option<Arc<dyn ShardStarts>>,
    /// Floats of which those that are NaN are counted.
    counted: Vec<usize>,
    schema: SchemaRef,
    batch: BatchSize,
    page_limit: Option<ByteSize>,
    counters: Arc<Counters>,
}

impl ShardTable {
    /// A table over `set`; conditions on the column `image` are never evaluated inside the scan.
    pub fn new(set: Arc<ShardSet>, image: &str, batch: BatchSize, counters: Arc<Counters>) -> Self {
        let mut fields: Vec<_> = view_schema(&set.schema).fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(SHARD, DataType::UInt32, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        Self {
            captions: None,
            counted: Vec::new(),
            starts: None,
            page_limit: None,
            set,
            image: image.to_owned(),
            schema,
            batch,
            counters,
        }
    }

    /// The table without the rows of each shard before the one that `starts` names.
    #[must_use]
    pub fn starting_at(mut self, starts: Arc<dyn ShardStarts>) -> Self {
        self.starts = Some(starts);
        self
    }

    /// The table with the captions in the column `text`: what is not UTF-8 there is null, for a bad row ends no run.
    #[must_use]
    pub fn with_captions(mut self, text: &str) -> Self {
        self.captions = self.set.schema.index_of(text).ok();
        self
    }

    /// The table that counts rows of which one of these columns is NaN.
    #[must_use]
    pub(super) fn counting_nan(mut self, columns: &[String]) -> Self {
        let place = |name: &String| self.set.schema.index_of(name).ok();
        let mut counted: Vec<usize> = columns.iter().filter_map(place).collect();
        counted.sort_unstable();
        self.counted = counted;
        self
    }

    /// The table whose scans refuse pages for which `limit` has no room; a run asks before it scans.
    #[must_use]
    pub(super) fn within(mut self, limit: ByteSize) -> Self {
        self.page_limit = Some(limit);
        self
    }

    /// The table with marks that tell how its columns are stored.
    #[must_use]
    pub(super) fn marked(mut self, types: &StoredTypes) -> Self {
        self.schema = types.marked(&self.schema, &self.set);
        self
    }

    /// The shards.
    pub(super) fn shards(&self) -> &Arc<ShardSet> {
        &self.set
    }

    /// Columns of the shards.
    pub(super) fn shard_schema(&self) -> &SchemaRef {
        &self.set.schema
    }

    /// Most rows of a batch.
    pub(super) fn batch_rows(&self) -> usize {
        self.batch.rows
    }

    fn can_evaluate(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns.iter().all(|column| {
                self.set.schema.index_of(&column.name).is_ok() && column.name != self.image
            })
    }
}

#[async_trait]
impl TableProvider for ShardTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.can_evaluate(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let file_columns = self.set.schema.fields().len();
        let mut columns: Vec<usize> = projection
            .iter()
            .copied()
            .filter(|&column| column < file_columns)
            .collect();
        columns.sort_unstable();
        let counted = (!self.counted.is_empty())
            .then(|| counting_nan(self.counted.clone(), Arc::clone(&self.counters)));
        let found = ScanFilters::of(state, filters)?;
        let filtering = found
            .of_columns
            .iter()
            .map(|filter| shard_predicate(state, &self.schema, filter));
        let plan = ReadPlan {
            columns,
            stored: Vec::new(),
            lenient: self.captions.into_iter().collect(),
            row_numbers: true,
            // What counts sees every row.
            predicates: counted
                .map(Ok)
                .into_iter()
                .chain(filtering)
                .collect::<Result<_>>()?,
            batch_rows: self.batch.rows,
            batch_bytes: read_batch(state, self.batch).bytes,
        };
        let schema = Arc::new(self.schema.project(projection)?);
        let shown: Vec<String> = filters.iter().map(ToString::to_string).collect();
        Ok(Arc::new(ShardScanExec::new(ShardScan {
            set: Arc::clone(&self.set),
            table_schema: Arc::clone(&self.schema),
            image: self.schema.index_of(&self.image).ok(),
            starts: self.starts.clone(),
            plan,
            schema,
            filters: shown.join(" AND "),
            conditions_change: false,
            limit: found.limit(limit),
            page_limit: self.page_limit,
            counters: Arc::clone(&self.counters),
        })))
    }
}
