//! What is filtered in one pass.

use super::{RunOptions, ScoreOptions};
use crate::{
    config::OnError,
    error::{Error, Result},
    schema::ScoreColumn,
    select::{Keep, Order, SelectOptions},
};

/// What is filtered in one pass, and how. No field is read from the environment.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

    /// Takes rows of at least this `clip_score` for candidates.
    #[must_use]
    pub fn with_min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// Takes rows that fulfil this SQL condition for candidates.
    #[must_use]
    pub fn with_condition(mut self, condition: impl Into<String>) -> Self {
        self.condition = Some(condition.into());
        self
    }

    /// Treats bad rows this way.
    #[must_use]
    pub fn with_on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Adds these columns beside the score.
    #[must_use]
    pub fn with_added(mut self, columns: impl IntoIterator<Item = ScoreColumn>) -> Self {
        self.add = columns.into_iter().collect();
        self
    }

    /// Puts this before the name of every added column.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Writes into the stream's metadata that this command made it.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// Refuses what one pass cannot do.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = match &self.scoring {
            scoring if scoring.scores.is_some() => "a score store",
            scoring if scoring.only_new => "scoring only what is new",
            scoring if scoring.embeddings.is_some() => "a type of stored embeddings",
            _ => return Ok(()),
        };
        Err(
            Error::usage(format!("use {refused}: an online run keeps no store"))
                .hint("leave it out, or score first and select from the store (without --online)"),
        )
    }

    /// The same for what a run in two passes shares.
    pub(crate) fn as_run(&self) -> RunOptions {
        RunOptions {
            select: SelectOptions {
                keep: self.keep,
                min_score: self.min_score,
                condition: self.condition.clone(),
                // A pair is judged on its own.
                order: Order::ClipScore,
                ..SelectOptions::default()
            },
            on_error: self.on_error,
            add: self.add.clone(),
            prefix: self.prefix.clone(),
            command: self.command.clone(),
            ..RunOptions::deciding(self.scoring.clone())
        }
    }
}
