//! Losses of rows held out, before and after.

/// A fall by fewer standard errors than this is not told from chance.
const LEAST_GAIN_ERRORS: f64 = 2.0;

/// Mean losses, and whether they fell by more than chance may do.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Judged {
    rows: f64,
    before: f64,
    gains: f64,
    squares: f64,
}

impl Judged {
    /// Of two losses per row.
    pub(super) fn of(before: &[f32], after: &[f32]) -> Self {
        let mut judged = Self::default();
        judged.add(before, after);
        judged
    }

    /// Adds rows.
    pub(super) fn add(&mut self, before: &[f32], after: &[f32]) {
        for (before, after) in before.iter().zip(after) {
            let gain = f64::from(*before) - f64::from(*after);
            self.rows += 1.0;
            self.before += f64::from(*before);
            self.gains += gain;
            self.squares += gain * gain;
        }
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.rows.max(1.0)
    }

    pub(super) fn before(&self) -> f64 {
        self.mean(self.before)
    }

    pub(super) fn after(&self) -> f64 {
        self.mean(self.before - self.gains)
    }

    /// Standard error of the fall.
    pub(super) fn gain_error(&self) -> f64 {
        let variance = self.mean(self.squares) - self.mean(self.gains).powi(2);
        (variance.max(0.0) / (self.rows - 1.0).max(1.0)).sqrt()
    }

    pub(super) fn gains(&self) -> bool {
        falls(self.before() - self.after(), self.gain_error())
    }
}

/// Whether a fall of a mean loss is more than chance may do.
pub(super) fn falls(gain: f64, error: f64) -> bool {
    gain > LEAST_GAIN_ERRORS * error
}

/// The row of a table with the least sum, and where it is; `rows` values each.
pub(super) fn least(table: &[f32], rows: usize) -> Option<(usize, &[f32])> {
    let sums = table.chunks_exact(rows.max(1)).enumerate();
    let sums = sums.map(|(place, losses)| {
        let sum: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
        (sum, place, losses)
    });
    sums.filter(|(sum, ..)| sum.is_finite())
        .min_by(|(a, ..), (b, ..)| a.total_cmp(b))
        .map(|(_, place, losses)| (place, losses))
}
