//! What decides the outputs of a run, under stable names: by its hash a killed run is known again.
//!
//! Everything that decides what is written, or where, is in it; what decides only how fast, how loudly or with how
//! much memory is not. A new option has to be sorted here before the program compiles.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{RunOptions, ScoreOptions};
use crate::{
    adapt::Method,
    config::{OnError, Reading},
    digest::hex,
    error::{Error, Result},
    score::{Adaptation, MethodOptions},
    select::{Keep, Order, SelectOptions, Solver},
    sink::{OutputFormat, OutputPath, PartitionColumns, TarOptions},
    source::{BoundShards, ColumnChoice, Folders, LabelChoice},
    store::EmbeddingType,
};

/// Changes with the meaning of a field.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize)]
struct RunIdentity<'a> {
    format: u32,
    /// What another version makes may differ.
    program: &'static str,
    shards: Vec<ShardFacts<'a>>,
    scoring: ScoringFacts<'a>,
    selection: SelectionFacts<'a>,
    output: OutputFacts<'a>,
}

/// The path is told in the lists of rows, as it was found.
#[derive(Debug, Serialize)]
struct ShardFacts<'a> {
    path: String,
    fingerprint: &'a str,
    /// Rows that its table has given up.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left_out: &'a [std::ops::Range<u64>],
}

#[derive(Debug, Serialize)]
struct ScoringFacts<'a> {
    image_column: Option<&'a str>,
    text_column: Option<&'a str>,
    label_column: Option<&'a str>,
    class_names: Option<&'a [String]>,
    prompts: &'a [String],
    /// The store whose scores are taken, and whose last selection is replaced.
    store: Option<String>,
    stored_embeddings: Option<EmbeddingType>,
    max_pixels: u64,
    #[serde(skip_serializing_if = "Reading::is_default")]
    reading: Reading,
    external_paths: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    uids: Option<&'a str>,
    /// Names of folders are no columns.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_hive: bool,
    method: MethodFacts,
    /// Columns that are computed and take part in nothing.
    more_columns: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct MethodFacts {
    adapters: Adapters,
    cells: Option<u32>,
    neighbours: Option<u32>,
    diversity_weight: f32,
    target_set: Option<String>,
    seed: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Adapters {
    None,
    Closed,
    Fitted,
    File(String),
}

#[derive(Debug, Serialize)]
struct SelectionFacts<'a> {
    condition: Option<&'a str>,
    min_score: Option<f32>,
    keep: Keep,
    order: &'static str,
    solver: &'static str,
    balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<String>,
    dedup: Option<f32>,
    bad_rows: &'static str,
}

#[derive(Debug, Serialize)]
struct OutputFacts<'a> {
    place: Option<String>,
    rejects: Option<String>,
    changes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uids: Option<String>,
    added: Vec<&'static str>,
    prefix: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    partition_by: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partition_in_files: bool,
    /// How the rows of a table are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tars: Option<TarFacts>,
}

#[derive(Debug, Serialize)]
struct TarFacts {
    shard_rows: u64,
    shuffle: Option<u64>,
}

impl TarFacts {
    fn of(format: OutputFormat) -> Option<Self> {
        match format {
            OutputFormat::Parquet => None,
            OutputFormat::Webdataset(TarOptions {
                shard_rows,
                shuffle,
            }) => Some(Self {
                shard_rows,
                shuffle,
            }),
        }
    }
}

/// Hash of what decides the outputs, hex.
///
/// # Errors
/// Never for options that a caller can make.
pub(crate) fn identity(options: &RunOptions, shards: &BoundShards) -> Result<String> {
    let json = serde_json::to_vec(&RunIdentity::new(options, shards))
        .map_err(|error| Error::internal("name what decides a run").source(error))?;
    Ok(hex(&Sha256::digest(json)))
}

