//! Soft maxima of the rows of a product that is never held as a whole.

use crate::{
    exponential::exponential,
    parallel::share,
    product::{largest, products},
    rows::{Rows, ranges},
};

/// Edge of the squares in which sums are formed. Laid on absolute positions of the pool, so that a sum has the same
/// order with any number of threads, and whatever rows are beside its own.
const SQUARE: usize = 256;

/// What rows are compared with.
#[derive(Debug, Clone, Copy)]
pub struct SoftPool<'a> {
    /// The rows of the other side.
    pub rows: Rows<'a>,
    /// In units of the product, above 0.
    pub temperature: f32,
}

impl SoftPool<'_> {
    /// The soft maximum t * ln sum_j exp(s_j / t) of the products s_j of each row with all of the pool, in units of s;
    /// with one more product where `own` has one, for a row whose partner is not in the pool. `NEG_INFINITY` where there is
    /// nothing to compare with.
    ///
    /// With it `s_cliploss` is the product of a pair less half the sum over both sides.
    ///
    /// # Shape
    /// `own`: one per row. One value per row, which depends on that row and the pool alone, to the last bit.
    ///
    /// # Source
    /// arXiv 2405.19547, negCLIPLoss.
    ///
    /// # Panics
    /// If rows and pool differ in width, or `own` in length.
    pub fn soft_maxima(&self, rows: Rows<'_>, own: &[Option<f32>], threads: usize) -> Vec<f32> {
        assert_eq!(own.len(), rows.len(), "one per row");
        let mut values = vec![f32::NEG_INFINITY; rows.len()];
        let jobs = values.chunks_mut(SQUARE).zip(own.chunks(SQUARE));
        let jobs = jobs.zip(ranges(rows.len(), SQUARE).collect::<Vec<_>>());
        share(
            threads,
            jobs,
            Vec::new,
            |((values, own), some), square: &mut Vec<f32>| {
                let mut sums = vec![SoftSum::default(); values.len()];
                for others in ranges(self.rows.len(), SQUARE) {
                    let width = others.len();
                    square.resize(values.len() * width, 0.0);
                    products(rows.slice(some.clone()), self.rows.slice(others), square);
                    for (sum, row) in sums.iter_mut().zip(square.chunks_exact(width)) {
                        sum.add(row_part(row, self.temperature), self.temperature);
                    }
                }
                for ((value, sum), own) in values.iter_mut().zip(&mut sums).zip(own) {
                    if let Some(largest) = *own {
                        sum.add(Part { largest, sum: 1.0 }, self.temperature);
                    }
                    *value = sum.value(self.temperature);
                }
            },
        );
        values
    }
}

/// Sum of exp((s - largest) / t) over some of the values of a row.
#[derive(Clone, Copy)]
struct Part {
    largest: f32,
    sum: f32,
}

/// The same over all values so far.
#[derive(Clone, Copy)]
struct SoftSum {
    largest: f32,
    sum: f64,
}

impl Default for SoftSum {
    fn default() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl SoftSum {
    fn add(&mut self, part: Part, temperature: f32) {
        let scale = |from: f32, to: f32| match from == to {
            true => 1.0,
            false => ((f64::from(from) - f64::from(to)) / f64::from(temperature)).exp(),
        };
        let largest = self.largest.max(part.largest);
        self.sum = self.sum * scale(self.largest, largest)
            + f64::from(part.sum) * scale(part.largest, largest);
        self.largest = largest;
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
    fn value(&self, temperature: f32) -> f32 {
        (f64::from(self.largest) + f64::from(temperature) * self.sum.ln()) as f32
    }
}

fn row_part(row: &[f32], temperature: f32) -> Part {
    const LANES: usize = 16;
    let largest = largest(row);
    let scale = temperature.recip();
    let mut lanes = [0.0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter();
    let rest = rest
        .map(|s| exponential((s - largest) * scale))
        .sum::<f32>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += exponential((chunk[lane] - largest) * scale);
        }
    }
    let sum = lanes.iter().fold(rest, |sum, lane| sum + lane);
    Part { largest, sum }
}
