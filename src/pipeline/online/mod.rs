//! Scores and filters in one pass, while somebody reads.
//!
//! ```text
//! shards ─► scan ─► ClipEncode ─► early conditions below, late ones beside ─► sieve ─► consumer
//! ```
//!
//! Nothing is stored and no row is read twice, so the budget is held by a threshold that is learned on the way
//! ([`OnlineSelector`]) and not by the exact selection.

mod sieve;
mod stream;

use std::sync::{Arc, atomic::Ordering};

use arrow::datatypes::Schema;
use futures::StreamExt;

use super::context::{PagesRead, Prepared, RunContext, load, loaded, written_schema};
use crate::{
    engine::{
        EncodeRuntime, MemoryPlan, RunningQuery, ShardTable, WidePlan, from_datafusion, one_pass,
    },
    error::{Error, Result},
    options::{OnlineOptions, RunOptions},
    select::{Keep, OnlineSelector},
    sink::{Provenance, WriterPolicy, plain_schema},
    source::view_schema,
    summary::Counters,
};

use sieve::Sieve;
use stream::{LeftOutFiles, OnlineRun};
pub use stream::{OnlineStream, OnlineSummary};

/// Starts to score and filter: a stream of the rows that are kept, in row order, for a data loader to read.
///
/// Needs a runtime of tokio, on which the work goes on while the consumer does something else: at most six
/// batches of 256 rows ahead of it, no further. Dropping the stream stops the work, and so does
/// [`RunContext::cancel`], which ends the stream with an error of kind [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted).
///
/// Conditions are decided first, then the threshold, then the budget, which counts what is left; it holds over any
/// 10,000 of these rows within 0.02, see [`OnlineSelector`]. Bad rows are left out and counted,
/// [`OnlineOptions::on_error`] may say otherwise.
///
/// # Shape
/// All columns of the shards, then `clip_score`, then those that [`OnlineOptions::add`] names. Strings and bytes
/// are views of the pages that were read, so that no image is copied; [`OnlineStream::plain_schema`] has the types
/// that the shards declare.
///
/// # Errors
/// When a score store is asked for, the budget is a number of rows, an input cannot be read, a column or condition
/// cannot be understood, or the model cannot be loaded. A shard that cannot be read to its end is an error of the
/// stream, which then ends.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use clip_filter::{
///     model::{Model, ModelOptions},
///     pipeline::{OnlineOptions, RunContext, ScoreOptions, online},
/// };
/// use futures::TryStreamExt;
///
/// # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let options = OnlineOptions::new(ScoreOptions::new(["assets/sample.parquet"]), "0.3".parse()?);
/// // `mock` encodes without a model: name a real one.
/// let model = Model::open("mock", ModelOptions::new())?;
/// let mut pairs = online(&options, RunContext::new(Arc::new(model))).await?;
/// let mut rows = 0;
/// while let Some(batch) = pairs.try_next().await? {
///     rows += batch.num_rows(); // train on it
/// }
/// let summary = pairs.summary();
/// assert_eq!(summary.run.rows_kept, rows as u64);
/// assert_eq!(summary.run.rows_in, 236);
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn online(options: &OnlineOptions, context: RunContext) -> Result<OnlineStream> {
    options.check()?;
    let selector = match options.keep {
        Keep::All => None,
        keep => Some(OnlineSelector::try_new(keep)?),
    };
    let run = options.as_run();
    let mut prepared = Prepared::check(&run)?;
    let run = run.over(&prepared.shards.set.schema);
    check_columns(&run)?;
    prepared.check_condition(&run)?;
    let factory = load(&context, None)?;
    let provenance = Provenance {
        model: factory.card().clone(),
        command: options.command.clone(),
        selection: format!("{}, in one pass", run.describe_selection()),
        reading: run.scoring.reading,
        derived: None,
    };
    let pages = PagesRead::of_all(&prepared.shards);
    let loaded = loaded(&run.scoring, &prepared.shards, factory, pages)?;
    let memory = loaded.memory.clone();
    let counters = &context.counters;
    let rows = prepared.shards.set.rows();
    counters.rows_total.store(rows, Ordering::Relaxed);
    let runtime = Arc::new(EncodeRuntime::new(loaded, Arc::clone(counters)));
    let plan = wide_plan(&run, &prepared, runtime, &memory, counters);
    let RunningQuery { batches, plan } = one_pass(plan).await?;
    (context.explain)(&plan);
    let policy = prepared.writer_policy(&run, &provenance, &memory);
    let columns = written_schema(&view_schema(&policy.input), &policy.added);
    let metadata = policy.metadata.iter().cloned().collect();
    let schema = Arc::new(Schema::clone(&columns).with_metadata(metadata));
    let pass = OnlineRun {
        sieve: Sieve::try_new(&run, &prepared, selector, Arc::clone(&schema))?,
        plain: Arc::new(declared_schema(&policy, &schema)),
        schema,
        rows_in: rows,
        left_out: LeftOutFiles {
            bad_shards: prepared.shards.set.bad.clone(),
            notes: prepared.shards.set.notes.clone(),
        },
        provenance,
        memory,
        threads: run.scoring.threads,
        counters: Arc::clone(counters),
    };
    let batches =
        batches.map(|batch| batch.map_err(|error| from_datafusion(error, "score a batch")));
    Ok(OnlineStream::new(batches.boxed(), pass, context.cancel))
}

/// Refuses scores that depend on all rows.
fn check_columns(run: &RunOptions) -> Result<()> {
    match run.derived().first() {
        None => Ok(()),
        Some(column) => Err(Error::usage(format!(
            "compute {} in one pass: it depends on all rows",
            column.name()
        ))
        .hint("leave it out, or select in two passes (without --online)")),
    }
}

/// The wide pass with everything that the stream gives or a condition may name.
fn wide_plan(
    options: &RunOptions,
    prepared: &Prepared,
    runtime: Arc<EncodeRuntime>,
    memory: &MemoryPlan,
    counters: &Arc<Counters>,
) -> WidePlan {
    let set = &prepared.shards.set;
    let table = ShardTable::new(
        Arc::clone(set),
        &prepared.shards.binding.image,
        memory.batch(),
        Arc::clone(counters),
    );
    let table = table.with_captions(&prepared.shards.binding.text);
    let names = set.schema.fields().iter().map(|field| field.name().clone());
    WidePlan {
        table,
        binding: prepared.shards.binding.clone(),
        carried: names.collect(),
        added: prepared.scored().to_vec(),
        condition: prepared.condition(options),
        runtime,
        memory_limit: options.scoring.memory_limit,
    }
}

/// The types that the shards declare, but for views.
fn declared_schema(policy: &WriterPolicy, schema: &Schema) -> Schema {
    let fields = policy.declared_schema().fields().clone();
    plain_schema(&Schema::new_with_metadata(
        fields,
        schema.metadata().clone(),
    ))
}
