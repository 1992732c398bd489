//! Which of the shards one of several workers takes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One of so many equal shares of the work, counted from 0; workers with the same inputs and different indices together do
/// all of it, each shard once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    index: u32,
    of: u32,
}

impl Share {
    /// Share `index` of `of`, counted from 0; `None` if there is none of that number.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// Which one it is.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether what has this hash is in it.
    pub fn has(self, hash: u64) -> bool {
        hash % u64::from(self.of) == u64::from(self.index)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let share = text.split_once('/').and_then(|(index, of)| {
            let (index, of) = (number(index)?, number(of)?);
            Share::new(index, of)
        });
        share.ok_or_else(|| {
            format!("'{text}' is not I/N with I from 0 to N - 1, such as 0/4 for the first of four")
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_in_one_share() {
        let shares: Vec<Share> = (0..4).filter_map(|index| Share::new(index, 4)).collect();
        for hash in [0, 1, 5, u64::MAX, 1 << 40] {
            let having = shares.iter().filter(|share| share.has(hash));
            assert_eq!(having.count(), 1, "{hash}");
        }
    }

    #[test]
    fn shares_are_counted_from_zero() {
        for text in ["0/1", "3/4", " 1 / 2 "] {
            assert!(text.parse::<Share>().is_ok(), "{text}");
        }
        for text in ["4/4", "1/0", "-1/2", "1", "", "1/2/3", "a/b"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
