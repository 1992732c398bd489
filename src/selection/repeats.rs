//! How often each selected row is to be seen.

use super::{Selection, SelectionBuilder};

/// A number per row and shard, 0 for rows that are not selected: one bit per row for each binary digit of the largest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeats {
    /// Digits from the lowest.
    digits: Vec<Selection>,
    rows: Selection,
    total: u64,
}

/// [`Repeats`] under construction.
#[derive(Debug)]
pub struct RepeatsBuilder {
    shard_rows: Vec<u64>,
    digits: Vec<SelectionBuilder>,
    total: u64,
}

impl Repeats {
    /// Starts with no row; `shard_rows` are the rows of each shard.
    pub fn builder(shard_rows: impl IntoIterator<Item = u64>) -> RepeatsBuilder {
        RepeatsBuilder {
            shard_rows: shard_rows.into_iter().collect(),
            digits: Vec::new(),
            total: 0,
        }
    }

    /// How often a row is to be seen.
    pub fn of(&self, shard: usize, row: usize) -> u32 {
        let digits = self.digits.iter().rev();
        digits.fold(0, |number, digit| {
            (number << 1) | u32::from(digit.contains(shard, row))
        })
    }

    /// The rows that are to be seen at all.
    pub fn rows(&self) -> &Selection {
        &self.rows
    }

    /// The sum over all rows.
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl RepeatsBuilder {
    /// Says how often a row is to be seen; each at most once.
    pub fn set(&mut self, shard: usize, row: usize, repeats: u32) {
        let digits = u32::BITS - repeats.leading_zeros();
        while self.digits.len() < digits as usize {
            let none = Selection::builder(self.shard_rows.iter().copied());
            self.digits.push(none);
        }
        for (place, digit) in self.digits.iter_mut().enumerate() {
            if (repeats >> place) & 1 == 1 {
                digit.select(shard, row);
            }
        }
        self.total += u64::from(repeats);
    }

    /// The finished numbers.
    pub fn finish(self) -> Repeats {
        let digits = self.digits.into_iter().map(SelectionBuilder::finish);
        let digits: Vec<Selection> = digits.collect();
        let none = Selection::builder(self.shard_rows).finish();
        Repeats {
            rows: digits.iter().fold(none, |rows, digit| rows.union(digit)),
            digits,
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_the_number_that_was_set() {
        let mut builder = Repeats::builder([4, 0, 2]);
        let set = [(0, 1, 1), (0, 3, 6), (2, 0, 1_000), (2, 1, 0)];
        for (shard, row, repeats) in set {
            builder.set(shard, row, repeats);
        }
        let repeats = builder.finish();
        for (shard, row, number) in set {
            assert_eq!(repeats.of(shard, row), number);
        }
        assert_eq!((repeats.of(0, 0), repeats.of(9, 9)), (0, 0));
        assert_eq!(repeats.total(), 1_007);
        let rows: Vec<_> = repeats.rows().iter().collect();
        assert_eq!(rows, [(0, 1), (0, 3), (2, 0)]);
    }
}
