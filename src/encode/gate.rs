//! A bound on the bytes that decoders hold together.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::summary::{Counters, Stage, Wait};

/// Lets decoders share a fixed number of bytes.
pub(super) struct ByteGate {
    total: u64,
    free: Mutex<u64>,
    returned: Condvar,
}

impl ByteGate {
    pub(super) fn new(total: u64) -> Self {
        Self {
            total,
            free: Mutex::new(total),
            returned: Condvar::new(),
        }
    }

    /// Waits until `bytes` are free; `None` if they never can be.
    pub(super) fn acquire(&self, bytes: u64, counters: &Counters) -> Option<Permit<'_>> {
        if bytes > self.total {
            return None;
        }
        // Ends after the lock is given back.
        let mut _waiting = None;
        let mut free = lock(&self.free);
        if *free < bytes {
            _waiting = Some(counters.wait(Stage::Decode, Wait::Room));
        }
        while *free < bytes {
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Some(Permit { gate: self, bytes })
    }
}

pub(super) struct Permit<'a> {
    gate: &'a ByteGate,
    bytes: u64,
}

impl Permit<'_> {
    /// Takes `more` bytes too, if they are free now: who holds some and waits for others may wait for ever.
    pub(super) fn widen(&mut self, more: u64) -> bool {
        let mut free = lock(&self.gate.free);
        let fits = *free >= more;
        if fits {
            *free -= more;
            self.bytes += more;
        }
        fits
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.gate.free) += self.bytes;
        self.gate.returned.notify_all();
    }
}

/// Locks a mutex that a panicking thread may have held.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panicking thread leaves plain numbers and buffers behind, never a broken invariant.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
