//! Which rows the galleries show, found in one pass with a few rows in memory.

use super::{
    case::{Case, CaseRows, RowRef},
    fate::Rule,
};
use crate::{schema::ScoreColumn, score::random_number};

/// Rows of a gallery.
const SHOWN: usize = 12;

/// The rows of highest value of those that were pushed; of equal ones the first.
pub(super) struct Highest {
    most: usize,
    rows: Vec<(f64, RowRef)>,
}

impl Highest {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, value: f64, row: RowRef) {
        if let Some((last, _)) = self.rows.last()
            && self.rows.len() >= self.most
            && value <= *last
        {
            return;
        }
        let place = self.rows.partition_point(|(other, _)| *other >= value);
        self.rows.insert(place, (value, row));
        self.rows.truncate(self.most);
    }

    /// Highest first.
    pub(super) fn rows(self) -> Vec<RowRef> {
        self.rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// One gallery under construction.
struct Pick {
    id: &'static str,
    title: &'static str,
    note: String,
    rows: Highest,
}

/// All galleries under construction.
pub(super) struct Picks {
    order: usize,
    diverse: Option<usize>,
    redundant: Option<(usize, f64)>,
    seed: u64,
    picks: Vec<Pick>,
}

/// A gallery and its rows.
pub(super) struct Picked {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) rows: Vec<RowRef>,
}

const BEST: usize = 0;
const WORST: usize = 1;
const JUST_ABOVE: usize = 2;
const JUST_BELOW: usize = 3;
const RANDOM_KEPT: usize = 4;
const RANDOM_CUT: usize = 5;
const DIVERSE: usize = 6;
const REDUNDANT: usize = 7;

impl Picks {
    pub(super) fn of(case: &Case<'_>) -> Self {
        let names = case.score_names();
        let place = |column: ScoreColumn| names.iter().position(|name| *name == column.name());
        let diverse = place(ScoreColumn::SDS);
        let repeated = place(ScoreColumn::DUP_MAX_SIM).map(|column| (column, 1.0));
        let redundant = repeated.or(diverse.map(|column| (column, -1.0)));
        let seed = case.method.seed;
        let order = case.order_name();
        let mut picks = by_order(order, seed);
        if diverse.is_some() {
            let note = "The rows farthest from their neighbours: highest sds.";
            picks.push(pick("diverse", "Most diverse", note.to_owned()));
            let note = match repeated {
                Some(_) => "The rows most like another one of their cell: highest dup_max_sim.",
                None => "The rows nearest to their neighbours: lowest sds.",
            };
            picks.push(pick("redundant", "Most redundant", note.to_owned()));
        }
        Self {
            order: case.order(),
            diverse,
            redundant,
            seed,
            picks,
        }
    }

    pub(super) fn look_at(&mut self, stretch: &CaseRows<'_>) {
        for position in 0..stretch.len() {
            let fate = stretch.fates[position];
            if matches!(fate, Some(Rule::EarlyCondition | Rule::Bad)) {
                continue;
            }
            let row = stretch.row(position);
            let order = stretch.score(self.order, position).map(f64::from);
            let mut push = |pick: usize, value: f64| self.picks[pick].rows.push(value, row);
            if let (Some(order), false) = (order, fate == Some(Rule::Condition)) {
                push(BEST, order);
                push(WORST, -order);
                match fate {
                    None => push(JUST_ABOVE, -order),
                    Some(Rule::MinScore | Rule::Budget) => push(JUST_BELOW, order),
                    Some(_) => {}
                }
            }
            let drawn = draw(self.seed, row);
            push(
                if fate.is_none() {
                    RANDOM_KEPT
                } else {
                    RANDOM_CUT
                },
                drawn,
            );
            let score = |column: usize| stretch.score(column, position).map(f64::from);
            if let Some(sds) = self.diverse.and_then(score) {
                push(DIVERSE, sds);
            }
            if let (Some((column, sign)), Some(_)) = (self.redundant, self.diverse)
                && let Some(value) = score(column)
            {
                push(REDUNDANT, sign * value);
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Picked> {
        let picked = self.picks.into_iter().map(|pick| Picked {
            id: pick.id,
            title: pick.title,
            note: pick.note,
            rows: pick.rows.rows(),
        });
        picked.collect()
    }
}

/// The galleries that every selection has, in the order of their constants.
fn by_order(order: &str, seed: u64) -> Vec<Pick> {
    vec![
        pick("best", "Best", format!("The rows of highest {order}.")),
        pick(
            "worst",
            "Worst",
            format!("The good rows of lowest {order}."),
        ),
        pick(
            "just-above",
            "Just above the cut",
            format!("The kept rows of lowest {order}."),
        ),
        pick(
            "just-below",
            "Just below the cut",
            format!(
                "The rows of highest {order} that the threshold, the budget or the solver left out."
            ),
        ),
        pick(
            "random-kept",
            "Kept, at random",
            format!("Drawn with seed {seed}."),
        ),
        pick(
            "random-cut",
            "Cut, at random",
            format!("Good rows that are not kept, drawn with seed {seed}."),
        ),
    ]
}

fn pick(id: &'static str, title: &'static str, note: String) -> Pick {
    Pick {
        id,
        title,
        note,
        rows: Highest::new(SHOWN),
    }
}

/// The same for the same row and seed, whatever the order of rows and the number of threads.
#[expect(clippy::cast_precision_loss, reason = "any number of 53 bits will do")]
pub(super) fn draw(seed: u64, row: RowRef) -> f64 {
    let number = ((row.shard as u64) << 40) ^ row.row.unsigned_abs();
    (random_number(seed ^ random_number(number)) >> 11) as f64
}
