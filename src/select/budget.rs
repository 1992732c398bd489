use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many of the candidates stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of them.
    All,
    /// This part of them, exact as it was written: `numerator / denominator`.
    Fraction {
        /// Digits after the point, as a whole number.
        numerator: u64,
        /// The power of ten that belongs to them.
        denominator: u64,
    },
    /// At most this many rows.
    Rows(u64),
}

impl Keep {
    /// The number of rows to keep of `candidates`: round half up of fraction x candidates.
    pub fn budget(self, candidates: u64) -> u64 {
        match self {
            Keep::All => candidates,
            Keep::Rows(rows) => rows.min(candidates),
            Keep::Fraction {
                numerator,
                denominator,
            } => {
                let (n, d) = (u128::from(numerator), u128::from(denominator));
                let rounded = (2 * n * u128::from(candidates) + d) / (2 * d);
                u64::try_from(rounded).unwrap_or(candidates).min(candidates)
            }
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    /// Reads a fraction in (0, 1].
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "'{text}' is not a fraction in (0, 1], such as 0.3; for a row count use --keep-rows"
            )
        };
        let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
        if digits.len() > 15
            || !whole
                .chars()
                .chain(digits.chars())
                .all(|c| c.is_ascii_digit())
        {
            return Err(expected());
        }
        let digits = digits.trim_end_matches('0');
        let denominator = 10u64.pow(u32::try_from(digits.len()).map_err(|_| expected())?);
        let number = |text: &str| {
            if text.is_empty() {
                Ok(0)
            } else {
                text.parse::<u64>().map_err(|_| expected())
            }
        };
        let numerator = number(whole)?
            .checked_mul(denominator)
            .and_then(|whole| Some(whole + number(digits).ok()?))
            .ok_or_else(expected)?;
        if numerator == 0 || numerator > denominator {
            return Err(expected());
        }
        Ok(Keep::Fraction {
            numerator,
            denominator,
        })
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::All => f.write_str("all"),
            Keep::Rows(rows) => write!(f, "{rows} rows"),
            #[expect(
                clippy::cast_precision_loss,
                reason = "at most 15 digits, shown to a person"
            )]
            Keep::Fraction {
                numerator,
                denominator,
            } => write!(f, "{}", *numerator as f64 / *denominator as f64),
        }
    }
}

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
    pub(super) key: u32,
    pub(super) ties: u64,
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
    pub(super) fn bins(&self) -> &[u64] {
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
pub(super) fn end_of_budget(bins: &[u64], rows: u64) -> (u32, u64) {
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
pub(super) fn order_key(score: f32) -> u32 {
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

    #[test]
    fn fractions_round_half_up_on_decimal_values() {
        let keep = |text: &str| text.parse::<Keep>().unwrap();
        assert_eq!(keep("0.3").budget(232), 70);
        assert_eq!(keep("0.145").budget(100), 15);
        assert_eq!(keep("0.5").budget(3), 2);
        assert_eq!(keep("0.1").budget(4), 0);
        assert_eq!(keep("1").budget(7), 7);
        assert_eq!(keep("1.000").budget(7), 7);
        assert_eq!(keep(".25").budget(2), 1);
        assert_eq!(keep("0.3").budget(u64::MAX), 5_534_023_222_112_865_485);
    }

    #[test]
    fn anything_but_a_fraction_is_refused() {
        for text in ["0", "0.0", "1.1", "30%", "-0.5", "abc", "1e-1", "", "nan"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}
