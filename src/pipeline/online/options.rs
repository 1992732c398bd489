//! What is filtered in one pass.

use crate::{
    config::OnError,
    error::{Error, Result},
    pipeline::context::{RunOptions, ScoreOptions},
    schema::ScoreColumn,
    select::{Keep, SelectOptions},
};

/// What is filtered in one pass, and how. No field is read from the environment.
#[derive(Debug, Clone)]
pub struct OnlineOptions {
    /// What is scored; its store must be `None`.
    pub scoring: ScoreOptions,
    /// Which part of the candidates stays; no number of rows.
    pub keep: Keep,
    /// Candidates have at least this `clip_score`.
    pub min_score: Option<f32>,
    /// Candidates fulfil this SQL condition.
    pub condition: Option<String>,
    /// What becomes of bad rows.
    pub on_error: OnError,
    /// Columns to add beside the score.
    pub add: Vec<ScoreColumn>,
    /// Put before the name of every added column.
    pub prefix: String,
    /// The command line, for the stream's metadata.
    pub command: String,
}

impl OnlineOptions {
    /// Keeps this part of all good rows.
    pub fn new(scoring: ScoreOptions, keep: Keep) -> Self {
        Self {
            scoring,
            keep,
            min_score: None,
            condition: None,
            on_error: OnError::Drop,
            add: Vec::new(),
            prefix: String::new(),
            command: String::new(),
        }
    }

    /// Refuses what one pass cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let refused = match &self.scoring {
            scoring if scoring.scores.is_some() => "a score store",
            scoring if scoring.only_new => "scoring only what is new",
            scoring if scoring.embeddings.is_some() => "a type of stored embeddings",
            _ => return self.check_columns(),
        };
        Err(
            Error::usage(format!("use {refused}: an online run keeps no store"))
                .hint("leave it out, or score first and select from the store (without --online)"),
        )
    }

    fn check_columns(&self) -> Result<()> {
        match self.as_run().derived().first() {
            None => Ok(()),
            Some(column) => Err(Error::usage(format!(
                "compute {} in one pass: it depends on all rows",
                column.name()
            ))
            .hint("leave it out, or select in two passes (without --online)")),
        }
    }

    /// The same for what a run in two passes shares.
    pub(super) fn as_run(&self) -> RunOptions {
        RunOptions {
            scoring: self.scoring.clone(),
            output: None,
            dry_run: true,
            overwrite: false,
            select: SelectOptions {
                keep: self.keep,
                min_score: self.min_score,
                condition: self.condition.clone(),
                ..SelectOptions::default()
            },
            changes: None,
            on_error: self.on_error,
            rejects: None,
            add: self.add.clone(),
            reported: Vec::new(),
            prefix: self.prefix.clone(),
            command: self.command.clone(),
        }
    }
}
