//! The exact scores at several ranks, in two passes and constant memory.

use super::histogram::{ScoreHistogram, order_key};

/// The exact scores at several ranks of any number of rows, in constant memory.
///
/// [`ScoreHistogram::ranks`] says which bins of the first pass hold the ranks; this counts those bins, and only
/// those, to the last bit in a second pass.
#[derive(Debug, Clone)]
pub struct RankHistogram {
    /// For each rank asked for: its bin of the first pass, and its rank within that bin.
    wanted: Vec<Option<(u32, u64)>>,
    /// The bins, ascending, and how often each value in them occurs.
    bins: Vec<(u32, Vec<u64>)>,
}

impl ScoreHistogram {
    /// A counter for the scores at `ranks`, 1 the lowest; every score must be pushed to it again.
    pub fn ranks(&self, ranks: &[u64]) -> RankHistogram {
        let wanted: Vec<_> = ranks.iter().map(|&rank| find(self.bins(), rank)).collect();
        let mut bins: Vec<u32> = wanted.iter().flatten().map(|&(bin, _)| bin).collect();
        bins.sort_unstable();
        bins.dedup();
        RankHistogram {
            wanted,
            bins: bins
                .into_iter()
                .map(|bin| (bin, vec![0; 1 << 16]))
                .collect(),
        }
    }
}

impl RankHistogram {
    /// Counts one score.
    pub fn push(&mut self, score: f32) {
        let key = order_key(score);
        if let Ok(position) = self
            .bins
            .binary_search_by_key(&(key >> 16), |&(bin, _)| bin)
        {
            self.bins[position].1[(key & 0xffff) as usize] += 1;
        }
    }

    /// The score at each rank, in the order they were asked for; `None` for a rank that no score has.
    pub fn scores(&self) -> Vec<Option<f32>> {
        let score = |&(bin, rank): &(u32, u64)| {
            let position = self.bins.binary_search_by_key(&bin, |&(bin, _)| bin).ok()?;
            let (low, _) = find(&self.bins[position].1, rank)?;
            Some(score_of((bin << 16) | low))
        };
        self.wanted
            .iter()
            .map(|wanted| wanted.as_ref().and_then(score))
            .collect()
    }
}

/// The bin, counted from the bottom, that holds the rank, and the rank within it.
pub(crate) fn find(bins: &[u64], rank: u64) -> Option<(u32, u64)> {
    let mut left = rank.checked_sub(1)?;
    for (bin, &count) in (0u32..).zip(bins) {
        if left < count {
            return Some((bin, left + 1));
        }
        left -= count;
    }
    None
}

/// The score that [`order_key`] maps to `key`.
pub(crate) fn score_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 {
        key & !(1 << 31)
    } else {
        !key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ranks(scores: &[f32], ranks: &[u64]) -> Vec<Option<f32>> {
        let mut coarse = ScoreHistogram::default();
        scores.iter().for_each(|&score| coarse.push(score));
        let mut fine = coarse.ranks(ranks);
        scores.iter().for_each(|&score| fine.push(score));
        fine.scores()
    }

    /// Deterministic numbers, reproducible from the seed that a failure shows.
    fn random(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        }
    }

    #[test]
    fn equals_sorting_at_every_rank() {
        for seed in 0..24u64 {
            let mut next = random(seed);
            let rows = next() % 120;
            // Few levels make ties; a narrow range puts all ranks into one bin; any bits are any magnitude.
            let scores: Vec<f32> = (0..rows)
                .map(|_| match seed % 4 {
                    0 => (next() % 5) as f32 / 5.0 - 0.4,
                    1 => 0.25 + (next() % 1000) as f32 * 1e-9,
                    2 => (next() % 2_000_001) as f32 * 1e-6 - 1.0,
                    _ => Some(f32::from_bits(u32::try_from(next() << 1).unwrap()))
                        .filter(|score| score.is_finite())
                        .unwrap_or(0.0),
                })
                .collect();
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let ranks: Vec<u64> = (0..=rows + 1).rev().collect();
            let expected: Vec<Option<f32>> = ranks
                .iter()
                .map(|&rank| {
                    sorted
                        .get(usize::try_from(rank.checked_sub(1)?).ok()?)
                        .copied()
                })
                .collect();
            assert_eq!(at_ranks(&scores, &ranks), expected, "seed {seed}");
        }
    }

    #[test]
    fn every_score_is_found_from_its_key() {
        for score in [
            -1.0,
            -0.3,
            -f32::MIN_POSITIVE,
            0.0,
            1e-20,
            0.25,
            1.0,
            f32::MAX,
        ] {
            assert_eq!(score_of(order_key(score)), score);
        }
        assert_eq!(score_of(order_key(-0.0)).to_bits(), 0);
    }
}
