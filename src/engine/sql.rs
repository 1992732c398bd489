//! A session that answers SQL over shards and their scores.
//!
//! A table of pairs called NAME has the columns of its shards, then `clip_score`, `status`, `reason`, `width`,
//! `height`, `image_embedding`, `text_embedding` where the shards have no column of that name, then the row
//! reference. With a score store those are read from it; without one NAME is a view in which they are calls of
//! the CLIP functions, so that only what a query asks for is encoded, of the rows that are left by then.
//! NAME_shards has the columns of the shards alone.

mod tables;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::tree_node::TreeNode,
    execution::{TaskContext, context::SQLOptions},
    logical_expr::LogicalPlan,
    prelude::SessionContext,
};
use futures::stream::{BoxStream, StreamExt};

use super::{
    ClipEncodeNode, EncodeRuntime, MemoryPlan, PairNames, PairsTable, from_datafusion,
    memory_plan::{divided_bytes, result_row_group_bytes},
    missing_column::quotes_hint,
    missing_table::no_table,
    planner,
    query_memory::{BATCH_ROWS, QueryMemory, QueryNeeds, check_query_limit, largest_page_bytes},
    recipe::identifier,
    session::session_builder,
    stored_types::{StoredTypes, under, unmarked},
};
use crate::{
    config::{ByteSize, Orientation},
    error::{Error, Result},
    schema::{ROW, SHARD, ScoreColumn},
    source::StoredType,
    summary::Counters,
};

/// Limits of a session.
#[derive(Debug, Clone)]
pub struct SqlLimits {
    /// Memory that all queries together may use.
    pub memory_limit: ByteSize,
    /// Threads of a query that may reorder rows.
    pub threads: usize,
    /// Where what does not fit into memory is written.
    pub temporary_files: PathBuf,
    /// Whether `width` and `height` are of the pictures as they are turned.
    pub orientation: Orientation,
}

/// Schema and rows of one statement; dropping the stream stops the query.
pub struct QueryRows {
    /// The columns.
    pub schema: SchemaRef,
    /// What Parquet has each column as that the query gives as it is in a table; none where there is nothing.
    pub stored: Vec<Option<StoredType>>,
    /// Most bytes in which a row group of Parquet may wait.
    pub row_group_bytes: u64,
    /// The rows.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub column: String,
    /// Its type.
    pub data_type: String,
    /// Where it comes from.
    pub origin: String,
}

/// See the module.
pub struct SqlSession {
    context: SessionContext,
    runtime: Arc<EncodeRuntime>,
    limits: SqlLimits,
    counters: Arc<Counters>,
    stored: StoredTypes,
    pairs: Mutex<Vec<(String, PairNames)>>,
}

impl SqlSession {
    /// A session without tables; `runtime` loads a model when a query needs one.
    ///
    /// # Errors
    /// When the memory pool cannot be made.
    pub fn try_new(
        limits: SqlLimits,
        runtime: Arc<EncodeRuntime>,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let pool = ByteSize(divided_bytes(limits.memory_limit));
        let mut builder = session_builder(pool, BATCH_ROWS)?;
        if let Some(config) = builder.config() {
            let options = config.options_mut();
            // Joins stay as they are written: the last table of a FROM keeps its order, unless pictures are joined.
            options.optimizer.join_reordering = false;
            options.catalog.information_schema = true;
        }
        let builder = planner::with_clip_functions(builder, &runtime, &limits.temporary_files);
        Ok(Self {
            context: SessionContext::new_with_state(builder.build()),
            runtime,
            limits,
            counters,
            stored: StoredTypes::default(),
            pairs: Mutex::new(Vec::new()),
        })
    }

