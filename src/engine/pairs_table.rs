//! Shards with their scores as columns of one table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, plan_err},
    datasource::TableType,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
};

use super::{
    AddedColumn,
    predicate::{Condition, ScanFilters, shard_predicate},
    query_memory::read_batch,
    scan_exec::ScoredScanExec,
    stored_scan::StoredScan,
    stored_types::StoredTypes,
};
use crate::{
    config::ByteSize,
    schema::{ROW, SHARD, ScoreColumn},
    source::{ColumnBinding, ShardSet, view_schema},
    store::ScoreStore,
};

/// How large the batches of a scan are.
#[derive(Debug, Clone, Copy)]
pub struct BatchSize {
    /// Most rows.
    pub rows: usize,
    /// Most bytes, judged by the average row.
    pub bytes: u64,
}

/// Columns of a score store.
#[derive(Debug, Clone)]
pub struct StoredScores {
    /// Where they are.
    pub store: Arc<ScoreStore>,
    /// The columns, by names that the shards do not have.
    pub columns: Vec<AddedColumn>,
}

/// The columns of the shards, then the score columns, then [`SHARD`] and [`ROW`] if asked for.
///
/// Rows that are not in the store have null scores. A query that names only stored columns does not open the
/// shards. Conditions on stored columns are decided first, so that only pages with rows that pass are read.
#[derive(Debug)]
pub struct PairsTable {
    set: Arc<ShardSet>,
    binding: ColumnBinding,
    store: Arc<ScoreStore>,
    scored: Vec<AddedColumn>,
    schema: SchemaRef,
    batch: BatchSize,
    page_limit: Option<ByteSize>,
}

impl PairsTable {
    /// A table over `set` with `scores`.
    pub fn new(
        set: Arc<ShardSet>,
        binding: ColumnBinding,
        scores: StoredScores,
        batch: BatchSize,
    ) -> Self {
        let StoredScores {
            store,
            columns: scored,
        } = scores;
        let mut fields: Vec<_> = view_schema(&set.schema).fields().iter().cloned().collect();
        let added = |column: &AddedColumn| Field::new(&column.name, column.added.data_type(), true);
        fields.extend(scored.iter().map(added).map(Arc::new));
        let schema = Schema::new_with_metadata(fields, set.metadata.clone());
        Self {
            set,
            binding,
            store,
            scored,
            schema: Arc::new(schema),
            batch,
            page_limit: None,
        }
    }

    /// The table whose scans refuse pages for which `limit` has no room; a run asks before it scans.
    #[must_use]
    pub(super) fn within(mut self, limit: ByteSize) -> Self {
        self.page_limit = Some(limit);
        self
    }

    /// Adds the row reference as last columns.
    #[must_use]
    pub fn with_row_references(mut self) -> Self {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(SHARD, DataType::UInt32, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
        let metadata = self.schema.metadata().clone();
        self.schema = Arc::new(Schema::new_with_metadata(fields, metadata));
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

    /// The column that holds `added` for this image and caption column, if it is the table's own pair.
    pub(super) fn scored_column(
        &self,
        added: ScoreColumn,
        image: Option<&str>,
        text: Option<&str>,
    ) -> Option<&str> {
        let same = image.is_none_or(|image| image == self.binding.image)
            && text.is_none_or(|text| text == self.binding.text);
        let column = self.scored.iter().find(|column| column.added == added)?;
        same.then_some(column.name.as_str())
    }

    /// Who decides conditions on a column: where it is read.
    fn decider(&self, name: &str) -> DecidedBy {
        if self.scored.iter().any(|column| column.name == name) {
            DecidedBy::Store
        } else if name == self.binding.image || self.set.schema.index_of(name).is_err() {
            DecidedBy::Nobody
        } else {
            DecidedBy::Shard
        }
    }

    /// Who can decide `filter` alone.
    fn decider_of(&self, filter: &Expr) -> DecidedBy {
        let columns = filter.column_refs();
        let mut sides = columns.iter().map(|column| self.decider(&column.name));
        match sides.next() {
            Some(first) if !filter.is_volatile() && sides.all(|side| side == first) => first,
            _ => DecidedBy::Nobody,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecidedBy {
    Shard,
    Store,
    Nobody,
}

#[async_trait]
impl TableProvider for PairsTable {
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
        let support = |filter: &&Expr| match self.decider_of(filter) {
            DecidedBy::Nobody => TableProviderFilterPushDown::Unsupported,
            DecidedBy::Shard | DecidedBy::Store => TableProviderFilterPushDown::Exact,
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
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let (mut shard_conditions, mut stored_conditions) = (Vec::new(), Vec::new());
        let found = ScanFilters::of(state, filters)?;
        for filter in &found.of_columns {
            match self.decider_of(filter) {
                DecidedBy::Shard => {
                    shard_conditions.push(shard_predicate(state, &self.schema, filter)?)
                }
                DecidedBy::Store => {
                    stored_conditions.push(Condition::of(state, &self.schema, filter)?)
                }
                DecidedBy::Nobody => {
                    return plan_err!("a condition reached the wrong scan: {filter}");
                }
            }
        }
        let shown: Vec<String> = filters.iter().map(ToString::to_string).collect();
        Ok(Arc::new(ScoredScanExec::new(StoredScan {
            set: Arc::clone(&self.set),
            store: Arc::clone(&self.store),
            scored: self.scored.clone(),
            table_schema: Arc::clone(&self.schema),
            projection: projection.clone(),
            schema: Arc::new(self.schema.project(projection)?),
            shard_conditions,
            stored_conditions,
            batch: read_batch(state, self.batch),
            shown: shown.join(" AND "),
            limit: found.limit(limit),
            page_limit: self.page_limit,
            image: self.schema.index_of(&self.binding.image)?,
            captions: self.set.schema.index_of(&self.binding.text).ok(),
        })))
    }
}
