//! Opens a session for SQL: tables from shards, scores from a store, a model if a query needs one.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::context::{EncodeLimits, RunContext, load_of_store};
use crate::{
    config::{ByteSize, ImageChoice, OnBadShard},
    encode::EncoderSource,
    engine::{Beside, EncodeRuntime, Purpose, SqlLimits, SqlSession, query_threads},
    error::{Error, Result},
    machine,
    source::{ColumnBinding, ColumnChoice, Places, ShardSet, TablePaths},
    store::{ScoreStore, ShardIdentity, StoreAt},
    summary::Counters,
};

/// The table of a store's own shards, and of inputs without a name.
pub const DEFAULT_TABLE: &str = "pairs";

/// What a session has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqlOptions {
    /// Tables: a name, and files, directories, globs or brace ranges.
    pub tables: Vec<(String, Vec<String>)>,
    /// Where inputs may lie.
    pub places: Places,
    /// A score store of their shards.
    pub scores: Option<StoreAt>,
    /// Columns the caller named.
    pub columns: ColumnChoice,
    /// Most rows of a model batch; as suits the device if `None`.
    pub model_batch_rows: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// Memory that the session may use.
    pub memory_limit: ByteSize,
    /// What was said about pictures; what a store was made with is refused where it is something else.
    pub images: ImageChoice,
    /// Follow image paths out of the shard's directory.
    pub allow_external_paths: bool,
    /// What becomes of a shard whose footer cannot be read.
    pub on_bad_shard: OnBadShard,
}

impl Default for SqlOptions {
    /// No tables; threads and memory are what suits this machine.
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            places: Places::default(),
            scores: None,
            columns: ColumnChoice::default(),
            model_batch_rows: None,
            threads: machine::threads(),
            memory_limit: machine::default_memory_limit(),
            images: ImageChoice::default(),
            allow_external_paths: false,
            on_bad_shard: OnBadShard::Fail,
        }
    }
}

impl SqlOptions {
    /// As [`Self::default`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the table `name` of `inputs`: files, directories, globs or brace ranges.
    #[must_use]
    pub fn with_table(
        mut self,
        name: impl Into<String>,
        inputs: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let inputs = inputs.into_iter().map(Into::into).collect();
        self.tables.push((name.into(), inputs));
        self
    }

    /// Takes scores from this store, opened as inputs are; without tables its own shards are one.
    #[must_use]
    pub fn with_scores(mut self, at: impl Into<StoreAt>) -> Self {
        self.scores = Some(at.into());
        self
    }

    /// Takes images and captions from these columns.
    #[must_use]
    pub fn with_columns(mut self, columns: ColumnChoice) -> Self {
        self.columns = columns;
        self
    }

    /// Gives the model batches of at most so many rows.
    #[must_use]
    pub fn with_model_batch_rows(mut self, rows: usize) -> Self {
        self.model_batch_rows = Some(rows);
        self
    }

    /// Uses so many threads.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Threads that a runtime for the queries should have: each keeps some of the memory limit.
    pub fn worker_threads(&self) -> usize {
        query_threads(self.memory_limit, self.threads)
    }

    /// Uses at most so much memory.
    #[must_use]
    pub fn with_memory_limit(mut self, limit: ByteSize) -> Self {
        self.memory_limit = limit;
        self
    }

    /// Reads pictures this way.
    #[must_use]
    pub fn with_images(mut self, images: ImageChoice) -> Self {
        self.images = images;
        self
    }

    /// Follows image paths out of the shard's directory.
    #[must_use]
    pub fn with_external_paths(mut self) -> Self {
        self.allow_external_paths = true;
        self
    }

    /// Finds inputs in these places too.
    #[must_use]
    pub fn with_places(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// Treats shards whose footer cannot be read this way.
    #[must_use]
    pub fn with_on_bad_shard(mut self, on_bad_shard: OnBadShard) -> Self {
        self.on_bad_shard = on_bad_shard;
        self
    }
}

/// Opens the tables. What the user should know of them is said to the context; a query is stopped by dropping its rows.
///
/// A table whose shards have no image or no caption column is a plain one. Without tables a store's own shards
/// are the table `pairs`.
///
/// # Errors
/// When a file cannot be read, a shard has changed since it was scored, or the store cannot be opened or was made with
/// pictures read in another way than was asked for.
pub fn open_sql(options: &SqlOptions, context: RunContext) -> Result<SqlSession> {
    let at = options
        .scores
        .clone()
        .map(|at| at.in_places(&options.places));
    let store = at.map(ScoreStore::open).transpose()?.map(Arc::new);
    let mut options = options.clone();
    if let Some(store) = &store {
        store.check_images(&options.images)?;
        options.images = store.spec().images();
    }
    let options = &options;
    let (model, counters) = (context.model, context.counters);
    let directories = Arc::new(Mutex::new(Vec::new()));
    let runtime = lazy_runtime(options, model, store.clone(), &directories, &counters);
    let limits = SqlLimits {
        memory_limit: options.memory_limit,
        threads: options.threads,
        temporary_files: std::env::temp_dir(),
        orientation: options.images.reading().orientation,
    };
    let session = SqlSession::try_new(limits, runtime, counters)?;
    let opening = Opening {
        options,
        store: store.as_ref(),
        session: &session,
        say: context.say.as_ref(),
    };
    let mut tables = options.tables.clone();
    if let (true, Some(store)) = (tables.is_empty(), &store) {
        let shards = store.shards().iter();
        for shard in shards.clone() {
            check_is_there(&options.places, &shard.path, store)?;
        }
        let shards = shards.map(|shard| shard.path.clone());
        tables.push((DEFAULT_TABLE.to_owned(), shards.collect()));
    }
    for (name, inputs) in &tables {
        let found = opening.add(name, inputs)?;
        directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(found);
    }
    Ok(session)
}

/// Refuses a shard of the store that is not where it was.
fn check_is_there(places: &Places, shard: &str, store: &ScoreStore) -> Result<()> {
    if places.at(shard)?.exists() {
        return Ok(());
    }
    let at = store.at();
    Err(
        Error::input("open the shards of the score store: one is not there any more")
            .with("shard", shard)
            .with("store", at)
            .hint(format!(
                "put it back, or name those that are there: clip-filter sql --scores {at} --input PATH"
            )),
    )
}

struct Opening<'a> {
    options: &'a SqlOptions,
    store: Option<&'a Arc<ScoreStore>>,
    session: &'a SqlSession,
    say: &'a dyn Fn(&str),
}