    /// What the threads of all queries did.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What a recipe must know of the table `name`.
    pub fn pair_names(&self, name: &str) -> Option<PairNames> {
        let pairs = self.lock();
        let found = pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, names)| names.clone())
    }

    /// Plans one statement; it runs as its rows are read.
    ///
    /// Rows come in the order of the shards unless the statement sorts, groups, joins or unites.
    ///
    /// # Errors
    /// When it cannot be planned, or writes.
    pub async fn query(&self, sql: &str) -> Result<QueryRows> {
        let failed = |error| {
            let hint = quotes_hint(&error, sql);
            let error = from_datafusion(error, "run the query");
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        };
        let plan = self.context.state().create_logical_plan(sql).await;
        let plan = plan
            .map_err(|error| no_table(&error, &self.tables()).unwrap_or_else(|| failed(error)))?;
        if let LogicalPlan::Dml(_) | LogicalPlan::Copy(_) = plan {
            return Err(Error::usage("run a statement that writes")
                .hint("write a SELECT, and name the file with --output"));
        }
        SQLOptions::new().verify_plan(&plan).map_err(failed)?;
        let row_group_bytes = result_row_group_bytes(self.limits.memory_limit);
        if let LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) = plan {
            let frame = self
                .context
                .execute_logical_plan(plan)
                .await
                .map_err(failed)?;
            let schema = Arc::clone(frame.schema().inner());
            let batches = frame.collect().await.map_err(failed)?;
            return Ok(QueryRows {
                schema,
                stored: Vec::new(),
                row_group_bytes,
                batches: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            });
        }
        let mut state = self.context.state();
        let optimised = state.optimize(&plan).map_err(failed)?;
        let memory = self.memory_of(&optimised).await?;
        let config = memory.configured(state.config().clone());
        *state.config_mut() = if memory.is_wide || keeps_order(&plan) {
            config
        } else {
            config.with_target_partitions(memory.threads())
        };
        let planner = Arc::clone(state.query_planner());
        let physical = planner
            .create_physical_plan(&optimised, &state)
            .await
            .map_err(failed)?;
        let context = Arc::new(TaskContext::from(&state));
        let passing = memory.set_aside(context.memory_pool());
        let stream =
            datafusion::physical_plan::execute_stream(physical, context).map_err(failed)?;
        let stored = self.stored.of(&stream.schema());
        let schema = unmarked(&stream.schema());
        let given = Arc::clone(&schema);
        let batches = stream.map(move |batch| {
            // Held as long as the rows are read.
            let _ = &passing;
            let batch = batch.map_err(|error| match memory.remedy(&error) {
                Some(remedy) => Error::resources("run the query").source(error).hint(remedy),
                None => from_datafusion(error, "run the query"),
            });
            under(&batch?, &given)
        });
        Ok(QueryRows {
            schema,
            stored,
            row_group_bytes,
            batches: batches.boxed(),
        })
    }

    /// How memory is divided for the optimised plan `plan`; loads a model where it needs one.
    async fn memory_of(&self, plan: &LogicalPlan) -> Result<QueryMemory> {
        let limit = self.limits.memory_limit;
        let mut needs = QueryNeeds::of(plan, limit, self.limits.threads);
        if encodes(plan) {
            let (page, read) = (OnceLock::new(), plan.clone());
            let beside = move |limit: ByteSize, plan: &MemoryPlan| {
                let bytes = page.get_or_init(|| largest_page_bytes(&read));
                needs.holds_rows(limit, plan)
                    && MemoryPlan::without_model(limit).page_bytes >= *bytes
            };
            let loaded = self.runtime.load_beside(beside).await;
            loaded.map_err(|error| from_datafusion(error, "run the query"))?;
        } else {
            check_query_limit(needs, plan)?;
        }
        let loaded = self.runtime.loaded();
        needs.model = loaded.map(|loaded| loaded.needs);
        let without = MemoryPlan::without_model(limit);
        let divided = loaded.map_or(&without, |loaded| &loaded.memory);
        Ok(QueryMemory::divided(needs, divided))
    }

    /// Names of tables, sorted.
    pub fn tables(&self) -> Vec<String> {
        let mut names = Vec::new();
        for catalog in self.context.catalog_names() {
            let catalog = self.context.catalog(&catalog);
            let schema = catalog.and_then(|catalog| catalog.schema("public"));
            names.extend(schema.into_iter().flat_map(|schema| schema.table_names()));
        }
        names.sort();
        names
    }

    /// Columns of `table`.
    ///
    /// # Errors
    /// When there is no such table.
    pub async fn describe(&self, table: &str) -> Result<Vec<Described>> {
        let provider = self
            .context
            .table_provider(identifier(table))
            .await
            .map_err(|error| from_datafusion(error, "find the table").with("table", table))?;
        let stored = (provider.as_ref() as &dyn std::any::Any).is::<PairsTable>();
        let is_pairs = self.pair_names(table).is_some();
        let is_scored = |name: &str| ScoreColumn::from_name(name).is_some();
        let schema = provider.schema();
        // Score columns come after those of the shards, which may have one of the same name.
        let first_scored = schema.index_of(SHARD).unwrap_or(schema.fields().len());
        let scored_from = (0..first_scored)
            .rev()
            .take_while(|&column| is_scored(schema.field(column).name()))
            .last()
            .unwrap_or(first_scored);
        let described = schema.fields().iter().enumerate().map(|(position, field)| {
            let origin = match (is_pairs, field.name().as_str()) {
                (true, SHARD | ROW) => "row reference",
                (true, _) if position >= scored_from && stored => "score store",
                (true, _) if position >= scored_from => "encoded when asked for",
                _ => "shards",
            };
            Described {
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
                origin: origin.to_owned(),
            }
        });
        Ok(described.collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(String, PairNames)>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether rows come out of `plan` as its one table gives them.
fn keeps_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_) => plan.inputs().into_iter().all(keeps_order),
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => true,
        _ => false,
    }
}

/// Whether a model is loaded for `plan`.
fn encodes(plan: &LogicalPlan) -> bool {
    let exists = plan.exists(|plan| {
        Ok(matches!(plan, LogicalPlan::Extension(node) if node.node.as_any().is::<ClipEncodeNode>()))
    });
    // One that cannot be searched is not planned either.
    exists.unwrap_or(false)
}
