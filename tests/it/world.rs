//! Sessions for SQL, opened as the program opens them, over tables made on the spot and with the mock encoder.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use clip_filter::{
    config::ByteSize,
    encode::{EncoderFactory, EncoderSource, MockFactory},
    engine::{Recipe, SqlSession},
    error::{Error, Result},
    pipeline::{self, DEFAULT_TABLE, RunContext, ScoreOptions, SqlOptions, open_sql},
    schema::ScoreColumn,
    score::MethodOptions,
    summary::ModelCard,
};
use futures::TryStreamExt;
use parquet::file::properties::WriterProperties;
use tokio::runtime::Runtime;

use crate::shards;

/// Threads of a session; queries that may reorder rows use both.
const THREADS: usize = 2;

/// The mock; counts how often it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Mock {
    log: Option<PathBuf>,
    loads: AtomicUsize,
    refuses: bool,
}

impl Mock {
    /// A mock that appends one byte to `log` for every image it encodes.
    pub(crate) fn logging_to(log: PathBuf) -> Self {
        Self {
            log: Some(log),
            ..Self::default()
        }
    }

    /// A model that cannot be loaded.
    pub(crate) fn refusing() -> Self {
        Self {
            refuses: true,
            ..Self::default()
        }
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }
}

impl EncoderSource for Mock {
    fn identity(&self) -> Result<Option<ModelCard>> {
        Ok(Some(MockFactory::try_new()?.card().clone()))
    }

    fn load(&self, _: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        if self.refuses {
            return Err(Error::model("load a model that no query needs"));
        }
        let mock = MockFactory::try_new()?;
        Ok(match &self.log {
            Some(log) => Arc::new(mock.logging_to(log)),
            None => Arc::new(mock),
        })
    }
}

/// Tables in a directory of their own.
pub(crate) struct World {
    dir: tempfile::TempDir,
    tables: Vec<(String, Vec<String>)>,
    runtime: Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        Self {
            dir: tempfile::tempdir().unwrap(),
            tables: Vec::new(),
            runtime: runtime.worker_threads(THREADS).build().unwrap(),
        }
    }

    /// Adds the table `name`, each batch a shard with row groups of `group_rows`.
    pub(crate) fn with(mut self, name: &str, batches: &[RecordBatch], group_rows: usize) -> Self {
        let write = |(number, batch): (usize, &RecordBatch)| {
            let path = self.path(&format!("{name}-{number:02}.parquet"));
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(group_rows))
                .build();
            shards::write_with(&path, batch, properties);
            path.to_str().unwrap().to_owned()
        };
        let paths = batches.iter().enumerate().map(write).collect();
        self.tables.push((name.to_owned(), paths));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Scores the table `name` into the store of this world.
    pub(crate) fn score(&self, name: &str) {
        self.derive(name, MethodOptions::default(), &[]);
    }

    /// As [`Self::score`], with columns computed from embeddings.
    pub(crate) fn derive(&self, name: &str, method: MethodOptions, columns: &[ScoreColumn]) {
        let (_, inputs) = self.tables.iter().find(|(known, _)| known == name).unwrap();
        let options = ScoreOptions::new(inputs)
            .with_scores(self.path("scores"))
            .with_threads(THREADS)
            .with_memory_limit(memory_limit())
            .with_method(method)
            .with_derived(columns.iter().copied());
        let context = RunContext::new(Arc::new(Mock::default()));
        let scored = self.runtime.block_on(pipeline::score(&options, context));
        scored.unwrap_or_else(|error| panic!("{}", error.report()));
    }

    /// A session over all tables, and over the store if `stored`.
    pub(crate) fn open(&self, stored: Scores, model: Arc<dyn EncoderSource>) -> Opened<'_> {
        let mut options = SqlOptions::new()
            .with_model_batch_rows(8)
            .with_threads(THREADS)
            .with_memory_limit(memory_limit());
        options.tables = self.tables.clone();
        options.scores = (stored == Scores::Stored).then(|| self.path("scores").into());
        let session = open_sql(&options, RunContext::new(model))
            .unwrap_or_else(|error| panic!("{}", error.report()));
        Opened {
            session,
            world: self,
        }
    }
}

/// Where scores come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scores {
    /// Encoded when a query asks for them.
    Encoded,
    /// Read from a store.
    Stored,
}

fn memory_limit() -> ByteSize {
    "1GB".parse().unwrap()
}

/// A session and the world it reads.
pub(crate) struct Opened<'a> {
    pub(crate) session: SqlSession,
    world: &'a World,
}

impl Opened<'_> {
    /// All rows of one statement, or the report a user reads.
    pub(crate) fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
        let answer = self.world.runtime.block_on(async {
            let rows = self.session.query(sql).await?;
            let schema = Arc::clone(&rows.schema);
            let batches: Vec<RecordBatch> = rows.batches.try_collect().await?;
            Ok((schema, batches))
        });
        answer.map_err(|error: Error| error.report())
    }

    /// As [`Self::query`], in one batch.
    pub(crate) fn rows(&self, sql: &str) -> RecordBatch {
        let (schema, batches) = self
            .query(sql)
            .unwrap_or_else(|report| panic!("{sql}\n{report}"));
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    /// The statement of a recipe over the table `pairs`.
    pub(crate) fn recipe(&self, name: &str, params: &[(String, String)]) -> Result<String, String> {
        let pairs = self.session.pair_names(DEFAULT_TABLE).unwrap();
        let recipe = Recipe::named(name).and_then(|recipe| recipe.sql(params, &pairs));
        recipe.map_err(|error| error.report())
    }
}
