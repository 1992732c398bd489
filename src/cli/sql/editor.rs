//! Reads lines from a terminal.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use super::shell::{Lines, Typed};
use crate::error::{Error, Result};

/// Lines of standard input.
pub(super) struct Editor;

impl Editor {
    /// An editor whose history is kept in the file `history`.
    pub(super) fn open(_history: &Path) -> Result<Self> {
        Ok(Self)
    }
}

impl Lines for Editor {
    fn read(&mut self, prompt: &str) -> Result<Typed> {
        let failed = |error| Error::input("read a line").source(error);
        let mut stderr = std::io::stderr();
        write!(stderr, "{prompt}")
            .and_then(|()| stderr.flush())
            .map_err(failed)?;
        let mut line = String::new();
        let read = match std::io::stdin().lock().read_line(&mut line) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                return Ok(Typed::Dropped);
            }
            result => result.map_err(failed)?,
        };
        Ok(if read == 0 {
            Typed::End
        } else {
            Typed::Line(line)
        })
    }

    fn remember(&mut self, _entry: &str) {}
}
