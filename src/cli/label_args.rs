//! Options for labelled pairs: their column, the names of classes, what is said of a class.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::{
    error::{Error, Result},
    source::LabelChoice,
};

/// Class labels in place of, or beside, captions.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Class labels")]
pub(super) struct LabelArgs {
    /// The pairs are labelled: this column holds their class, a name or a number. Without a caption column the
    /// prompt of the class is the caption
    #[arg(long, value_name = "NAME", env = "CLIP_FILTER_LABEL_COLUMN")]
    pub(super) label_column: Option<String>,
    /// Names of the classes, one per line, that of label 0 first; else those of Hugging Face metadata
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_CLASS_NAMES")]
    pub(super) class_names: Option<PathBuf>,
    /// What is said of a class, {} stands for its name; given several times, their embeddings are averaged. 'a photo of
    /// a {}' if not given
    #[arg(long, value_name = "TEXT", env = "CLIP_FILTER_PROMPT")]
    pub(super) prompt: Vec<String>,
}

impl LabelArgs {
    pub(super) fn choice(&self) -> Result<LabelChoice> {
        let class_names = match &self.class_names {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::input("read the class names")
                        .with("file", path.display())
                        .source(error)
                })?;
                Some(text.lines().map(|line| line.trim().to_owned()).collect())
            }
        };
        Ok(LabelChoice {
            column: self.label_column.clone(),
            class_names,
            prompts: self.prompt.clone(),
        })
    }
}
