//! Rows by score, in bins of equal width.

use serde::Serialize;

/// Bins of a histogram. Every edge between two is a threshold whose count is exact; a chart shows fewer.
pub const BINS: usize = 400;

/// How many rows have a score in each bin, and how many of these are kept.
///
/// # Range
/// Bin `i` holds scores from `low + i (high - low) / BINS` on, up to the next edge; the last bin holds `high` too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// The lowest score.
    pub low: f64,
    /// The highest score.
    pub high: f64,
    /// Rows by bin.
    pub rows: Vec<u64>,
    /// Kept rows by bin.
    pub kept: Vec<u64>,
}

impl Histogram {
    pub(super) fn new(low: f32, high: f32) -> Self {
        Self {
            low: f64::from(low),
            // Where all have one score a higher threshold keeps none.
            high: f64::from(high.max(low.next_up())),
            rows: vec![0; BINS],
            kept: vec![0; BINS],
        }
    }

    pub(super) fn push(&mut self, score: f32, is_kept: bool) {
        let bin = self.bin(f64::from(score));
        self.rows[bin] += 1;
        self.kept[bin] += u64::from(is_kept);
    }

    /// The lower edge of a bin.
    pub fn edge(&self, bin: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "few bins")]
        let part = bin as f64 / BINS as f64;
        self.low + (self.high - self.low) * part
    }

    /// The bin whose edges enclose the score; rounding puts no score on the wrong side of an edge.
    fn bin(&self, score: f64) -> usize {
        let mut bin = place(score, [self.low, self.high], BINS);
        while bin > 0 && score < self.edge(bin) {
            bin -= 1;
        }
        while bin + 1 < BINS && score >= self.edge(bin + 1) {
            bin += 1;
        }
        bin
    }
}

/// Which of `count` equal parts of a range a number is in.
pub(super) fn place(number: f64, [low, high]: [f64; 2], count: usize) -> usize {
    let width = high - low;
    if width <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "few parts, and a float to integer cast saturates"
    )]
    let part = ((number - low) / width * count as f64) as usize;
    part.min(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_counts_what_sorting_counts() {
        let scores: Vec<f32> = (0..5000u16)
            .map(|row| f32::from(row % 50 * 100 + row / 50).sqrt() / 70.0 - 0.3)
            .collect();
        let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut histogram = Histogram::new(low, high);
        scores
            .iter()
            .for_each(|&score| histogram.push(score, score > 0.0));
        for bin in 0..BINS {
            let edge = histogram.edge(bin);
            let above = scores.iter().filter(|&&score| f64::from(score) >= edge);
            let counted: u64 = histogram.rows[bin..].iter().sum();
            assert_eq!(counted, above.count() as u64, "bin {bin}");
        }
        assert!(
            histogram
                .kept
                .iter()
                .zip(&histogram.rows)
                .all(|(kept, rows)| kept <= rows)
        );
    }

    #[test]
    fn one_value_fills_one_bin() {
        let mut histogram = Histogram::new(0.25, 0.25);
        histogram.push(0.25, true);
        assert_eq!((histogram.rows[0], histogram.edge(0)), (1, 0.25));
        assert!(histogram.edge(1) > 0.25);
    }
}
