//! Writes rows as samples into tars of a number of samples each.

use std::{
    collections::HashSet,
    io::{self, BufWriter, Write},
};

use arrow::{array::RecordBatch, datatypes::Schema};

use super::{
    archive,
    sample::{Roles, Sample},
    shuffle::Waiting,
};
use crate::{
    error::{Error, Result},
    sink::{Part, PartPlace, Staged},
};

/// Samples of a tar if nothing else is asked for.
const SHARD_ROWS: u64 = 10_000;
/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 1 << 18;

/// How samples are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TarOptions {
    /// Samples of each tar of a directory; the last has what is left.
    pub shard_rows: u64,
    /// Samples come in an order that is drawn from this seed, instead of in row order.
    pub shuffle: Option<u64>,
}

impl Default for TarOptions {
    /// Tars of 10,000 samples, in row order.
    fn default() -> Self {
        Self {
            shard_rows: SHARD_ROWS,
            shuffle: None,
        }
    }
}

/// What becomes a sample, and how.
#[derive(Debug, Clone)]
pub struct TarPolicy {
    /// Name of the image column.
    pub image: String,
    /// Name of the caption column.
    pub text: String,
    /// Name of the key column.
    pub key: Option<String>,
    /// How samples are dealt out.
    pub options: TarOptions,
    /// Bytes of samples that may wait.
    pub waiting_bytes: u64,
}

/// A tar under way.
struct OpenPart {
    out: BufWriter<Box<dyn Part>>,
    written: u64,
    rows: u64,
    keys: HashSet<String>,
}

/// Writes batches into the tars of a [`Staged`] output.
pub struct TarWriter {
    // Before `staged`, which removes the file.
    open: Option<OpenPart>,
    staged: Staged,
    options: TarOptions,
    roles: Roles,
    parts: usize,
    rows: u64,
    waiting: Option<Waiting>,
    renamed: u64,
}

impl TarWriter {
    /// A writer for batches of `schema`.
    pub fn new(staged: Staged, policy: &TarPolicy, schema: &Schema) -> Self {
        let options = policy.options;
        let waiting = |seed| Waiting::new(seed, policy.waiting_bytes);
        Self {
            open: None,
            staged,
            options,
            roles: Roles::of(schema, policy),
            parts: 0,
            rows: 0,
            waiting: options.shuffle.map(waiting),
            renamed: 0,
        }
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the disk is full, or a picture is not in its row.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for row in 0..batch.num_rows() {
            let sample = self.roles.sample(batch, row, self.rows);
            let sample = sample.map_err(|error| {
                Error::input("make a sample of a row")
                    .with("row of the output", self.rows)
                    .source(error)
            })?;
            self.rows += 1;
            match &mut self.waiting {
                None => self.put(sample)?,
                Some(waiting) => {
                    waiting.push(sample);
                    while let Some(sample) = self.waiting.as_mut().and_then(Waiting::overflow) {
                        self.put(sample)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until all files are safe; they are not visible yet.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(&mut self) -> Result<()> {
        while let Some(sample) = self.waiting.as_mut().and_then(Waiting::draw) {
            self.put(sample)?;
        }
        // An output without rows is a tar all the same.
        if self.open.is_none() && self.parts == 0 {
            self.open = Some(self.start()?);
        }
        self.end()
    }

    /// The output whose files are safe.
    pub fn into_staged(self) -> Staged {
        self.staged
    }

    /// What is to be told of the keys, one line each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.renamed > 0 {
            notes.push(format!(
                "{} samples got a number behind their key, which another sample of the same tar has",
                self.renamed
            ));
        }
        if !self.roles.have_key() && self.rows > 0 {
            notes.push("no column has keys (uid, key, id, ...): samples are numbered".to_owned());
        }
        notes
    }

    fn put(&mut self, sample: Sample) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.start()?,
        };
        let mut key = sample.key;
        if open.keys.contains(&key) {
            self.renamed += 1;
            let mut number = open.rows;
            while open.keys.contains(&format!("{key}-{number}")) {
                number += 1;
            }
            key = format!("{key}-{number}");
        }
        for member in &sample.members {
            let name = format!("{key}.{}", member.field);
            let written = archive::append(&mut open.out, &name, &member.bytes);
            open.written += written.map_err(|error| self.failed(error))?;
        }
        open.keys.insert(key);
        open.rows += 1;
        let is_full = open.rows >= self.options.shard_rows;
        self.open = Some(open);
        match is_full && self.staged.destination().takes_parts() {
            true => self.end(),
            false => Ok(()),
        }
    }

    fn start(&mut self) -> Result<OpenPart> {
        let part = self.staged.part(PartPlace {
            ending: "tar",
            ..PartPlace::from(self.parts)
        })?;
        self.parts += 1;
        Ok(OpenPart {
            out: BufWriter::with_capacity(BUFFER_BYTES, part),
            written: 0,
            rows: 0,
            keys: HashSet::new(),
        })
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let ended = archive::end(&mut open.out, open.written).and_then(|()| open.out.flush());
        ended.map_err(|error| self.failed(error))?;
        let part = open.out.into_inner();
        let part = part.map_err(|error| self.failed(error.into_error()))?;
        self.staged.add(part.close()?);
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::output("write the output")
            .with("output", self.staged.destination())
            .source(error)
            .hint("free space there, or write elsewhere; the input is untouched")
    }
}
