//! `--trace FILE`: where a run's time goes, as a file for trace viewers.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf, absolute},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::Args as ClapArgs;

use super::{say, stores};
use crate::{
    error::{Error, Result},
    sink::{Destination, Existing, OutputPath, Owner, Part, Placement, Staged},
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
    let inputs = stores::places()
        .with_loose_tables()
        .expand(others.inputs)
        .unwrap_or_default();
    let inputs: Vec<OutputPath> = inputs.iter().map(OutputPath::from).collect();
    stores::output_places().check(&placement(&Destination::file(path)), &inputs)
}

/// A trace that was found to have a place.
fn placement(destination: &Destination) -> Placement<'_> {
    Placement {
        destination,
        existing: Existing::Replaced,
        owner: Owner::Process,
    }
}

/// A trace that is not visible, which [`TraceFile::finish`] makes the file that was named.
pub(super) struct TraceFile {
    trace: Arc<Trace>,
    file: SharedPart,
    // After `file`: removes it unless it was finished.
    staged: Staged,
}

impl TraceFile {
    fn create(path: &Path) -> Result<Self> {
        let staged = stores::output_places().stage(&placement(&Destination::file(path)))?;
        let file = SharedPart(Arc::new(Mutex::new(Some(staged.part(0)?))));
        let out = BufWriter::with_capacity(BUFFER_BYTES, file.clone());
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
            mut staged,
        } = self;
        let ended = trace
            .finish()
            .map_err(|error| failed(staged.destination(), error));
        let closed = ended.and_then(|()| match file.open().take() {
            Some(part) => part.close(),
            None => Err(Error::internal("close the trace twice")),
        });
        let finished = closed.and_then(|part| {
            staged.add(part);
            staged.finish()
        });
        if let Err(error) = finished {
            say(&format!("error: {}", error.report()));
        }
    }
}

/// What the trace writes to; [`TraceFile`] closes it.
#[derive(Clone)]
struct SharedPart(Arc<Mutex<Option<Box<dyn Part>>>>);

impl SharedPart {
    fn open(&self) -> MutexGuard<'_, Option<Box<dyn Part>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for SharedPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.open().as_mut() {
            Some(part) => part.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open().as_mut().map_or(Ok(()), |part| part.flush())
    }
}

fn failed(destination: &Destination, error: io::Error) -> Error {
    Error::output("write the trace")
        .with("trace", destination)
        .source(error)
        .hint("free space there, or write it elsewhere")
}
