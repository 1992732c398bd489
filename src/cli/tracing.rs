//! `--trace FILE`: where a run's time goes, as a file for trace viewers.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf, absolute},
    sync::Arc,
};

use clap::Args as ClapArgs;

use super::say;
use crate::{
    error::{Error, Result},
    sink::{Destination, Staged},
    source::{Location, Places},
    summary::Counters,
    trace::Trace,
};

/// Bytes gathered before a write; what a killed process has not written is lost to the trace.
const BUFFER_BYTES: usize = 1 << 16;

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Output")]
pub(super) struct TraceArgs {
    /// Write what every thread did and waited for to this file, which ui.perfetto.dev and chrome://tracing show. It
    /// is written too when the run fails or is interrupted
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_TRACE")]
    pub(super) trace: Option<PathBuf>,
}

/// What a trace must not take the place of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Others<'a> {
    /// Replace a trace that exists.
    pub(super) overwrite: bool,
    /// As they were typed.
    pub(super) inputs: &'a [String],
    /// Files, or directories with all that is in them.
    pub(super) outputs: &'a [Option<&'a Path>],
}

impl TraceArgs {
    /// Starts the trace that was asked for.
    ///
    /// # Errors
    /// When the file exists, is another one of the run, or cannot be made.
    pub(super) fn start(&self, others: Others<'_>) -> Result<Option<TraceFile>> {
        let Some(path) = &self.trace else {
            return Ok(None);
        };
        check(path, others).map_err(|error| error.with("trace", path.display()))?;
        TraceFile::create(path)
            .map(Some)
            .map_err(|error| error.with("trace", path.display()))
    }
}

fn check(path: &Path, others: Others<'_>) -> Result<()> {
    // Renaming a file over a device would destroy the device.
    if path.exists() && !path.is_file() {
        return Err(
            Error::usage("write the trace: it is a directory or no regular file")
                .hint("--trace trace.json"),
        );
    }
    let place = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut outputs = others.outputs.iter().flatten();
    if outputs.any(|output| place(path).starts_with(place(output))) {
        return Err(
            Error::usage("write the trace: it is another output, or within it")
                .hint("give the trace a name of its own"),
        );
    }
    if path.exists() && !others.overwrite {
        return Err(
            Error::output("write the trace: it exists").hint("--overwrite, or another name")
        );
    }
    // What cannot be expanded is refused when the run looks for its shards.
    let inputs = Places::default().expand(others.inputs).unwrap_or_default();
    let inputs: Vec<&Path> = inputs.iter().filter_map(Location::path).collect();
    Destination::File(path.to_path_buf()).check(true, &inputs)
}

/// A trace under its temporary name, which [`TraceFile::finish`] makes the file that was named.
pub(super) struct TraceFile {
    trace: Arc<Trace>,
    file: File,
    // After `file`: removes it unless it was finished.
    staged: Staged,
}

impl TraceFile {
    fn create(path: &Path) -> Result<Self> {
        let staged = Destination::File(path.to_path_buf()).stage()?;
        let opened = File::create(staged.part(0)).and_then(|file| Ok((file.try_clone()?, file)));
        let (file, written) = opened.map_err(|error| failed(path, error))?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, written);
        Ok(Self {
            trace: Arc::new(Trace::new(Box::new(out))),
            file,
            staged,
        })
    }

    /// Draws what is counted from now on.
    pub(super) fn watch(&self, counters: &Counters) {
        counters.draw_into(Arc::clone(&self.trace));
    }

    /// Gives the file its name. That it cannot be written is told, and changes nothing for the run.
    pub(super) fn finish(self) {
        let Self {
            trace,
            file,
            staged,
        } = self;
        let path = staged.outputs().ok().and_then(|mut paths| paths.pop());
        let synced = trace.finish().and_then(|()| file.sync_all());
        let written = synced.map_err(|error| failed(&path.unwrap_or_default(), error));
        if let Err(error) = written.and_then(|()| staged.commit()) {
            say(&format!("error: {}", error.report()));
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::output("write the trace")
        .with("trace", path.display())
        .source(error)
        .hint("free space there, or write it elsewhere")
}
