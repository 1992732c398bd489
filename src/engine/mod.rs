//! Everything that implements a DataFusion trait.
//!
//! | part | files |
//! |---|---|
//! | shards as a table, read page by page | `shard_table`, `shard_scan` |
//! | shards with stored scores as a table | `pairs_table`, `stored_scan` |
//! | the operator that reads either of them | `scan_exec`, `scan_output` |
//! | the encode operator | `encode_node`, `encode_exec`, `encode_metrics`, `encode_columns`, `runtime` |
//! | SQL functions, and those of the model made columns of the operator | `udf`, `hoist`, `prune` |
//! | rows that a query reads twice | `share`, `shared_rows_exec` |
//! | conditions: `--where` taken apart, and evaluated within a scan or before one | `condition`, `predicate`, `constant_condition` |
//! | comparisons of times by their instants, and with NaN | `times`, `instant`, `nan` |
//! | the queries of a run, and the memory they may use | `plan`, `memory_plan` |
//! | the memory of a query in SQL, and operators that cannot do with it | `query_memory`, `held_rows`, `wide_join` |
//! | a session for SQL, and queries that come with the program | `sql`, `session`, `planner`, `recipe` |
//! | what Parquet has the columns of a query as | `stored_types` |

mod condition;
mod constant_condition;
mod encode_columns;
mod encode_exec;
mod encode_metrics;
mod encode_node;
mod gather;
mod held_rows;
mod hoist;
mod instant;
mod memory_plan;
mod missing_column;
mod missing_table;
mod nan;
mod pairs_table;
mod plan;
mod planner;
mod predicate;
mod prune;
mod query_memory;
mod recipe;
mod runtime;
mod scan_exec;
mod scan_output;
mod session;
mod shard_scan;
mod shard_table;
mod share;
mod shared_rows_exec;
mod sql;
mod stored_scan;
mod stored_types;
mod times;
mod udf;
mod wide_join;

pub use condition::{RowCondition, columns_named, condition_needs_scores, early_condition};
pub use constant_condition::shards_that_may_pass;
pub use encode_exec::{ClipEncodeExec, ReadColumns};
pub use encode_node::{AddedColumn, ClipEncodeNode, PairColumns};
pub use memory_plan::{
    Beside, LEAST_PAGE_BYTES, MemoryNeeds, MemoryPlan, Purpose, WholePage, check_limit,
};
pub use pairs_table::{BatchSize, PairsTable, StoredScores};
pub use plan::{
    GivenPlan, NarrowPlan, PASSES, RunningQuery, WidePlan, early_pass, given_pass, nan_pass,
    narrow_pass, one_pass, wide_pass,
};
pub use query_memory::query_threads;
pub use recipe::{PairNames, Recipe, RecipeParam};
pub use runtime::{EncodeOptions, EncodeRuntime, LoadModel, Loaded};
pub use shard_scan::ShardStarts;
pub use shard_table::ShardTable;
pub use sql::{Described, QueryRows, SqlLimits, SqlSession};

use arrow::error::ArrowError;
use datafusion::{
    common::SchemaError, error::DataFusionError, sql::sqlparser::parser::ParserError,
};

use crate::{error::Error, schema::ScoreColumn};

/// Brings an error of this crate through DataFusion; [`from_datafusion`] gets it back unchanged.
pub(crate) fn into_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error of this crate inside `error`, or `error` as the cause of a new one.
pub(crate) fn from_datafusion(error: DataFusionError, doing: &str) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::internal(doing).source(other),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            from_datafusion(*inner, doing)
        }
        DataFusionError::Shared(shared) => match find_ours(shared.as_ref()) {
            Some(ours) => ours.copied(),
            None if is_of_data(&shared) => Error::input(doing).source(shared),
            None => Error::internal(doing).source(DataFusionError::Shared(shared)),
        },
        DataFusionError::ResourcesExhausted(_) => Error::resources(doing)
            .source(error)
            .hint("raise --memory-limit"),
        // Shards and stores are read by this program, whose errors are its own.
        _ if is_of_disk(&error) => Error::resources(doing)
            .with(
                "writing",
                "what does not fit into memory, to temporary files",
            )
            .source(error)
            .hint("free some space there, or set TMPDIR to a directory on a larger disk"),
        // What DataFusion puts before these says only which of its stages refused.
        DataFusionError::SchemaError(inner, _) => {
            // Names are written as they are here, so that a setting about their case is no help.
            let text = inner.to_string();
            let lines = text
                .lines()
                .filter(|line| !line.starts_with("Column names are case"));
            let refused = Error::usage(doing).source(lines.collect::<Vec<_>>().join("\n"));
            match missing_score(&inner) {
                Some(score) => refused.hint(format!(
                    "clip-filter score IN --scores DIR --add {score}, then ask with --scores DIR"
                )),
                None => refused,
            }
        }
        DataFusionError::SQL(inner, _) => Error::usage(doing).source(said(inner.as_ref())),
        DataFusionError::Plan(text) => Error::usage(doing).source(text),
        DataFusionError::NotImplemented(_) => Error::usage(doing).source(error),
        DataFusionError::ArrowError(inner, _) => Error::input(doing).source(*inner),
        DataFusionError::Execution(text) => Error::input(doing).source(text),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first, doing),
            None => Error::internal(doing),
        },
        other => Error::internal(doing).source(other),
    }
}

fn is_of_data(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => true,
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            is_of_data(inner)
        }
        DataFusionError::Shared(shared) => is_of_data(shared),
        _ => false,
    }
}

fn is_of_disk(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::IoError(_) => true,
        DataFusionError::ArrowError(inner, _) => matches!(**inner, ArrowError::IoError(..)),
        _ => false,
    }
}

/// The score from embeddings that a query names and no table has: only a store that was asked for it does.
fn missing_score(error: &SchemaError) -> Option<&'static str> {
    match error {
        SchemaError::FieldNotFound { field, .. } => {
            ScoreColumn::derived_from_name(field.name()).map(ScoreColumn::name)
        }
        _ => None,
    }
}

/// What the parser says, without its own name.
fn said(error: &ParserError) -> String {
    match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn find_ours<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        next = error.source();
    }
    None
}
