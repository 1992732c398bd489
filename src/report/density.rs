//! Alignment against diversity, in cells of a square.

use super::{
    case::{Case, CaseRows},
    facts::Density,
    histogram::place,
};
use crate::{
    schema::{CLIP_SCORE, ScoreColumn},
    score::OBJECTIVE,
    score::ObjectiveState,
};

/// What is read as alignment, the first that is there.
const ALIGNMENT: [&str; 2] = [ScoreColumn::SAS.name(), CLIP_SCORE];
/// Cells along each side.
const SIDE: usize = 48;
/// Steps of alignment within which the most diverse row is found.
const STEPS: usize = 96;

/// The lowest and the highest score.
type Range = (f32, f32);

/// Counts rows by two scores.
pub(super) struct DensityCounter {
    columns: [usize; 2],
    names: [&'static str; 2],
    ranges: [[f64; 2]; 2],
    rows: Vec<u64>,
    kept: Vec<u64>,
    /// The row of highest diversity of each step of alignment.
    highest: Vec<Option<[f32; 2]>>,
}

impl DensityCounter {
    /// `range_of` tells the column of a score and its range; `None` without diversity.
    pub(super) fn of(range_of: &dyn Fn(&str) -> Option<(usize, Range)>) -> Option<Self> {
        let y = ScoreColumn::SDS.name();
        let (y_column, y_range) = range_of(y)?;
        let found = |name: &'static str| Some((name, range_of(name)?));
        let (x, (x_column, x_range)) = ALIGNMENT.into_iter().find_map(found)?;
        let wide = |(low, high): Range| [f64::from(low), f64::from(high)];
        Some(Self {
            columns: [x_column, y_column],
            names: [x, y],
            ranges: [wide(x_range), wide(y_range)],
            rows: vec![0; SIDE * SIDE],
            kept: vec![0; SIDE * SIDE],
            highest: vec![None; STEPS],
        })
    }

    pub(super) fn push(&mut self, stretch: &CaseRows<'_>, position: usize) {
        let scores = self.columns.map(|column| stretch.score(column, position));
        let [Some(x), Some(y)] = scores else { return };
        let at =
            |number: f32, axis: usize, count| place(f64::from(number), self.ranges[axis], count);
        let cell = at(y, 1, SIDE) * SIDE + at(x, 0, SIDE);
        let step = at(x, 0, STEPS);
        self.rows[cell] += 1;
        self.kept[cell] += u64::from(stretch.fates[position].is_none());
        let highest = &mut self.highest[step];
        if highest.is_none_or(|[_, other]| y > other) {
            *highest = Some([x, y]);
        }
    }

    pub(super) fn finish(self, case: &Case<'_>, cut: Option<f32>) -> Density {
        Density {
            x: self.names[0],
            y: self.names[1],
            x_range: self.ranges[0],
            y_range: self.ranges[1],
            side: SIDE,
            frontier: frontier(&self.highest),
            cut_line: cut.and_then(|cut| cut_line(case, self.names[0], cut)),
            rows: self.rows,
            kept: self.kept,
        }
    }
}

/// The rows that none to their right is above.
fn frontier(highest: &[Option<[f32; 2]>]) -> Vec<[f32; 2]> {
    let mut frontier: Vec<[f32; 2]> = Vec::new();
    for &[x, y] in highest.iter().rev().flatten() {
        if frontier.last().is_none_or(|[_, above]| y > *above) {
            frontier.push([x, y]);
        }
    }
    frontier.reverse();
    frontier
}

/// `a x + b y = c` where the budget ends; `None` where rows are ordered by neither of both, or by more than both.
fn cut_line(case: &Case<'_>, x: &str, cut: f32) -> Option<[f64; 3]> {
    let order = case.order_name();
    if order == x {
        return Some([1.0, 0.0, f64::from(cut)]);
    }
    if order != ScoreColumn::SELECTION_SCORE.name() || x == CLIP_SCORE {
        return None;
    }
    let state = case.store.artifact(OBJECTIVE)?;
    let state: ObjectiveState = serde_json::from_slice(&state).ok()?;
    let objective = state.finish(case.method.diversity_weight);
    let score = |sas: f32, sds: f32| f64::from(objective.score(sas, Some(sds)));
    // The objective is linear in both.
    let start = score(0.0, 0.0);
    Some([
        score(1.0, 0.0) - start,
        score(0.0, 1.0) - start,
        f64::from(cut) - start,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_falls_from_left_to_right() {
        let highest = [
            Some([0.0, 0.5]),
            Some([0.1, 0.9]),
            None,
            Some([0.3, 0.4]),
            Some([0.4, 0.6]),
            Some([0.5, 0.6]),
        ];
        assert_eq!(frontier(&highest), [[0.1, 0.9], [0.5, 0.6]]);
        assert_eq!(frontier(&[None, None]), [[0.0; 2]; 0]);
    }
}
