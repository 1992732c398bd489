//! Which process has something, so that others on the same machine see whether it lives.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;

/// A process as the system numbers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Where numbers mean the same: a hash of the boot of a machine and of what of it the process sees.
    machine: String,
    number: u32,
    /// Ticks after that boot, since numbers are given again.
    started: u64,
}

impl Process {
    /// This one; `None` where the system does not tell.
    pub(super) fn this() -> Option<Self> {
        let number = std::process::id();
        Some(Self {
            machine: machine()?,
            number,
            started: started(number)?,
        })
    }

    /// Whether it lives; `None` where that cannot be seen from here.
    pub(super) fn lives(&self) -> Option<bool> {
        let is_here = machine().is_some_and(|machine| machine == self.machine);
        is_here.then(|| started(self.number) == Some(self.started))
    }
}

fn machine() -> Option<String> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    // Numbers within a container are not those outside.
    let seen = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let mut hash = Sha256::new();
    hash.update(boot);
    hash.update(seen.as_os_str().as_encoded_bytes());
    Some(hex(&hash.finalize()[..8]))
}

/// When a process that still runs was started; `None` where there is none.
fn started(number: u32) -> Option<u64> {
    let path = Path::new("/proc").join(number.to_string()).join("stat");
    let text = std::fs::read_to_string(path).ok()?;
    // A name in brackets comes before, which may hold anything.
    let facts = text.rsplit_once(')')?.1;
    let mut facts = facts.split_ascii_whitespace();
    let is_over = ["Z", "X"].contains(&facts.next()?);
    let started = facts.nth(18)?.parse().ok();
    started.filter(|_| !is_over)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn who_lives_is_told_from_who_is_dead_or_cannot_be_seen() {
        let this = Process::this().unwrap();
        assert_eq!(this.lives(), Some(true));
        let of = |change: fn(&mut Process)| {
            let mut other = this.clone();
            change(&mut other);
            other
        };
        let gone = of(|other| other.number = u32::MAX);
        let its_number_was_given_again = of(|other| other.started += 1);
        for dead in [gone, its_number_was_given_again] {
            assert_eq!(dead.lives(), Some(false), "{dead:?}");
        }
        let elsewhere = of(|other| {
            other.machine.clear();
            other.number = u32::MAX;
        });
        assert_eq!(elsewhere.lives(), None);
    }
}
