//! A budget that holds in one pass.

use super::Keep;
use crate::{
    error::{Error, Result},
    score::order_key,
};

/// Most rows by which all that was kept may differ from the budget: half of what a window may, since the
/// deviation of a window is the difference of two of these.
const MOST_DEVIATION: u64 = 100;
/// Of the first rows fewer: one more per so many rows, so that a short stream keeps its budget too.
const ROWS_PER_DEVIATION: u64 = 64;
const FIRST_DEVIATION: u64 = 4;
/// The threshold is a quantile of so many scores before it.
const RECENT_ROWS: usize = 32_768;
/// Rows over which a deviation is made good while it is small.
const RECOVERY_ROWS: f64 = 5_000.0;

/// Decides for each score as it arrives whether its row is kept: one pass, constant memory, no randomness.
///
/// The threshold is an exact quantile of the last 32,768 scores, set a little higher while too many rows have been
/// kept and a little lower while too few have. Rows equal to the threshold are kept as the budget needs them.
///
/// # Guarantee
/// After any number of rows `n` the rows kept differ from `keep * n` by at most 100, and by at most `4 + n / 64`.
/// So the kept fraction of any 10,000 consecutive rows is within 0.02 of the budget, whatever the scores are and
/// from the first row on: where the threshold would break that, the bound decides.
///
/// On shuffled scores more than 97 % of the decisions after 20,000 rows are those of the exact selection over the
/// whole stream. Scores that drift are judged beside their neighbours instead; on sorted ones, where the exact
/// selection is one end of the stream, the decisions are little more than every so many rows.
///
/// # Source
/// Dual ascent on a budget constraint: the deviation is the dual variable, its step 1 / 5,000 of a quantile,
/// growing without limit towards the bound.
#[derive(Debug, Clone)]
pub struct OnlineSelector {
    /// The budget: this part of the rows.
    numerator: i64,
    denominator: i64,
    /// Rows kept beyond the budget, in units of one row / `denominator`; exact.
    deviation: i64,
    rows: u64,
    recent: RecentScores,
}

impl OnlineSelector {
    /// Consecutive rows over which the kept fraction is promised.
    pub const WINDOW_ROWS: usize = 10_000;
    /// The kept fraction of any [`Self::WINDOW_ROWS`] consecutive rows differs from the budget by at most this.
    pub const TOLERANCE: f64 = 0.02;
    /// Rows after which the agreement with the exact selection is stated; the budget holds from the first on.
    pub const WARM_UP_ROWS: usize = 20_000;

    /// A selector that keeps the fraction `keep` of the rows it will see.
    ///
    /// # Errors
    /// When `keep` is a number of rows: it would have to know how many will come.
    pub fn try_new(keep: Keep) -> Result<Self> {
        let (numerator, denominator) = match keep {
            Keep::All => (1, 1),
            Keep::Fraction {
                numerator,
                denominator,
            } => (numerator, denominator),
            Keep::Rows(rows) => {
                return Err(Error::usage("keep a number of rows in one pass")
                    .with("rows", rows)
                    .hint("give a fraction (--keep), or select in two passes, without --online"));
            }
        };
        // A deviation is at most MOST_DEVIATION + 1 of these.
        let whole = |part: u64| {
            let most = i64::MAX.unsigned_abs() / (2 * MOST_DEVIATION);
            let fits = i64::try_from(part).ok().filter(|_| part <= most);
            fits.ok_or_else(|| Error::usage("keep a fraction of so many digits").with("keep", keep))
        };
        Ok(Self {
            numerator: whole(numerator)?,
            denominator: whole(denominator)?,
            deviation: 0,
            rows: 0,
            recent: RecentScores::default(),
        })
    }

    /// Whether the next row, which has this score, is kept. NaN is below every number.
    pub fn push(&mut self, score: f32) -> bool {
        let key = if score.is_nan() { 0 } else { order_key(score) };
        let keeps = self.decide(key);
        self.recent.push(key);
        self.rows += 1;
        self.deviation += if keeps { self.denominator } else { 0 } - self.numerator;
        keeps
    }

    fn decide(&self, key: u32) -> bool {
        if self.numerator == self.denominator {
            return true;
        }
        let most = MOST_DEVIATION.min(FIRST_DEVIATION + self.rows / ROWS_PER_DEVIATION);
        let bound = i64::try_from(most).unwrap_or(i64::MAX) * self.denominator;
        if self.deviation - self.numerator < -bound {
            return true;
        }
        if self.deviation + self.denominator - self.numerator > bound {
            return false;
        }
        // Of the two outcomes the one that leaves the smaller deviation.
        let is_due = 2 * self.deviation <= 2 * self.numerator - self.denominator;
        match self.recent.at(self.wanted_fraction(bound)) {
            Some(threshold) if key != threshold => key > threshold,
            _ => is_due,
        }
    }

    /// The budget, less what was kept too much.
    #[expect(clippy::cast_precision_loss, reason = "a threshold need not be exact")]
    fn wanted_fraction(&self, bound: i64) -> f64 {
        let deviation = self.deviation as f64 / self.denominator as f64;
        let nearness = self.deviation as f64 / bound as f64;
        let room = (1.0 - nearness * nearness).max(f64::EPSILON);
        self.numerator as f64 / self.denominator as f64 - deviation / RECOVERY_ROWS / room
    }
}

/// The last scores, in the order they came and in theirs.
#[derive(Debug, Clone, Default)]
struct RecentScores {
    /// A ring once it is full.
    arrived: Vec<u32>,
    oldest: usize,
    sorted: Vec<u32>,
}

impl RecentScores {
    fn push(&mut self, key: u32) {
        let to = self.sorted.partition_point(|&other| other < key);
        if self.arrived.len() < RECENT_ROWS {
            self.arrived.push(key);
            self.sorted.insert(to, key);
            return;
        }
        let leaves = std::mem::replace(&mut self.arrived[self.oldest], key);
        self.oldest = (self.oldest + 1) % RECENT_ROWS;
        let from = self.sorted.partition_point(|&other| other < leaves);
        if from < to {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = key;
        } else {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = key;
        }
    }

    /// The score that ends the best `fraction`; `None` before the first.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of scores"
    )]
    fn at(&self, fraction: f64) -> Option<u32> {
        let rows = self.sorted.len();
        let above = (fraction.clamp(0.0, 1.0) * rows as f64).round() as usize;
        self.sorted
            .get((rows - above).min(rows.checked_sub(1)?))
            .copied()
    }
}

#[cfg(test)]
mod tests;
