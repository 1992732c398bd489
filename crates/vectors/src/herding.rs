//! Herding: rows whose running mean stays as close as possible to a target.

use crate::{
    budget::Budget,
    parallel::share,
    product::products,
    rows::{Rows, ranges},
};

/// Rows that one thread compares with the last pick at a time.
const STRIP: usize = 512;

/// Picks `count` rows, or all if there are fewer: each time the one, not picked yet, that brings the mean of the
/// picked rows closest to `target`; of equal ones the first. Positions in the order of picking.
///
/// All products of the rows are computed beforehand where they fit the budget and many rows are picked, else those
/// with each pick; the picks are the same.
///
/// # Source
/// Welling, Herding dynamical weights to learn (2009); Rebuffi et al., iCaRL (arXiv 1611.07725).
///
/// # Panics
/// If rows and target differ in width.
pub fn herd(rows: Rows<'_>, target: &[f32], count: usize, budget: Budget) -> Vec<usize> {
    assert_eq!(rows.dim(), target.len(), "rows of one width");
    let (len, count) = (rows.len(), count.min(rows.len()));
    let mut products_with_last = Products::new(rows, count, budget);
    let mut open = open_rows(rows, target);
    let mut picked = Vec::with_capacity(count);
    let mut free = vec![true; len];
    while picked.len() < count {
        // With S the sum of the picked rows and k their number, |(k + 1) target - S - x|^2 less what all rows share.
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let next = (picked.len() + 1) as f64;
        let mut best = (f64::INFINITY, None);
        for (row, open) in open.iter().enumerate().filter(|(row, _)| free[*row]) {
            let cost = open.squared_length + 2.0 * (open.with_picked - next * open.with_target);
            if cost < best.0 || best.1.is_none() {
                best = (cost, Some(row));
            }
        }
        let Some(row) = best.1 else { break };
        free[row] = false;
        picked.push(row);
        if picked.len() < count {
            let products = products_with_last.of(row);
            for (open, product) in open.iter_mut().zip(products) {
                open.with_picked += f64::from(*product);
            }
        }
    }
    picked
}

/// What decides about a row.
struct Open {
    squared_length: f64,
    with_target: f64,
    /// Its product with the sum of the picked rows.
    with_picked: f64,
}

fn open_rows(rows: Rows<'_>, target: &[f32]) -> Vec<Open> {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        terms.sum()
    };
    let rows = rows.values().chunks_exact(rows.dim());
    rows.map(|row| Open {
        squared_length: product(row, row),
        with_target: product(row, target),
        with_picked: 0.0,
    })
    .collect()
}

/// Products of a row with all rows, computed before or when asked for.
struct Products<'a> {
    rows: Rows<'a>,
    threads: usize,
    /// One run per row if all are known, else one run.
    values: Vec<f32>,
    all: bool,
}

impl<'a> Products<'a> {
    fn new(rows: Rows<'a>, count: usize, budget: Budget) -> Self {
        let len = rows.len();
        let bytes = len.saturating_mul(len).saturating_mul(4);
        // One at a time reads all rows once per pick; blocked, the same arithmetic is over ten times faster.
        let all = bytes <= budget.bytes && count > len / 16;
        let mut values = vec![0.0; if all { len * len } else { len }];
        if all {
            let strips: Vec<_> = ranges(len, STRIP).collect();
            let jobs = values.chunks_mut((STRIP * len).max(1)).zip(strips);
            share(
                budget.threads,
                jobs,
                || (),
                |(values, strip), ()| {
                    products(rows.slice(strip), rows, values);
                },
            );
        }
        // Starting threads costs more than a few rows.
        let small = rows.values().len() < 1 << 18;
        let threads = if small { 1 } else { budget.threads };
        Self {
            rows,
            threads,
            values,
            all,
        }
    }

    fn of(&mut self, row: usize) -> &[f32] {
        let len = self.rows.len();
        if self.all {
            return &self.values[row * len..][..len];
        }
        let rows = self.rows;
        let picked = rows.slice(row..row + 1);
        let strips: Vec<_> = ranges(len, STRIP).collect();
        let jobs = self.values.chunks_mut(STRIP).zip(strips);
        share(
            self.threads,
            jobs,
            || (),
            |(values, strip), ()| {
                products(picked, rows.slice(strip), values);
            },
        );
        &self.values
    }
}