impl<'a> RunIdentity<'a> {
    fn new(options: &'a RunOptions, shards: &'a BoundShards) -> Self {
        let RunOptions {
            scoring,
            output,
            places: _,
            work: _,
            dry_run: _,
            overwrite: _,
            // All shares are of one run.
            share: _,
            partition_by,
            partition_columns,
            #[cfg(feature = "delta")]
            delta,
            format,
            select,
            changes,
            uids_out,
            on_error,
            rejects,
            add,
            reported: _,
            prefix,
            command: _,
            // The shards tell.
            shards: _,
        } = options;
        let text = |path: &OutputPath| path.to_string();
        let facts = shards.set.shards.iter().map(|shard| ShardFacts {
            path: shard.location.to_string(),
            fingerprint: &shard.fingerprint,
            left_out: shard.left_out.runs(),
        });
        let added = add.iter().map(|added| added.name());
        #[cfg(feature = "delta")]
        let table = delta.map(|nanoseconds| format!("delta, nanoseconds {nanoseconds:?}"));
        #[cfg(not(feature = "delta"))]
        let table = None;
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION"),
            shards: facts.collect(),
            scoring: ScoringFacts::new(scoring),
            selection: SelectionFacts::new(select, *on_error),
            output: OutputFacts {
                place: output.as_ref().map(text),
                rejects: rejects.as_ref().map(text),
                changes: changes.as_ref().map(text),
                uids: uids_out.as_ref().map(text),
                added: sorted(added.collect()),
                prefix,
                partition_by,
                partition_in_files: *partition_columns == PartitionColumns::InFiles,
                table,
                tars: TarFacts::of(*format),
            },
        }
    }
}

impl<'a> SelectionFacts<'a> {
    fn new(options: &'a SelectOptions, on_error: OnError) -> Self {
        let SelectOptions {
            condition,
            min_score,
            dedup,
            keep,
            order,
            solver,
            balance,
            weights,
        } = options;
        Self {
            condition: condition.as_deref(),
            min_score: *min_score,
            keep: *keep,
            order: order_name(*order),
            solver: solver_name(*solver),
            balance: balance.as_ref().map(ToString::to_string),
            weights: weights.map(|weights| weights.to_string()),
            dedup: *dedup,
            bad_rows: on_error_name(on_error),
        }
    }
}

impl<'a> ScoringFacts<'a> {
    fn new(options: &'a ScoreOptions) -> Self {
        let ScoreOptions {
            // Their content counts, which the shards tell.
            inputs: _,
            places,
            columns:
                ColumnChoice {
                    image,
                    text,
                    labels,
                },
            scores,
            // No run selects over one.
            share: _,
            only_new: _,
            embeddings,
            model_batch_rows: _,
            threads: _,
            memory_limit: _,
            max_pixels,
            reading,
            uids,
            allow_external_paths,
            // The shards that are left count.
            on_bad_shard: _,
            method,
            derived,
        } = options;
        let LabelChoice {
            column,
            class_names,
            prompts,
        } = labels;
        Self {
            image_column: image.as_deref(),
            text_column: text.as_deref(),
            label_column: column.as_deref(),
            class_names: class_names.as_deref(),
            prompts,
            store: scores.as_ref().map(ToString::to_string),
            stored_embeddings: *embeddings,
            max_pixels: *max_pixels,
            reading: *reading,
            external_paths: *allow_external_paths,
            uids: uids.as_ref().map(|uids| uids.identity()),
            no_hive: places.folders() == Folders::Names,
            method: MethodFacts::new(method),
            more_columns: sorted(derived.iter().map(|column| column.name()).collect()),
        }
    }
}

impl MethodFacts {
    fn new(options: &MethodOptions) -> Self {
        let MethodOptions {
            adaptation,
            cells,
            neighbours,
            diversity_weight,
            target,
            seed,
        } = options;
        Self {
            adapters: match adaptation {
                Adaptation::None => Adapters::None,
                Adaptation::Fit(Method::Closed) => Adapters::Closed,
                Adaptation::Fit(Method::Infonce) => Adapters::Fitted,
                Adaptation::Given(file) => Adapters::File(text_of(file)),
            },
            cells: *cells,
            neighbours: *neighbours,
            diversity_weight: *diversity_weight,
            target_set: target.as_deref().map(text_of),
            seed: *seed,
        }
    }
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

fn sorted(mut names: Vec<&'static str>) -> Vec<&'static str> {
    names.sort_unstable();
    names.dedup();
    names
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::Default => "default",
        Order::ClipScore => "clip_score",
        Order::Cliploss => "s_cliploss",
        Order::AlignDiverse => "align_diverse",
    }
}

fn solver_name(solver: Solver) -> &'static str {
    match solver {
        Solver::Exact => "exact",
        Solver::Paper => "paper",
        Solver::Cover => "cover",
    }
}

fn on_error_name(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Keep => "keep",
        OnError::Drop => "drop",
        OnError::Fail => "fail",
    }
}

#[cfg(test)]
mod tests;