impl Opening<'_> {
    /// Makes a table; the directories of its shards, if images are sought there.
    fn add(&self, name: &str, inputs: &[String]) -> Result<Vec<Option<PathBuf>>> {
        let paths = TablePaths::when(self.options.allow_external_paths);
        let places = self.options.places.clone().with_table_paths(paths);
        let found = places.find(inputs)?.table()?;
        let set = Arc::new(ShardSet::of_found(found, self.options.on_bad_shard)?);
        for note in set.told() {
            (self.say)(&format!("note: {note}"));
        }
        let named = self.options.columns.image.is_some() || self.options.columns.text.is_some();
        let binding = match self.store {
            Some(store) if !named => {
                let spec = store.spec();
                ColumnBinding::stored(&set.schema, &spec.image_column, &spec.text_column)
            }
            _ => {
                let found =
                    ColumnBinding::detect(&set.schema, &set.metadata, &self.options.columns);
                // Named columns that are not there are an error of the one table they can be meant for.
                match found {
                    Err(error) if named && self.options.tables.len() == 1 => return Err(error),
                    found => found.ok(),
                }
            }
        };
        let Some(binding) = binding else {
            if let Some(error) = ColumnBinding::image_that_is_text(&set.schema) {
                let why: Vec<String> = error
                    .report()
                    .lines()
                    .map(|line| line.trim().to_owned())
                    .collect();
                (self.say)(&format!(
                    "note: {name} is no table of pairs: {}",
                    why.join("; ")
                ));
            }
            self.tell_plain(name, &set);
            self.session.add_shards(name, &set)?;
            return Ok(Vec::new());
        };
        if let Some(store) = self.store {
            let identities: Vec<ShardIdentity> = set.shards.iter().map(ShardIdentity::of).collect();
            store.check_shards(&identities)?;
            self.tell_coverage(name, store, &identities)?;
        }
        self.session.add_pairs(name, &set, &binding, self.store)?;
        Ok(set.directories())
    }

    /// A table that could be one of pairs, but not of the store's.
    fn tell_plain(&self, name: &str, set: &ShardSet) {
        let Some(store) = self.store else { return };
        if ColumnBinding::detect(&set.schema, &set.metadata, &ColumnChoice::default()).is_ok() {
            let (image, text) = (&store.spec().image_column, &store.spec().text_column);
            (self.say)(&format!(
                "note: {name} has no columns {image} and {text}, which the store has scored: it has no scores"
            ));
        }
    }

    fn tell_coverage(
        &self,
        name: &str,
        store: &ScoreStore,
        shards: &[ShardIdentity],
    ) -> Result<()> {
        let rows: u64 = shards.iter().map(|shard| shard.rows).sum();
        let decided = rows - store.missing_rows(shards)?;
        if decided < rows {
            (self.say)(&format!(
                "note: the store has scores of {decided} of the {rows} rows of {name}, the others are null: \
                 `clip-filter score` adds them"
            ));
        }
        Ok(())
    }
}

fn lazy_runtime(
    options: &SqlOptions,
    model: Arc<dyn EncoderSource>,
    store: Option<Arc<ScoreStore>>,
    directories: &Arc<Mutex<Vec<Option<PathBuf>>>>,
    counters: &Arc<Counters>,
) -> Arc<EncodeRuntime> {
    let (options, directories) = (options.clone(), Arc::clone(directories));
    let load = move |beside: &Beside| {
        let stored = store.as_ref().map(|store| &store.spec().model);
        let factory = match stored {
            Some(stored) => load_of_store(model.as_ref(), stored, "a text")?,
            None => model.load(None)?,
        };
        let directories = directories.lock().unwrap_or_else(PoisonError::into_inner);
        let encoding = EncodeLimits {
            memory_limit: options.memory_limit,
            threads: options.threads,
            model_batch_rows: options.model_batch_rows,
            max_pixels: options.images.max_pixels(),
            reading: options.images.reading(),
            allow_external_paths: options.allow_external_paths,
            purpose: Purpose::Queries,
        };
        encoding.loaded(factory, directories.clone(), beside)
    };
    Arc::new(EncodeRuntime::lazy(Arc::new(load), Arc::clone(counters)))
}
