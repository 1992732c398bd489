//! What a report says, for pages, terminals and programs.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{fate::Rule, histogram::Histogram};
use crate::{
    config::Reading,
    inspect::Scores,
    preprocess::Thumbnail,
    source::Spread,
    summary::{BadRows, ModelCard, RunSummary},
};

/// What is kept and what is cut, and why. `rows_kept + rows_cut + rows_bad == rows_in`, always, and what the steps of
/// the cascade removed is `rows_cut + rows_bad`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The program and its version.
    pub made_by: String,
    /// What was looked at.
    pub subject: Subject,
    /// The command line; of an output, the one that wrote it.
    pub command: String,
    /// What selects the rows, in one line.
    pub selection: String,
    /// The model that scored.
    pub model: ModelCard,
    /// How picture files were read.
    pub reading: Reading,
    /// What scores from embeddings were made with, by name.
    pub made_with: BTreeMap<String, String>,
    /// The first shards.
    pub shards: Vec<ReportedShard>,
    /// All shards.
    pub shard_count: u64,
    /// Rows of all shards.
    pub rows_in: u64,
    /// Good rows that are selected.
    pub rows_kept: u64,
    /// Good rows that are not, and rows that a condition left out before they were scored.
    pub rows_cut: u64,
    /// Rows that could not be scored.
    pub rows_bad: u64,
    /// The bad rows by reason.
    pub bad: BadRows,
    /// The rules in the order in which they are applied, and what each removed.
    pub cascade: Vec<Step>,
    /// Good rows that the conditions leave: what the distributions are of.
    pub rows_eligible: u64,
    /// The score that rows are ordered by.
    pub order: &'static str,
    /// Every score, `clip_score` first.
    pub scores: Vec<ScoreFacts>,
    /// Alignment against diversity; `None` without diversity.
    pub density: Option<Density>,
    /// Rows that are shown below, each once.
    pub rows: Vec<Exhibit>,
    /// Which of them, in what order.
    pub galleries: Vec<Gallery>,
    /// Kept shares by class, cell or column; `None` if there are no groups.
    pub groups: Option<Groups>,
    /// Near-duplicates; `None` without embeddings.
    pub duplicates: Option<Duplicates>,
    /// Bad rows, a few of every reason.
    pub bad_rows: Vec<BadExhibit>,
    /// Counts and times of the run, if this is one.
    pub run: Option<RunSummary>,
    /// What the reader should know, one line each.
    pub notes: Vec<String>,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its path, or those of the inputs.
    pub name: String,
}

/// The kind of a [`Subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A run that has just been made.
    Run,
    /// A selection from shards with a score store, which was not written.
    Shards,
    /// The same, of a store whose shards are not where they were.
    StoreAlone,
    /// A file that an earlier run wrote: every row is kept.
    Output,
}

/// A shard.
#[derive(Debug, Serialize)]
pub struct ReportedShard {
    /// Its path.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// The hash it is known by.
    pub fingerprint: String,
}

/// A rule of the cascade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// The rule as it was asked for.
    pub what: String,
    /// Rows that it removed.
    pub removed: u64,
    /// Rows that it left.
    pub left: u64,
}

/// A score: its distribution over the rows that the conditions leave.
#[derive(Debug, Serialize)]
pub struct ScoreFacts {
    /// The name of its column.
    pub name: &'static str,
    /// The distribution, exact.
    pub scores: Scores,
    /// Rows by score.
    pub histogram: Histogram,
    /// Rows below are cut: `--min-score`, or the lowest score that the budget kept. `None` if it decides nothing.
    pub cut: Option<f32>,
}

/// Two scores against each other.
#[derive(Debug, Serialize)]
pub struct Density {
    /// Name of the score from left to right.
    pub x: &'static str,
    /// Name of the score from bottom to top.
    pub y: &'static str,
    /// Lowest and highest of `x`.
    pub x_range: [f64; 2],
    /// Lowest and highest of `y`.
    pub y_range: [f64; 2],
    /// Cells along each side.
    pub side: usize,
    /// Rows of each cell, row by row from the lowest `y`.
    pub rows: Vec<u64>,
    /// Kept rows of each cell.
    pub kept: Vec<u64>,
    /// Rows that no other beats in both scores, as steps from left to right: the most diverse of every step of alignment.
    pub frontier: Vec<[f32; 2]>,
    /// Where the budget ends, as `a x + b y = c`.
    pub cut_line: Option<[f64; 3]>,
}

/// A row that is shown.
#[derive(Debug, Serialize)]
pub struct Exhibit {
    /// Its reference, `SHARD:ROW`.
    pub reference: String,
    /// The same with the whole path.
    pub place: String,
    /// Value of the key column, if there is one.
    pub key: Option<String>,
    /// The caption, as it is: untrusted text.
    pub caption: Option<String>,
    /// Its scores by name, those that it has.
    pub scores: Vec<(&'static str, f32)>,
    /// Whether it is kept.
    pub kept: bool,
    /// The rule that removed it, if one did.
    pub removed_by: Option<Rule>,
    /// A small picture, encoded anew.
    #[serde(skip)]
    pub thumbnail: Option<Arc<Thumbnail>>,
    /// Why there is no picture.
    pub no_image: Option<String>,
}

/// Rows of one kind.
#[derive(Debug, Serialize)]
pub struct Gallery {
    /// A name for links.
    pub id: &'static str,
    /// What they are.
    pub title: &'static str,
    /// What they are, in a sentence.
    pub note: String,
    /// Positions in [`Report::rows`].
    pub rows: Vec<usize>,
}

/// Good rows by class, cell or column.
#[derive(Debug, Serialize)]
pub struct Groups {
    /// What they are groups of.
    pub column: String,
    /// Groups that have a row.
    pub count: u64,
    /// Rows of a group.
    pub rows: Spread,
    /// Lowest, middle and highest kept share.
    pub kept_share: [f64; 3],
    /// Kept rows over rows, of all groups together.
    pub kept_share_overall: f64,
    /// Good rows without a group.
    pub rows_without: u64,
    /// The groups, lowest kept share first; of many, those at both ends.
    pub list: Vec<Group>,
    /// Groups that are not in the list.
    pub left_out: u64,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its good rows.
    pub rows: u64,
    /// Those that are kept.
    pub kept: u64,
}

/// Images that are nearly the same.
#[derive(Debug, Serialize)]
pub struct Duplicates {
    /// Rows whose near-duplicates were sought.
    pub rows_sought: u64,
    /// How these were chosen.
    pub chosen: String,
    /// Rows among which they were sought.
    pub rows_compared: u64,
    /// Least cosine of a near-duplicate.
    pub least_cosine: f32,
    /// Rows sought that have one.
    pub rows_with: u64,
    /// The groups, largest first; not all, if there are many.
    pub groups: Vec<DuplicateGroup>,
    /// Groups that were found.
    pub groups_found: u64,
}

/// Rows that resemble each other.
#[derive(Debug, Serialize)]
pub struct DuplicateGroup {
    /// The largest cosine within it.
    pub cosine: f32,
    /// Its rows.
    pub size: u64,
    /// Positions of some of them in [`Report::rows`].
    pub rows: Vec<usize>,
}

/// A bad row.
#[derive(Debug, Serialize)]
pub struct BadExhibit {
    /// Its reference, `SHARD:ROW`.
    pub reference: String,
    /// The same with the whole path.
    pub place: String,
    /// Value of the key column, if there is one.
    pub key: Option<String>,
    /// The caption, as it is: untrusted text.
    pub caption: Option<String>,
    /// Its status.
    pub status: String,
    /// Why, for a person.
    pub reason: String,
}
