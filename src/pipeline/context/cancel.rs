//! How a run is told to stop.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// Tells a run to stop; clones are the same one, so keep one and give the run another.
#[derive(Debug, Clone)]
pub struct Cancel {
    stop: Arc<watch::Sender<bool>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self {
            stop: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Cancel {
    /// Ends the runs that have a clone of this; more than once is as good as once.
    pub fn cancel(&self) {
        self.stop.send_replace(true);
    }

    /// True once somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until somebody cancels.
    pub async fn cancelled(&self) {
        // It cannot fail: the sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// An error once somebody has cancelled.
    pub(in crate::pipeline) fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(interrupted()),
            false => Ok(()),
        }
    }
}

/// The error of a run that was told to stop.
pub(in crate::pipeline) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: it was interrupted")
        .hint("run the same command again: it goes on from the last committed scores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_is_cancelled_with_the_first() {
        let cancel = Cancel::default();
        let given = cancel.clone();
        assert!(given.check().is_ok());
        cancel.cancel();
        assert!(given.is_cancelled());
        assert_eq!(given.check().unwrap_err().kind(), ErrorKind::Interrupted);
        // What waits later does not wait for a second word.
        futures::executor::block_on(given.cancelled());
    }
}
