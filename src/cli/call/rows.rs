//! Rows that a command gives while a program reads them.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{Caller, json};
use crate::{
    cli::{
        args::{Args, Command},
        host::Host,
        online, sql,
    },
    error::{Error, Result},
    pipeline::Cancel,
};

/// Rows of a command that works on a thread of its own, a batch ahead of whoever reads.
///
/// That it has ended is said by its last item; a thread that is gone without that is an error, never an end. Dropping
/// it stops the command and waits for that.
pub struct RowStream {
    portions: Option<Receiver<Portion>>,
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
    /// An error or the end was given.
    has_ended: bool,
}

/// What comes next of a [`RowStream`].
#[derive(Debug)]
pub enum Next {
    /// Which columns there are, before any rows.
    Schema(SchemaRef),
    /// Rows.
    Rows(RecordBatch),
    /// All were given: the facts of the command as JSON, `null` where it has none.
    End(String),
    /// Nothing yet.
    Waiting,
}

enum Portion {
    Schema(SchemaRef),
    Rows(RecordBatch),
    Ended(Result<String>),
}

/// Where a command puts its rows.
pub(in crate::cli) struct RowSender(SyncSender<Portion>);

impl RowSender {
    /// Says which columns there are; false if nobody reads any more.
    pub(in crate::cli) fn begin(&self, schema: SchemaRef) -> bool {
        self.0.send(Portion::Schema(schema)).is_ok()
    }

    /// Gives rows, once the ones before are read; false if nobody reads any more.
    pub(in crate::cli) fn give(&self, batch: RecordBatch) -> bool {
        self.0.send(Portion::Rows(batch)).is_ok()
    }
}

impl RowStream {
    pub(super) fn start(args: Args, caller: Caller) -> Result<Self> {
        let cancel = caller.cancel.clone();
        // One batch waits while another is made.
        let (sender, portions) = sync_channel(1);
        let work = move || {
            let rows = RowSender(sender);
            let ended = give_all(&args, &Host::Program(caller), &rows);
            // Nobody wants to know once the stream is dropped.
            let _ = rows.0.send(Portion::Ended(ended));
        };
        let thread = thread::Builder::new().name("rows".to_owned()).spawn(work);
        let thread = thread
            .map_err(|error| Error::resources("start the thread that gives rows").source(error))?;
        Ok(Self {
            portions: Some(portions),
            cancel,
            thread: Some(thread),
            has_ended: false,
        })
    }

    /// What comes next, or [`Next::Waiting`] if that takes longer than `patience`. After the end and after an error there
    /// is nothing but the end.
    ///
    /// # Errors
    /// What the command failed with, once.
    pub fn next(&mut self, patience: Duration) -> Result<Next> {
        let Some(portions) = self.portions.as_ref().filter(|_| !self.has_ended) else {
            return Ok(Next::End("null".to_owned()));
        };
        let next = match portions.recv_timeout(patience) {
            Ok(Portion::Schema(schema)) => return Ok(Next::Schema(schema)),
            Ok(Portion::Rows(batch)) => return Ok(Next::Rows(batch)),
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Waiting),
            Ok(Portion::Ended(ended)) => ended.map(Next::End),
            // Only a panic leaves without a word.
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal(
                "read the next rows: the thread that gives them has stopped",
            )),
        };
        self.has_ended = true;
        next
    }

    /// Stops the command, and waits until it has.
    pub fn close(&mut self) {
        self.cancel.cancel();
        drop(self.portions.take());
        if let Some(thread) = self.thread.take() {
            // That it panicked was told by `next`, if anybody asked.
            let _ = thread.join();
        }
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        self.close();
    }
}

fn give_all(args: &Args, host: &Host, rows: &RowSender) -> Result<String> {
    match &args.command {
        Some(Command::Sql(args)) => {
            sql::given(args, host, rows)?;
            Ok("null".to_owned())
        }
        _ => json(&online::given(&args.filter, host, rows)?),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};

    use super::*;

    fn stream(work: impl FnOnce(RowSender) + Send + 'static) -> RowStream {
        let (sender, portions) = sync_channel(1);
        RowStream {
            portions: Some(portions),
            cancel: Cancel::default(),
            thread: Some(thread::spawn(move || work(RowSender(sender)))),
            has_ended: false,
        }
    }

    fn one_row() -> RecordBatch {
        let column = Arc::new(Int32Array::from(vec![1])) as ArrayRef;
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn next(stream: &mut RowStream) -> Result<Next> {
        stream.next(Duration::from_secs(60))
    }

    #[test]
    fn a_thread_that_is_gone_is_no_end() {
        let mut stream = stream(|rows| {
            rows.give(one_row());
            panic!("of a test");
        });
        assert!(matches!(next(&mut stream), Ok(Next::Rows(_))));
        assert!(next(&mut stream).is_err());
        assert!(matches!(next(&mut stream), Ok(Next::End(_))));
    }

    #[test]
    fn who_does_not_read_on_stops_the_command() {
        let mut stream = stream(|rows| while rows.give(one_row()) {});
        assert!(matches!(next(&mut stream), Ok(Next::Rows(_))));
        // It returns: the thread was told.
        stream.close();
        assert!(stream.thread.is_none());
    }
}
