//! The order of steps, and what they share.
//!
//! | entry | what it does |
//! |---|---|
//! | [`prepare`], [`run`](run()) | refuses what can be refused before a model is loaded; scores, selects, writes |
//! | [`score`](score()) | fills a score store and stops before the selection |
//! | [`online`](online()) | all of it in one pass, as a stream that whoever trains reads from |
//! | [`Scorer`] | scores rows that a host has, as they come |
//! | [`adapt`](adapt()) | fits adapters to stored pairs |
//! | [`open_sql`] | shards and their scores as tables |
//! | [`report`], [`explain`] | what a selection keeps and cuts, and why |
//!
//! A step is one file: `scoring` fills the store with what it lacks, `deriving` adds the columns from embeddings that
//! somebody named or the selection needs, `selecting` decides over the store which rows stay, `rejecting` and
//! `changes` list rows beside the output, `reporting` looks at what was decided, `emitting` reads the selected rows again and writes them. What steps share
//! is `context`; what was asked for comes from the room `options`. An entry imports steps and the context, a step the context alone, and the context neither.

mod adapt;
mod changes;
mod context;
mod deriving;
mod emitting;
mod online;
mod rejecting;
mod report;
mod reporting;
mod run;
mod score;
mod scorer;
mod scoring;
mod selecting;
mod sql;

pub use crate::options::{OnlineOptions, RunOptions, ScoreOptions, addable, addable_names};
pub use adapt::{AdaptOptions, adapt};
pub use context::{Cancel, MergedOutput, Prepared, RunContext, merge_output};
pub use online::{OnlineStream, OnlineSummary, online};
pub use report::{ExplainOptions, ReportOptions, WhichRow, explain, report};
pub use run::{prepare, run, run_reported};
pub use score::score;
pub use scorer::{Scorer, ScorerOptions};
pub use sql::{DEFAULT_TABLE, SqlOptions, open_sql};
