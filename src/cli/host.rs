//! Who a command works for: a person at a terminal, or a program that calls it.

use std::sync::Arc;

use super::{progress::Progress, say, tell_args::VerbosityArgs};
use crate::{config::Tell, pipeline::Cancel, summary::Counters};

/// What a program that calls a command hears of it, and how it stops it. Nothing of the process is touched: no signal, no
/// standard stream.
#[derive(Clone)]
#[non_exhaustive]
pub struct Caller {
    /// How far the command is, for whoever looks at it meanwhile.
    pub counters: Arc<Counters>,
    /// Ends the command, which then fails with [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted).
    pub cancel: Cancel,
    /// Gets what a person should know at once, line by line, from any thread.
    pub say: Tell,
}

impl Default for Caller {
    /// Hears nothing.
    fn default() -> Self {
        Self {
            counters: Arc::default(),
            cancel: Cancel::default(),
            say: Arc::new(|_| {}),
        }
    }
}

impl Caller {
    /// Hears what a person should know at once.
    #[must_use]
    pub fn with_say(mut self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.say = Arc::new(say);
        self
    }
}

/// Who a command works for.
#[derive(Clone)]
pub(super) enum Host {
    /// A person: progress and lines go to standard error, Ctrl-C interrupts.
    Terminal,
    Program(Caller),
}

impl Host {
    /// Whoever gets lines, unless they were not wanted.
    pub(super) fn tell(&self, verbosity: &VerbosityArgs) -> Option<Tell> {
        match self {
            _ if verbosity.quiet => None,
            Host::Terminal => Some(Arc::new(say)),
            Host::Program(caller) => Some(Arc::clone(&caller.say)),
        }
    }

    /// A line, unless it was not wanted.
    pub(super) fn say(&self, verbosity: &VerbosityArgs, line: &str) {
        if let Some(tell) = self.tell(verbosity) {
            tell(line);
        }
    }

    /// What the command counts in.
    pub(super) fn counters(&self) -> Arc<Counters> {
        match self {
            Host::Terminal => Arc::default(),
            Host::Program(caller) => Arc::clone(&caller.counters),
        }
    }

    /// Shows how far the command is, where somebody looks.
    pub(super) fn progress(&self, counters: &Arc<Counters>, verbosity: &VerbosityArgs) -> Progress {
        let silent = verbosity.quiet || matches!(self, Host::Program(_));
        Progress::start(counters, silent)
    }

    /// What stops the command.
    pub(super) fn cancel(&self) -> Cancel {
        match self {
            Host::Terminal => Cancel::default(),
            Host::Program(caller) => caller.cancel.clone(),
        }
    }

    /// Waits until the command is to stop: for Ctrl-C, or for the program that called.
    pub(super) async fn stopped(&self) {
        match self {
            Host::Terminal => {
                if tokio::signal::ctrl_c().await.is_err() {
                    // Where there is no such signal, none will come.
                    std::future::pending::<()>().await;
                }
            }
            Host::Program(caller) => caller.cancel.cancelled().await,
        }
    }
}
