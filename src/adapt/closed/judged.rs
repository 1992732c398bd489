//! Losses of rows held out, before and after.

/// Mean losses, and whether they fell by more than chance may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judged {
    pub(super) before: f64,
    pub(super) after: f64,
    /// Standard error of the fall.
    pub(super) gain_error: f64,
}

impl Judged {
    /// Of two losses per row.
    pub(super) fn of(before: &[f32], after: &[f32]) -> Self {
        let rows = before.len().max(1) as f64;
        let (mut sum, mut gains, mut squares) = (0.0, 0.0, 0.0);
        for (before, after) in before.iter().zip(after) {
            let gain = f64::from(*before) - f64::from(*after);
            sum += f64::from(*before);
            gains += gain;
            squares += gain * gain;
        }
        let variance = (squares / rows - (gains / rows).powi(2)).max(0.0);
        Self {
            before: sum / rows,
            after: (sum - gains) / rows,
            gain_error: (variance / (rows - 1.0).max(1.0)).sqrt(),
        }
    }

    pub(super) fn gains(&self) -> bool {
        self.before - self.after > super::LEAST_GAIN_ERRORS * self.gain_error
    }
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
