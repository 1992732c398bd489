//! Scores counted by their bits: where a budget ends, in two passes and constant memory.

/// Exact top-k by a two-pass radix histogram over the 32-bit score: constant memory, any number of rows.
///
/// The first pass counts the upper 16 bits of every score; [`ScoreHistogram::refine`] then needs a second
/// pass over the scores, which counts the lower 16 bits inside the one bin where the budget ends.
///
/// # Source
/// The published optimizer returns the top-k of a fixed score (arXiv 2410.11215; see README), so the exact
/// answer needs no iteration.
#[derive(Debug, Clone)]
pub struct ScoreHistogram {
    bins: Vec<u64>,
    /// The bin of the first pass that is counted more finely, and the rows wanted of it.
    refined: Option<(u32, u64)>,
}

const BINS: usize = 1 << 16;

impl Default for ScoreHistogram {
    fn default() -> Self {
        Self {
            bins: vec![0; BINS],
            refined: None,
        }
    }
}

/// Where a budget ends: rows above `key` stay, and of those equal to it the first `ties` in row order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub(crate) key: u32,
    pub(crate) ties: u64,
}

impl ScoreHistogram {
    /// Counts one score.
    pub fn push(&mut self, score: f32) {
        let key = order_key(score);
        match self.refined {
            None => self.bins[(key >> 16) as usize] += 1,
            Some((bin, _)) if key >> 16 == bin => self.bins[(key & 0xffff) as usize] += 1,
            Some(_) => {}
        }
    }

    /// Scores counted.
    pub fn count(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// How often each value of a score's upper half occurs, lowest first.
    pub(crate) fn bins(&self) -> &[u64] {
        &self.bins
    }

    /// A histogram of the bin in which a budget of `rows` ends; every score must be pushed to it again.
    #[must_use]
    pub fn refine(&self, rows: u64) -> Self {
        let (bin, wanted) = end_of_budget(&self.bins, rows);
        Self {
            bins: vec![0; BINS],
            refined: Some((bin, wanted)),
        }
    }

    /// The exact end of the budget, once every score was pushed to the refined histogram.
    pub fn cut(&self) -> Cut {
        let (high, wanted) = self.refined.unwrap_or((0, 0));
        let (low, ties) = end_of_budget(&self.bins, wanted);
        Cut {
            key: (high << 16) | low,
            ties,
        }
    }
}

/// The bin, counted from the top, in which `rows` are reached, and how many rows of it are wanted.
pub(crate) fn end_of_budget(bins: &[u64], rows: u64) -> (u32, u64) {
    let mut wanted = rows;
    let mut bin = u32::try_from(bins.len()).unwrap_or(u32::MAX);
    for &count in bins.iter().rev() {
        bin -= 1;
        if wanted <= count {
            return (bin, wanted);
        }
        wanted -= count;
    }
    (0, wanted)
}

impl Cut {
    /// Whether the next row in row order stays. Rows must be asked for once each, in order.
    pub fn admit(&mut self, score: f32) -> bool {
        let key = order_key(score);
        if key == self.key && self.ties > 0 {
            self.ties -= 1;
            return true;
        }
        key > self.key
    }
}

/// Maps floats to integers of the same order; -0 and 0 are one value.
pub(crate) fn order_key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(scores: &[f32], keep: u64) -> Vec<usize> {
        let mut coarse = ScoreHistogram::default();
        scores.iter().for_each(|&score| coarse.push(score));
        let mut fine = coarse.refine(keep);
        scores.iter().for_each(|&score| fine.push(score));
        let mut cut = fine.cut();
        (0..scores.len())
            .filter(|&row| cut.admit(scores[row]))
            .collect()
    }

    fn sorted_top(scores: &[f32], keep: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..scores.len()).collect();
        rows.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap());
        rows.truncate(keep);
        rows.sort_unstable();
        rows
    }

    #[test]
    fn equals_a_stable_sort_for_every_budget() {
        let mut state = 7u64;
        for levels in [1, 3, 50, 100_000] {
            let scores: Vec<f32> = (0..200)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    ((state >> 33) % levels) as f32 / levels as f32 * 2.0 - 1.0
                })
                .collect();
            for keep in 0..=200 {
                assert_eq!(
                    top(&scores, keep as u64),
                    sorted_top(&scores, keep),
                    "levels {levels}, keep {keep}"
                );
            }
        }
    }

    #[test]
    fn signed_zeros_tie() {
        assert_eq!(top(&[-0.0, 0.0, -0.0], 2), [0, 1]);
    }
}
