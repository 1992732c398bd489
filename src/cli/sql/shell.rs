//! The interactive shell.

use std::{sync::Arc, time::Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::ValueEnum;

use super::{
    Described, Pipe, Session,
    format::Format,
    results::{Delivered, deliver},
    rows_of,
    statements::split,
    table::rows_text,
};
use crate::error::{Error, ErrorKind, Result};

/// Before the first line of a statement, and before those that continue it.
const PROMPT: &str = "clip-filter> ";
const CONTINUATION: &str = "        ...> ";

const HELP: &str = r"Statements end with a semicolon and may take several lines.
  \d             list tables
  \d NAME        describe a table
  \timing        tell how long a statement took, or stop to (\timing on, \timing off)
  \format NAME   show rows as table, csv, json or ndjson
  \?             this text
  \q, Ctrl-D     leave
  Ctrl-C         drop the line, or stop the statement that runs";

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line, or several that were pasted.
    Line(String),
    /// Ctrl-C.
    Dropped,
    /// Ctrl-D.
    End,
}

/// Who reads lines from the person.
pub(super) trait Lines {
    /// Waits for a line.
    fn read(&mut self, prompt: &str) -> Result<Typed>;
    /// Offers `entry` again later.
    fn remember(&mut self, entry: &str);
}

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    Leave,
}

/// Runs what is typed until the person leaves.
pub(super) struct Shell<'a> {
    session: &'a Session<'a>,
    stdout: Pipe,
    tell: &'a mut dyn FnMut(&str),
    format: Format,
    timing: bool,
}

impl<'a> Shell<'a> {
    /// A shell that puts rows on `stdout` and everything else through `tell`.
    pub(super) fn new(
        session: &'a Session<'a>,
        stdout: Pipe,
        format: Format,
        tell: &'a mut dyn FnMut(&str),
    ) -> Self {
        Self {
            session,
            stdout,
            tell,
            format,
            timing: false,
        }
    }

    /// Reads and runs; the error of a statement is told, and the next may be typed.
    ///
    /// # Errors
    /// When no line can be read.
    pub(super) fn run(&mut self, lines: &mut dyn Lines) -> Result<()> {
        (self.tell)(r"\? shows help, \q leaves");
        let mut typed = String::new();
        loop {
            let prompt = if typed.is_empty() {
                PROMPT
            } else {
                CONTINUATION
            };
            let line = match lines.read(prompt)? {
                Typed::End => return Ok(()),
                Typed::Dropped => {
                    typed.clear();
                    continue;
                }
                Typed::Line(line) => line,
            };
            let next = if typed.is_empty() && line.trim_start().starts_with('\\') {
                lines.remember(line.trim());
                self.obey(line.trim())
            } else {
                typed.push_str(&line);
                typed.push('\n');
                self.run_complete(&mut typed, lines)
            };
            if next == Next::Leave {
                return Ok(());
            }
        }
    }

    /// Runs the statements of `typed` that are complete and leaves the rest there.
    fn run_complete(&mut self, typed: &mut String, lines: &mut dyn Lines) -> Next {
        let found = split(typed);
        if !found.complete.is_empty() {
            lines.remember(typed[..found.rest_start].trim());
        }
        let mut rest = match found.rest {
            Some(_) => typed[found.rest_start..].to_owned(),
            None => String::new(),
        };
        let mut next = Next::Read;
        for statement in &found.complete {
            match self.run_statement(statement.sql) {
                Ok(Delivered::Closed) => next = Next::Leave,
                Ok(_) => continue,
                Err(error) => self.tell_error(&error),
            }
            // What follows may build on what failed.
            rest.clear();
            break;
        }
        *typed = rest;
        next
    }

    fn run_statement(&mut self, sql: &str) -> Result<Delivered> {
        let start = Instant::now();
        let (session, format, stdout) = (self.session, self.format, &mut self.stdout);
        let delivered = session.run(async {
            let rows = session.queries.query(sql).await?;
            if rows.schema.fields().is_empty() {
                return super::results::drain(rows)
                    .await
                    .map(|()| Delivered::Nothing);
            }
            deliver(rows, format, stdout).await
        })?;
        if self.timing {
            let seconds = start.elapsed().as_secs_f64();
            let rows = match delivered {
                Delivered::Rows(rows) => rows,
                Delivered::Nothing | Delivered::Closed => 0,
            };
            (self.tell)(&format!("({}, {seconds:.3} s)", rows_text(rows)));
        }
        Ok(delivered)
    }

    /// A line that begins with a backslash.
    fn obey(&mut self, line: &str) -> Next {
        let mut words = line.trim_end_matches(';').split_whitespace();
        let (command, argument) = (words.next().unwrap_or_default(), words.next());
        let result = match (command, argument, words.next()) {
            (r"\q", None, None) => return Next::Leave,
            (r"\?", None, None) => {
                (self.tell)(HELP);
                Ok(Delivered::Nothing)
            }
            (r"\d", None, None) => self.list(),
            (r"\d", Some(table), None) => self.describe(table),
            (r"\timing", switch, None) => self.set_timing(switch),
            (r"\format", Some(name), None) => self.set_format(name),
            _ => Err(Error::usage(format!("understand {line}")).hint(r"\? shows what there is")),
        };
        match result {
            Ok(Delivered::Closed) => return Next::Leave,
            Ok(_) => {}
            Err(error) => self.tell_error(&error),
        }
        Next::Read
    }

    fn list(&mut self) -> Result<Delivered> {
        self.show(&["table"], [self.session.queries.tables()])
    }

    fn describe(&mut self, table: &str) -> Result<Delivered> {
        let session = self.session;
        let columns = session.run(session.queries.describe(table))?;
        let text = |value: fn(&Described) -> &String| columns.iter().map(value).cloned().collect();
        let values = [
            text(|one| &one.column),
            text(|one| &one.data_type),
            text(|one| &one.origin),
        ];
        self.show(&["column", "type", "from"], values)
    }

    fn show<const N: usize>(
        &mut self,
        names: &[&str; N],
        columns: [Vec<String>; N],
    ) -> Result<Delivered> {
        let columns = columns.map(|values| Arc::new(StringArray::from(values)) as ArrayRef);
        let batch = RecordBatch::try_from_iter(names.iter().copied().zip(columns))
            .map_err(|error| Error::internal("list what there is").source(error))?;
        let stdout = &mut self.stdout;
        let shown = deliver(rows_of(batch), Format::Table, stdout);
        self.session.run(shown)
    }

    fn set_timing(&mut self, switch: Option<&str>) -> Result<Delivered> {
        self.timing = match switch {
            None => !self.timing,
            Some("on") => true,
            Some("off") => false,
            Some(_) => {
                return Err(Error::usage("set the timing").hint(r"\timing on, or \timing off"));
            }
        };
        (self.tell)(if self.timing {
            "timing is on"
        } else {
            "timing is off"
        });
        Ok(Delivered::Nothing)
    }

    fn set_format(&mut self, name: &str) -> Result<Delivered> {
        let format = Format::from_str(name, true).map_err(|_| {
            Error::usage("set the format")
                .with("format", name)
                .hint("table, csv, json or ndjson")
        })?;
        if format.is_binary() {
            return Err(Error::usage("show rows in a binary format")
                .with("format", name)
                .hint("clip-filter sql 'SELECT ...' --output FILE"));
        }
        self.format = format;
        Ok(Delivered::Nothing)
    }

    fn tell_error(&mut self, error: &Error) {
        if error.kind() == ErrorKind::Interrupted {
            (self.tell)("stopped");
        } else {
            (self.tell)(&format!("error: {}", error.report()));
        }
    }
}
