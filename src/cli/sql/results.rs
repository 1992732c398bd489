//! Where rows go: a pipe or terminal, or an output that appears when it is complete.

use std::{io::Write, path::Path};

use futures::StreamExt;

use super::{
    QueryRows,
    args::ResultArgs,
    format::{Format, RowWriter, failed},
};
use crate::{
    cli::{pipe::Pipe, stores},
    error::{Error, Result},
    sink::{
        DatasetWriter, Destination, Existing, OutputPath, OutputPlaces, Owner, ParquetResult,
        Placement, StagedFile, WriterPolicy, as_parquet_result,
    },
};

/// An output that was found to be free.
#[derive(Debug)]
pub(super) struct Output {
    destination: Destination,
    existing: Existing,
    places: OutputPlaces,
}

impl Output {
    /// Checks, before any work is done, that `format` may be written to `path`.
    ///
    /// # Errors
    /// As [`OutputPlaces::check`], and when something other than a file is there.
    pub(super) fn check(
        path: &Path,
        format: Format,
        existing: Existing,
        inputs: &[OutputPath],
    ) -> Result<Self> {
        let refused = |what: &str, hint: &str| {
            Err(Error::usage(format!("write the output: {what}"))
                .with("output", path.display())
                .hint(hint))
        };
        if format != Format::Parquet && path.is_dir() {
            return refused("it is a directory", "name a file, or use --format parquet");
        }
        // Renaming a file over a device would destroy the device.
        if path.exists() && !path.is_dir() && !path.is_file() {
            return refused(
                "it is no regular file",
                "leave --output out and send standard output there",
            );
        }
        let output = Self {
            destination: match format {
                Format::Parquet => Destination::of(path.into()),
                _ => Destination::file(path),
            },
            existing,
            places: stores::output_places(),
        };
        output.places.check(&output.placement(), inputs)?;
        Ok(output)
    }

    fn placement(&self) -> Placement<'_> {
        Placement {
            destination: &self.destination,
            existing: self.existing,
            owner: Owner::Process,
        }
    }

    async fn save(&self, rows: QueryRows, format: Format) -> Result<u64> {
        if format == Format::Parquet {
            let staged = self.places.stage(&self.placement())?;
            let policy = WriterPolicy::of_result(&rows.schema, &rows.stored);
            let policy = policy.within(rows.row_group_bytes);
            let schema = std::sync::Arc::clone(&rows.schema);
            let mut writer = DatasetWriter::create(staged, policy, schema)?;
            let count = pump(rows, &mut writer).await?;
            writer.close()?.finish()?;
            return Ok(count);
        }
        let mut file = StagedFile::create(&self.places, &self.placement())?;
        let mut writer = format.writer(&mut file, &rows)?;
        let count = pump(rows, writer.as_mut()).await?;
        drop(writer);
        file.finish()?;
        Ok(count)
    }
}

/// Where the results of a call go, and how.
pub(super) struct Results {
    place: Place,
    format: Format,
    /// Whether a result with columns has been written.
    delivered: bool,
}

enum Place {
    Pipe(Pipe),
    Output(Output),
}

/// What became of the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// So many were written.
    Rows(u64),
    /// The statement has no columns, as one that makes a view.
    Nothing,
    /// Nobody reads any longer.
    Closed,
}

impl Results {
    /// Results as the options ask for.
    ///
    /// # Errors
    /// When the output is not free, or bytes would go to a terminal.
    pub(super) fn try_new(
        args: &ResultArgs,
        stdout: Pipe,
        is_terminal: bool,
        inputs: &[OutputPath],
    ) -> Result<Self> {
        let format = args.format();
        let existing = Existing::when(args.overwrite);
        let place = match &args.output {
            Some(path) => Place::Output(Output::check(path, format, existing, inputs)?),
            None if format.is_binary() && is_terminal => {
                return Err(Error::usage("write binary data to a terminal")
                    .hint("--output FILE, or send standard output to a file or a program"));
            }
            None => Place::Pipe(stdout),
        };
        Ok(Self {
            place,
            format,
            delivered: false,
        })
    }

    /// Writes the rows of one statement.
    ///
    /// # Errors
    /// When they cannot be computed or written, or an output has taken a result already.
    pub(super) async fn take(&mut self, rows: QueryRows) -> Result<Delivered> {
        let rows = match self.format {
            Format::Parquet => held_by_parquet(rows)?,
            _ => rows,
        };
        if rows.schema.fields().is_empty() {
            drain(rows).await?;
            return Ok(Delivered::Nothing);
        }
        let holds_one = matches!(self.place, Place::Output(_)) || self.format.is_binary();
        if holds_one && self.delivered {
            return Err(Error::usage("write a second result to one output")
                .hint("leave one SELECT, or run them one by one"));
        }
        self.delivered = true;
        match &mut self.place {
            Place::Pipe(pipe) => deliver(rows, self.format, pipe).await,
            Place::Output(output) => output.save(rows, self.format).await.map(Delivered::Rows),
        }
    }

    /// The output, if there is one and nothing was written to it.
    pub(super) fn missing_output(&self) -> Option<&OutputPath> {
        match &self.place {
            Place::Output(output) if !self.delivered => Some(output.destination.path()),
            _ => None,
        }
    }
}

/// Writes rows to `pipe`; a pipe that is closed is no error.
pub(super) async fn deliver(rows: QueryRows, format: Format, pipe: &mut Pipe) -> Result<Delivered> {
    match write_all(rows, format, pipe).await {
        Err(_) if pipe.is_closed() => Ok(Delivered::Closed),
        result => result.map(Delivered::Rows),
    }
}

async fn write_all(rows: QueryRows, format: Format, pipe: &mut Pipe) -> Result<u64> {
    let mut writer = format.writer(&mut *pipe, &rows)?;
    let count = pump(rows, writer.as_mut()).await?;
    drop(writer);
    pipe.flush().map_err(failed)?;
    Ok(count)
}

/// The rows with types that Parquet has.
fn held_by_parquet(rows: QueryRows) -> Result<QueryRows> {
    let ParquetResult { schema, stored } = ParquetResult::of(&rows.schema, &rows.stored)?;
    let held = std::sync::Arc::clone(&schema);
    let batches = rows
        .batches
        .map(move |batch| as_parquet_result(&batch?, &held));
    Ok(QueryRows {
        schema,
        stored,
        row_group_bytes: rows.row_group_bytes,
        batches: batches.boxed(),
    })
}

/// Writes one batch after the other; no more than one is held.
async fn pump(mut rows: QueryRows, writer: &mut dyn RowWriter) -> Result<u64> {
    let mut count = 0;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(count)
}

pub(super) async fn drain(mut rows: QueryRows) -> Result<()> {
    while let Some(batch) = rows.batches.next().await {
        batch?;
    }
    Ok(())
}

impl RowWriter for DatasetWriter {
    fn write(&mut self, batch: &arrow::array::RecordBatch) -> Result<()> {
        DatasetWriter::write(self, batch)
    }

    fn finish(&mut self) -> Result<()> {
        // Closing it does.
        Ok(())
    }
}
