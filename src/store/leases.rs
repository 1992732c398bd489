//! Claims in an object store: an object that is made once, and has a deadline.
//!
//! Whoever has one renews it on a thread of its own. One that was killed does not: its claim is taken over when the
//! deadline is passed, and at once by who can see that it is dead. Clocks that differ by more than a claim holds cost
//! work and nothing else where a shard is claimed twice.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{
    alive::Process,
    claims::{Claim, Claims},
    names,
    remote::RemoteBlobs,
};
use crate::{
    contention::random_name,
    error::{Error, Result},
    remote::{Object, Put},
};

/// How long a claim holds, and how often it is renewed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) holds: Duration,
    pub(super) renewed: Duration,
}

/// Three requests in a row may fail.
pub(super) const TERMS: Terms = Terms {
    holds: Duration::from_secs(60),
    renewed: Duration::from_secs(15),
};

/// How often a claim that is free is asked for, when others are faster each time.
const TURNS: u32 = 30;

/// What the object holds.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    /// Tells claims apart.
    id: String,
    /// Who has it, as others on the same machine may find it.
    process: Option<Process>,
    /// Milliseconds since 1970.
    until_ms: u64,
}

impl Holder {
    fn of(id: &str, terms: Terms) -> Self {
        Self {
            id: id.to_owned(),
            process: Process::this(),
            until_ms: milliseconds(now() + terms.holds),
        }
    }

    fn holds(&self) -> bool {
        self.lives() != Some(false) && self.until_ms > milliseconds(now())
    }

    fn lives(&self) -> Option<bool> {
        self.process.as_ref().and_then(Process::lives)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::internal("describe a claim").source(error))
    }
}

/// Since 1970.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A claim, until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    object: Object,
    id: String,
    ends: Arc<Ends>,
    /// Renews it.
    thread: Option<JoinHandle<()>>,
}

/// Says that a claim is let go.
#[derive(Debug, Default)]
struct Ends {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Ends {
    /// True if it was said within `time`.
    fn within(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn say(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Lease {
    /// Claims what `object` stands for; `None` while somebody else has it.
    ///
    /// # Errors
    /// When the store cannot be asked or written to.
    pub(super) fn take(object: &Object, terms: Terms) -> Result<Option<Self>> {
        let id = random_name();
        for _ in 0..TURNS {
            let bytes = || Holder::of(&id, terms).to_bytes();
            if object.put(bytes()?, Put::IfNew)? {
                return Self::renewing(object, id, terms).map(Some);
            }
            let Some((holder, version)) = found(object)? else {
                // Let go meanwhile.
                continue;
            };
            match holder {
                // The answer to a put of ours was lost, and it was put again.
                Some(holder) if holder.id == id => {
                    return Self::renewing(object, id, terms).map(Some);
                }
                Some(holder) if holder.holds() => return Ok(None),
                _ if object.put(bytes()?, Put::Over(&version))? => {
                    return Self::renewing(object, id, terms).map(Some);
                }
                // Looked at anew: it may have been us.
                _ => {}
            }
        }
        Err(
            Error::output("claim a part of the score store: its claim changes all the time")
                .with("claim", format!("{object:?}"))
                .hint("run the same command again; remove the claim if nobody uses the store"),
        )
    }

    fn renewing(object: &Object, id: String, terms: Terms) -> Result<Self> {
        let ends = Arc::new(Ends::default());
        let (renewed, of, until) = (object.clone(), id.clone(), Arc::clone(&ends));
        let thread = std::thread::Builder::new()
            .name("claim".to_owned())
            .spawn(move || {
                while !until.within(terms.renewed) {
                    // What fails is tried again before the deadline.
                    if let Ok(false) = renew(&renewed, &of, terms) {
                        return;
                    }
                }
            })
            .map_err(|error| Error::internal("start a thread that renews a claim").source(error))?;
        Ok(Self {
            object: object.clone(),
            id,
            ends,
            thread: Some(thread),
        })
    }

    /// Whether somebody has it.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(super) fn held(object: &Object) -> Result<Option<Held>> {
        let holder = found(object)?.and_then(|(holder, _)| holder);
        let holder = holder.filter(Holder::holds);
        Ok(holder.map(|holder| Held {
            until_ms: holder.until_ms,
            lives: holder.lives() == Some(true),
        }))
    }
}

/// What is seen of a claim of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Milliseconds since 1970.
    pub(super) until_ms: u64,
    /// Its process is seen on this machine.
    pub(super) lives: bool,
}

/// What is there, and its version; no holder where it cannot be read.
fn found(object: &Object) -> Result<Option<(Option<Holder>, String)>> {
    let Some((bytes, version)) = object.read_all()? else {
        return Ok(None);
    };
    let holder = serde_json::from_slice(&bytes).ok();
    Ok(Some((holder, version.unwrap_or_default())))
}

/// Puts the deadline off; false if somebody else has it by now, or it is gone.
fn renew(object: &Object, id: &str, terms: Terms) -> Result<bool> {
    match found(object)? {
        Some((Some(holder), version)) if holder.id == id => {
            let bytes = Holder::of(id, terms).to_bytes()?;
            object.put(bytes, Put::Over(&version))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

impl Claim for Lease {
    /// Its thread does.
    fn renew(&self) {}
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ends.say();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // One that stays ends by itself.
        if let Ok(Some((Some(holder), _))) = found(&self.object)
            && holder.id == self.id
        {
            let _ = self.object.remove();
        }
    }
}

/// A claim on each shard in work, beside its parts.
#[derive(Debug)]
pub(super) struct RemoteClaims {
    blobs: Arc<RemoteBlobs>,
    terms: Terms,
}

impl RemoteClaims {
    pub(super) fn new(blobs: Arc<RemoteBlobs>, terms: Terms) -> Self {
        Self { blobs, terms }
    }

    fn object(&self, name: &str) -> Result<Object> {
        self.blobs.object(&names::claim(name))
    }
}

impl Claims for RemoteClaims {
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let lease = Lease::take(&self.object(name)?, self.terms)?;
        Ok(lease.map(|lease| Box::new(lease) as Box<dyn Claim>))
    }

    fn is_claimed(&self, name: &str) -> bool {
        let held = self.object(name).and_then(|object| Lease::held(&object));
        matches!(held, Ok(Some(_)))
    }
}
