//! Samples in another order: a bounded number of them waits, and which goes next is drawn.

use super::sample::Sample;
use crate::score::random_number;

/// Numbers that are the same for the same seed.
#[derive(Debug)]
pub struct Shuffled {
    seed: u64,
    drawn: u64,
}

impl Shuffled {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// One below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        let number = random_number(random_number(self.seed) ^ self.drawn);
        let wide = u128::from(number) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// `all` in another order.
    pub fn order(&mut self, all: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..all).collect();
        for last in (1..all).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

/// Samples that wait.
pub(super) struct Waiting {
    random: Shuffled,
    samples: Vec<Sample>,
    size_bytes: u64,
    most_bytes: u64,
}

impl Waiting {
    pub(super) fn new(seed: u64, most_bytes: u64) -> Self {
        Self {
            random: Shuffled::new(seed),
            samples: Vec::new(),
            size_bytes: 0,
            most_bytes,
        }
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.size_bytes += sample.size_bytes();
        self.samples.push(sample);
    }

    /// One that goes, while more wait than may.
    pub(super) fn overflow(&mut self) -> Option<Sample> {
        match self.size_bytes > self.most_bytes {
            true => self.draw(),
            false => None,
        }
    }

    /// Any one; `None` if none waits.
    pub(super) fn draw(&mut self) -> Option<Sample> {
        if self.samples.is_empty() {
            return None;
        }
        let at = self.random.below(self.samples.len());
        let sample = self.samples.swap_remove(at);
        self.size_bytes -= sample.size_bytes();
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_each_once_and_follows_the_seed() {
        let order = |seed| Shuffled::new(seed).order(100);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(3);
        assert_ne!(sorted, (0..100).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_wait_than_may_and_all_come_out() {
        let sample = |number: u64| Sample {
            key: number.to_string(),
            members: vec![super::super::sample::Member {
                field: "txt".to_owned(),
                bytes: vec![0; 1000],
            }],
        };
        let mut waiting = Waiting::new(5, 20_000);
        let mut out = Vec::new();
        for number in 0..200 {
            waiting.push(sample(number));
            while let Some(sample) = waiting.overflow() {
                out.push(sample.key);
            }
            assert!(waiting.size_bytes <= 20_000);
        }
        assert_eq!(out.len(), 191);
        out.extend(std::iter::from_fn(|| waiting.draw()).map(|sample| sample.key));
        let numbers: Vec<u64> = out.iter().map(|key| key.parse().unwrap()).collect();
        assert!(!numbers.is_sorted());
        let mut sorted = numbers;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..200).collect::<Vec<_>>());
        assert_eq!(waiting.size_bytes, 0);
    }
}
