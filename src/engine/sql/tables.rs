//! Tables of a session: shards alone, or pairs with the columns that a store or a model gives.

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider,
    common::{Column, Result as PlanResult},
    datasource::{ViewTable, provider_as_source},
    logical_expr::{Expr, LogicalPlanBuilder, ScalarUDF},
};

use super::SqlSession;
use crate::{
    config::Orientation,
    engine::{
        AddedColumn, BatchSize, MemoryPlan, PairNames, PairsTable, ShardTable, StoredScores,
        from_datafusion, query_memory::BATCH_ROWS, recipe::identifier, udf,
    },
    error::{Error, Result},
    schema::{ROW, SHARD, ScoreColumn},
    source::{ColumnBinding, ImageLayout, ShardSet},
    store::ScoreStore,
};

/// Rows of a batch that is encoded: a LIMIT stops that much too late.
const ENCODED_BATCH_ROWS: usize = 256;

impl SqlSession {
    /// Makes a table of shards that are no pairs.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_shards(&self, name: &str, set: &Arc<ShardSet>) -> Result<()> {
        let failed = |error| from_datafusion(error, "make a table").with("table", name);
        let table = Arc::new(self.shard_table(set, "", BATCH_ROWS));
        let view = self.view(name, table, |columns| columns).map_err(failed)?;
        self.register(name, view)
    }

    /// Makes a table of pairs, and one of their shards alone.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn add_pairs(
        &self,
        name: &str,
        set: &Arc<ShardSet>,
        binding: &ColumnBinding,
        store: Option<&Arc<ScoreStore>>,
    ) -> Result<()> {
        let failed = |error| from_datafusion(error, "make a table").with("table", name);
        let free = |added: &ScoreColumn| set.schema.index_of(added.name()).is_err();
        let encoded = ScoreColumn::ALL.iter().copied();
        let encoded = encoded.filter(|column| !column.is_derived());
        let scored = encoded.filter(free);
        let table: Arc<dyn TableProvider> = match store {
            Some(store) => {
                let derived = ScoreColumn::derived();
                let stored = |column: &ScoreColumn| store.schema().index_of(column.name()).is_ok();
                let derived = derived.filter(stored).filter(free);
                let scored = scored.chain(derived).map(|added| AddedColumn {
                    added,
                    name: added.name().to_owned(),
                });
                let table = PairsTable::new(
                    Arc::clone(set),
                    binding.clone(),
                    StoredScores {
                        store: Arc::clone(store),
                        columns: scored.collect(),
                    },
                    self.batch(BATCH_ROWS),
                );
                let table = table.with_row_references().marked(&self.stored);
                Arc::new(table.within(self.limits.memory_limit))
            }
            None => {
                let calls: Vec<Expr> = scored.map(|added| self.call(added, binding)).collect();
                let references = [SHARD, ROW].map(|name| Expr::Column(Column::from_name(name)));
                let table = self.shard_table(set, &binding.image, ENCODED_BATCH_ROWS);
                let table = Arc::new(table.with_captions(&binding.text));
                let all = |columns: Vec<Expr>| {
                    columns.into_iter().chain(calls).chain(references).collect()
                };
                self.view(name, table, all).map_err(failed)?
            }
        };
        self.register(name, table)?;
        let image = identifier(&binding.image);
        let names = PairNames {
            image: binding.image.clone(),
            image_bytes: match binding.layout {
                ImageLayout::Bytes => image,
                ImageLayout::Struct => format!("{image}['bytes']"),
            },
            text: binding.text.clone(),
        };
        self.lock().push((name.to_owned(), names));
        let shards = self.shard_table(set, &binding.image, BATCH_ROWS);
        let shards = Arc::new(shards.with_captions(&binding.text));
        let name = format!("{name}_shards");
        let view = self
            .view(&name, shards, |columns| columns)
            .map_err(failed)?;
        self.register(&name, view)
    }

    /// The score column as a call on the columns of a shard.
    fn call(&self, added: ScoreColumn, binding: &ColumnBinding) -> Expr {
        let image = || Expr::Column(Column::from_name(&binding.image));
        let text = || Expr::Column(Column::from_name(&binding.text));
        let (function, arguments) = match added {
            ScoreColumn::CLIP_SCORE => ("clip_score", vec![image(), text()]),
            ScoreColumn::STATUS => ("clip_status", vec![image(), text()]),
            ScoreColumn::REASON => ("clip_reason", vec![image(), text()]),
            ScoreColumn::WIDTH => (self.size_functions()[0], vec![image()]),
            ScoreColumn::HEIGHT => (self.size_functions()[1], vec![image()]),
            ScoreColumn::IMAGE_EMBEDDING => ("clip_image_embedding", vec![image()]),
            ScoreColumn::TEXT_EMBEDDING => ("clip_text_embedding", vec![text()]),
            // Only a store has them.
            derived => (derived.name(), Vec::new()),
        };
        let functions = udf::cheap_functions()
            .into_iter()
            .chain(udf::upright_sizes())
            .chain(udf::clip_functions(&self.runtime));
        let mut functions = functions.filter(|known: &ScalarUDF| known.name() == function);
        match functions.next() {
            Some(function) => function.call(arguments).alias(added.name()),
            // Every name above is one of ours.
            None => Expr::Column(Column::from_name(function)),
        }
    }

    /// What tells width and height of a picture as it is encoded.
    fn size_functions(&self) -> [&'static str; 2] {
        match self.limits.orientation {
            Orientation::Ignore => ["image_width", "image_height"],
            Orientation::Apply => ["upright_width", "upright_height"],
        }
    }

    fn shard_table(&self, set: &Arc<ShardSet>, image: &str, rows: usize) -> ShardTable {
        let table = ShardTable::new(
            Arc::clone(set),
            image,
            self.batch(rows),
            Arc::clone(&self.counters),
        );
        table.marked(&self.stored).within(self.limits.memory_limit)
    }

    fn batch(&self, rows: usize) -> BatchSize {
        let bytes = MemoryPlan::without_model(self.limits.memory_limit).batch_bytes;
        BatchSize { rows, bytes }
    }

    /// A view that shows what `shown` makes of the columns of `table`, the row reference not among them.
    fn view(
        &self,
        name: &str,
        table: Arc<ShardTable>,
        shown: impl FnOnce(Vec<Expr>) -> Vec<Expr>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let columns = table.shard_schema().fields().iter();
        let columns = columns.map(|field| Expr::Column(Column::from_name(field.name())));
        let columns = shown(columns.collect());
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?
            .project(columns)?
            .build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        if self.tables().iter().any(|known| known == name) {
            return Err(Error::usage(format!("make the table {name}: there is one"))
                .hint("--input OTHERNAME=PATH"));
        }
        let made = self.context.register_table(identifier(name), table);
        made.map(|_| ())
            .map_err(|error| from_datafusion(error, "make a table").with("table", name))
    }
}
