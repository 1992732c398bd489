//! Random rows, sources that read, and tolerances.

use std::{
    cell::Cell,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use clip_filter_vectors::{Budget, RowSource, Rows};

/// A generator that needs no crate: xorshift.
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    fn next(&self) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }

    /// Roughly normal.
    pub(crate) fn normal(&self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64).sum();
        (sum / (1u64 << 53) as f64 - 6.0) as f32
    }

    pub(crate) fn values(&self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }

    /// Unit rows, every fifth a copy of an earlier one, every seventh nearly one.
    pub(crate) fn cell(&self, len: usize, dim: usize) -> Vec<f32> {
        let mut values = self.values(len * dim);
        clip_filter_vectors::normalise(&mut values, dim);
        for row in (1..len).filter(|row| row % 5 == 4 || row % 7 == 6) {
            let original = self.below(row);
            values.copy_within(original * dim..(original + 1) * dim, row * dim);
            if row % 7 == 6 {
                values[row * dim] += 3e-4;
            }
        }
        values
    }
}

pub(crate) fn rows(values: &[f32], dim: usize) -> Rows<'_> {
    Rows::new(values, dim).unwrap()
}

pub(crate) fn budget(bytes: usize, threads: usize) -> Budget {
    Budget { bytes, threads }
}

/// Rows as a file would give them.
pub(crate) struct Reading<'a> {
    pub(crate) rows: Rows<'a>,
    /// The longest range that was read.
    pub(crate) longest: AtomicUsize,
    /// Reads until one fails.
    pub(crate) left: AtomicUsize,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(rows: Rows<'a>) -> Self {
        Self {
            rows,
            longest: AtomicUsize::new(0),
            left: AtomicUsize::new(usize::MAX),
        }
    }
}

impl RowSource for Reading<'_> {
    type Error = String;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn read(&self, range: Range<usize>, into: &mut Vec<f32>) -> Result<(), String> {
        if self.left.fetch_sub(1, Relaxed) == 0 {
            return Err(format!("rows {range:?} are gone"));
        }
        self.longest.fetch_max(range.len(), Relaxed);
        into.clear();
        into.extend_from_slice(self.rows.slice(range).values());
        Ok(())
    }
}

/// Plenty and one thread, then less and less: down to a row at a time.
pub(crate) const BUDGETS: [(usize, usize); 6] = [
    (1 << 30, 1),
    (1 << 30, 3),
    (1 << 16, 2),
    (1 << 13, 1),
    (1 << 11, 4),
    (0, 0),
];

pub(crate) fn dot64(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

pub(crate) fn distance64(a: &[f32], b: &[f32]) -> f64 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    squares.sum::<f64>().sqrt()
}

#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let gap = (f64::from(*found) - expected).abs();
        assert!(
            gap <= 1e-5 || f64::from(*found) == *expected,
            "{what}, row {row}: {found} is not {expected}"
        );
    }
}
