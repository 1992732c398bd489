//! What a selection keeps and cuts, looked at: from paths to the case that the room `report` tells of.
//!
//! `open` finds shards, scores and a selection by what the paths name; `output_store` makes a store of the score
//! columns of an output. Nothing is written but scores that a store lacks.

mod open;
mod output_store;

use super::context::RunContext;
use crate::{
    error::Result,
    report::{self, Explanation, Report, ShardNames, only_row},
    summary::told_of_nan,
};
pub use open::ReportOptions;

/// Which row is explained, of which selection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// What is read, and the selection.
    pub report: ReportOptions,
    /// The row.
    pub row: WhichRow,
}

impl ExplainOptions {
    /// Explains one row of what `report` names.
    pub fn new(report: ReportOptions, row: WhichRow) -> Self {
        Self { report, row }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichRow {
    /// By its reference, `SHARD:ROW`.
    Reference(String),
    /// The only one that fulfils this SQL condition.
    Where(String),
}

/// Looks at shards, a score store or an output, and at what a selection makes of them. Nothing is written but scores
/// that the store lacks.
///
/// # Errors
/// When an input or the store cannot be read, or the selection cannot be made.
pub async fn report(options: &ReportOptions, context: RunContext) -> Result<Report> {
    let opened = open::open(options, &context).await?;
    let cancelled = context.stopping();
    let mut report = report::of_case(&opened.case(&context, &cancelled))?;
    if opened.shards_gone.is_none() {
        let rows_nan = opened.narrow(&context).rows_of_nan().await?;
        report.notes.extend(told_of_nan(rows_nan));
    }
    if let Some(provenance) = opened.provenance {
        report.command = provenance.command;
        report.selection = provenance.selection;
    }
    report.notes.splice(0..0, opened.notes);
    Ok(report)
}

/// Tells what decided about one row. Nothing is written but scores that the store lacks.
///
/// # Errors
/// When an input or the store cannot be read, or no row or several are meant.
pub async fn explain(options: &ExplainOptions, context: RunContext) -> Result<Explanation> {
    let opened = open::open(&options.report, &context).await?;
    let shards = &opened.prepared.shards.set.shards;
    let row = match &options.row {
        WhichRow::Reference(reference) => ShardNames::of(shards).find(reference, shards)?,
        WhichRow::Where(condition) => {
            let found = opened.narrow(&context).rows_where(condition).await?;
            only_row(&found, condition, shards)?
        }
    };
    let cancelled = context.stopping();
    report::explanation(&opened.case(&context, &cancelled), row)
}
