//! Keeping out of the way of other processes: names that none of them gives, and pauses after one was first.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// 16 hex digits that no other process and no other call gets.
#[cfg(feature = "remote")]
pub(crate) fn random_name() -> String {
    format!("{:016x}", random_number())
}

/// Before trying again after others were first so many times: about `first` longer each time, `longest` at most, and not the
/// same for two processes.
pub(crate) fn pause(times: u32, first: Duration, longest: Duration) -> Duration {
    let most = first.saturating_mul(times + 1).min(longest);
    let random = u32::try_from(random_number() % 1000).unwrap_or(0);
    most / 2 + most.mul_f64(f64::from(random) / 2e3)
}

/// Seeded by the system, and another each time.
fn random_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_differ() {
        let of = |times| pause(times, Duration::from_millis(10), Duration::from_millis(100));
        for (times, most) in [(0, 10), (4, 50), (9, 100), (1000, 100), (u32::MAX - 1, 100)] {
            let (pause, most) = (of(times), Duration::from_millis(most));
            assert!(most / 2 <= pause && pause <= most, "{pause:?}");
        }
        let first = of(9);
        assert!((0..100).any(|_| of(9) != first));
    }
}
