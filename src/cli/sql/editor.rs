//! Reads lines from a terminal.

use std::path::{Path, PathBuf};

use rustyline::{Behavior, Config, DefaultEditor, error::ReadlineError};

use super::shell::{Lines, Typed};
use crate::error::{Error, Result};

/// Entries that the history keeps.
const HISTORY: usize = 1_000;

/// A line editor whose history outlives it.
pub(super) struct Editor {
    editor: DefaultEditor,
    history: PathBuf,
}

impl Editor {
    /// An editor whose history is kept in the file `history`; one that cannot be read is begun anew.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub(super) fn open(history: &Path) -> Result<Self> {
        let config = Config::builder()
            // The prompt must not get among rows that are sent to a file.
            .behavior(Behavior::PreferTerm)
            .max_history_size(HISTORY)
            .map(|builder| builder.auto_add_history(false).build())
            .map_err(failed)?;
        let mut editor = DefaultEditor::with_config(config).map_err(failed)?;
        if let Some(directory) = history.parent() {
            // Without it there is no history, which is no reason to fail.
            let _ = std::fs::create_dir_all(directory);
        }
        let _ = editor.load_history(history);
        Ok(Self {
            editor,
            history: history.to_path_buf(),
        })
    }
}

impl Lines for Editor {
    fn read(&mut self, prompt: &str) -> Result<Typed> {
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Typed::Line(line)),
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(failed(error)),
        }
    }

    fn remember(&mut self, entry: &str) {
        // A history that cannot be written lasts as long as the shell.
        if self
            .editor
            .add_history_entry(entry)
            .is_ok_and(|added| added)
        {
            let _ = self.editor.append_history(&self.history);
        }
    }
}

fn failed(error: ReadlineError) -> Error {
    Error::input("read from the terminal").source(error)
}
