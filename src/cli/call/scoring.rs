//! Rows that a program gives to be scored.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{Call, Caller};
use crate::{
    cli::{
        args::FilterArgs,
        host::Host,
        loading,
        online::refuse_others,
        running::{Scoring, score_options},
    },
    error::{Error, Result},
    pipeline::{RunContext, Scorer, ScorerOptions},
    schema::ScoreColumn,
};

/// A model with options, to be loaded when rows come.
#[derive(Debug)]
pub struct ScoringCall {
    args: FilterArgs,
    options: ScorerOptions,
}

/// A model that is loaded, with threads of its own.
#[derive(Debug)]
pub struct Scorers {
    scorer: Arc<Scorer>,
    runtime: Runtime,
}

/// Rows that are being scored; dropping it stops that.
#[derive(Debug)]
pub struct Pending {
    done: Receiver<Result<RecordBatch>>,
    task: JoinHandle<()>,
}

impl Call {
    /// Takes the main job's options of model, columns, pictures and resources, and adds the columns of these names.
    ///
    /// # Errors
    /// When an option selects or writes, or there is no such column, or it depends on all rows.
    pub fn scoring(self, columns: &[String]) -> Result<ScoringCall> {
        let args = self.args.filter;
        refuse_others(&args)?;
        if args.selects.is_given()
            || args.condition.condition.is_some()
            || !args.columns.add.is_empty()
        {
            return Err(
                Error::usage("score rows and select some: every row is given back")
                    .hint("leave keep, min_score, where and add out; columns says what is added"),
            );
        }
        let columns = columns.iter().map(|name| {
            ScoreColumn::from_name(name).ok_or_else(|| {
                Error::usage(format!("add '{name}': there is no such column")).hint(
                    "clip_score, status, reason, width, height, image_embedding, text_embedding",
                )
            })
        });
        let scoring = score_options(Scoring::without_store(&args, Vec::new()))?;
        let options = ScorerOptions::try_new(scoring, columns.collect::<Result<Vec<_>>>()?)?;
        Ok(ScoringCall {
            options: options.with_prefix(args.columns.prefix.as_str()),
            args,
        })
    }
}

impl ScoringCall {
    /// Columns of rows that were scored; no model is needed.
    ///
    /// # Errors
    /// As [`ScorerOptions::schema`].
    pub fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        self.options.schema(input)
    }

    /// Loads the model; blocks.
    ///
    /// # Errors
    /// As [`Scorer::load`].
    pub fn load(&self, caller: Caller) -> Result<Scorers> {
        let host = Host::Program(caller.clone());
        let model = loading::model(&self.args.model, &self.args.tells.verbosity, &host);
        let context = RunContext::new(Arc::new(model)).with_counters(caller.counters);
        // Encoders bring their own threads; these only move batches.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::resources("start the runtime").source(error))?;
        Ok(Scorers {
            scorer: Arc::new(Scorer::load(self.options.clone(), &context)?),
            runtime,
        })
    }
}

impl Scorers {
    /// Starts to score `rows`.
    pub fn start(&self, rows: RecordBatch) -> Pending {
        let scorer = Arc::clone(&self.scorer);
        let (sender, done) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            // Nobody waits for what was dropped.
            let _ = sender.send(scorer.score(&rows).await);
        });
        Pending { done, task }
    }
}

impl Pending {
    /// The rows with their scores; `None` if that takes longer than `patience`.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub fn wait(&self, patience: Duration) -> Result<Option<RecordBatch>> {
        match self.done.recv_timeout(patience) {
            Ok(scored) => scored.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal(
                "score rows: the task that does it has stopped",
            )),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.task.abort();
    }
}
