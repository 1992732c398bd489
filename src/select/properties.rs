//! Laws of a selection, over random rows in random shards.

use super::{Bounds, Cuts, GroupedHistogram, Keep, Refined, SelectorState, balance::Amount};
use crate::{
    score::{
        Objective, ScoreHistogram,
        seeded::{Seeded, narrow},
    },
    selection::Selection,
};

const SEEDS: u64 = 40;
const GROUPS: [&str; 4] = ["cat", "dog", "horse", "ship"];
const WEIGHT: f32 = 0.1;

#[derive(Debug, Clone, Copy)]
struct Row {
    group: usize,
    sas: f32,
    sds: Option<f32>,
}

/// Shards of unequal size; seeds differ in whether there are ties, outliers and missing diversities.
fn shards(random: &mut Seeded, seed: u64) -> Vec<Vec<Row>> {
    let row = |random: &mut Seeded| {
        let sas = match seed % 3 {
            0 => random.below(12) as f64 / 12.0,
            1 => 0.2 + 0.05 * random.normal(),
            _ => 0.1 * random.normal() * 10f64.powf(random.normal()),
        };
        let sds = (random.below(8) > 0).then(|| match seed % 2 {
            0 => random.below(5) as f64 / 5.0,
            _ => random.uniform(),
        });
        Row {
            group: random.index(GROUPS.len()).min(random.index(GROUPS.len())),
            sas: narrow(sas),
            sds: sds.map(narrow),
        }
    };
    let count = 1 + random.below(6);
    (0..count)
        .map(|_| (0..random.below(60)).map(|_| row(random)).collect())
        .collect()
}

fn fraction(random: &mut Seeded) -> Keep {
    Keep::Fraction {
        numerator: 1 + random.below(100),
        denominator: 100,
    }
}

fn state_of<'a>(keep: Keep, rows: impl IntoIterator<Item = &'a Row>) -> SelectorState {
    let mut state = SelectorState::new(keep);
    for row in rows {
        state
            .push(Some(GROUPS[row.group]), row.sas, row.sds)
            .unwrap();
    }
    state
}

fn merged(states: &[&SelectorState]) -> SelectorState {
    let mut sum = states[0].clone();
    for state in &states[1..] {
        sum.merge(state).unwrap();
    }
    sum
}

fn builder_rows(shards: &[Vec<Row>]) -> impl Iterator<Item = u64> + '_ {
    shards.iter().map(|shard| shard.len() as u64)
}

/// Every row in row order with its score.
fn scored<'a>(
    shards: &'a [Vec<Row>],
    objective: &'a Objective,
) -> impl Iterator<Item = (usize, usize, u32, f32)> + 'a {
    shards.iter().enumerate().flat_map(move |(shard, rows)| {
        rows.iter().enumerate().map(move |(number, row)| {
            let group = u32::try_from(row.group).unwrap();
            (shard, number, group, objective.score(row.sas, row.sds))
        })
    })
}

/// The plain budget.
fn top(shards: &[Vec<Row>], objective: &Objective, budget: u64) -> Selection {
    let mut coarse = ScoreHistogram::default();
    scored(shards, objective).for_each(|(.., score)| coarse.push(score));
    let mut fine = coarse.refine(budget);
    scored(shards, objective).for_each(|(.., score)| fine.push(score));
    let mut cut = fine.cut();
    let mut selection = Selection::builder(builder_rows(shards));
    for (shard, row, _, score) in scored(shards, objective) {
        if cut.admit(score) {
            selection.select(shard, row);
        }
    }
    selection.finish()
}

/// A budget per group.
fn top_of_groups(shards: &[Vec<Row>], objective: &Objective, quotas: &[u64]) -> Selection {
    let mut cuts = cuts(shards, objective, quotas);
    let mut selection = Selection::builder(builder_rows(shards));
    for (shard, row, group, score) in scored(shards, objective) {
        if cuts.admit(group, score) {
            selection.select(shard, row);
        }
    }
    selection.finish()
}

fn cuts(shards: &[Vec<Row>], objective: &Objective, quotas: &[u64]) -> Cuts {
    let mut histogram = GroupedHistogram::new(quotas.len());
    scored(shards, objective).for_each(|(_, _, group, score)| histogram.push(group, score));
    let mut boundary = histogram.refine(quotas);
    loop {
        scored(shards, objective).for_each(|(_, _, group, score)| boundary.push(group, score));
        match boundary.refine() {
            Refined::Again(finer) => boundary = finer,
            Refined::Exact(cuts) => return cuts,
        }
    }
}

/// The rows kept as a selector gives them, of a state and the shards it has seen.
fn selected(state: &SelectorState, shards: &[Vec<Row>]) -> Selection {
    top(shards, &state.objective(WEIGHT), state.budget())
}

/// Quotas for all of [`GROUPS`], also those that no row has.
fn quotas(state: &SelectorState, bounds: &Bounds) -> Vec<u64> {
    let known: Vec<&String> = state.groups().keys().collect();
    let shares = state.quotas(bounds).unwrap();
    GROUPS
        .iter()
        .map(|group| {
            let place = known.iter().position(|known| known == group);
            place.map_or(0, |place| shares[place])
        })
        .collect()
}

#[test]
fn the_order_of_rows_and_their_partition_do_not_matter() {
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        let shards = shards(&mut random, seed);
        let keep = fraction(&mut random);
        let mut rows: Vec<Row> = shards.concat();
        let batch = state_of(keep, &rows);
        random.shuffle(&mut rows);
        assert_eq!(state_of(keep, &rows), batch, "seed {seed}");
        let parts: Vec<SelectorState> = rows
            .chunks(1 + random.index(40))
            .map(|rows| state_of(keep, rows))
            .collect();
        let mut parts: Vec<&SelectorState> = parts.iter().collect();
        random.shuffle(&mut parts);
        let empty = SelectorState::new(keep);
        parts.push(&empty);
        assert_eq!(merged(&parts), batch, "seed {seed}");
    }
}

#[test]
fn merging_is_associative_and_commutative() {
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        let keep = fraction(&mut random);
        let [a, b, c] = [0, 1, 2].map(|_| state_of(keep, &shards(&mut random, seed).concat()));
        let left = merged(&[&merged(&[&a, &b]), &c]);
        assert_eq!(left, merged(&[&a, &merged(&[&b, &c])]), "seed {seed}");
        assert_eq!(left, merged(&[&c, &b, &a]), "seed {seed}");
    }
}

#[test]
fn pushing_new_shards_to_a_saved_state_is_selecting_all_at_once() {
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        let shards = shards(&mut random, seed);
        let keep = fraction(&mut random);
        let batch = state_of(keep, shards.iter().flatten());
        let mut state = SelectorState::new(keep);
        for shard in &shards {
            state = SelectorState::from_json(&state.to_json().unwrap()).unwrap();
            state.merge(&state_of(keep, shard)).unwrap();
        }
        assert_eq!(state, batch, "seed {seed}");
        assert_eq!(
            selected(&state, &shards),
            selected(&batch, &shards),
            "seed {seed}"
        );
        let free = Bounds::default();
        let of_groups = |state: &SelectorState| {
            top_of_groups(&shards, &state.objective(WEIGHT), &quotas(state, &free))
        };
        assert_eq!(of_groups(&state), of_groups(&batch), "seed {seed}");
    }
}

#[test]
fn the_selection_is_the_top_of_a_sort_and_exact_to_the_row() {
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        let shards = shards(&mut random, seed);
        let state = state_of(fraction(&mut random), shards.iter().flatten());
        let objective = state.objective(WEIGHT);
        let selection = selected(&state, &shards);
        assert_eq!(selection.rows(), state.budget(), "seed {seed}");
        let mut sorted: Vec<_> = scored(&shards, &objective).collect();
        sorted.sort_by(|a, b| b.3.partial_cmp(&a.3).unwrap());
        sorted.truncate(usize::try_from(state.budget()).unwrap());
        let all_in = sorted
            .iter()
            .all(|&(shard, row, ..)| selection.contains(shard, row));
        assert!(all_in, "seed {seed}");
    }
}

#[test]
fn quotas_are_met_to_the_row_within_their_bounds() {
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        let shards = shards(&mut random, seed);
        let state = state_of(fraction(&mut random), shards.iter().flatten());
        let bounds = Bounds {
            min: Some(Amount::Rows(state.budget() / 10)),
            max: (seed % 2 == 0).then(|| "0.4".parse().unwrap()),
        };
        let quotas = quotas(&state, &bounds);
        let selection = top_of_groups(&shards, &state.objective(WEIGHT), &quotas);
        let mut kept = [0u64; GROUPS.len()];
        for (shard, row) in selection.iter() {
            kept[shards[shard][row].group] += 1;
        }
        assert_eq!(kept[..], quotas, "seed {seed}");
        for (group, &kept) in GROUPS.iter().zip(&kept) {
            let rows = state.groups().get(*group).copied().unwrap_or(0);
            let max = bounds.max.map_or(rows, |max| max.rows(state.budget()));
            assert!(
                kept >= rows.min(state.budget() / 10) && kept <= max,
                "seed {seed}"
            );
        }
        if bounds.max.is_none() {
            assert_eq!(selection.rows(), state.budget(), "seed {seed}");
        }
    }
}

#[test]
fn a_larger_budget_drops_no_row_that_a_smaller_one_kept() {
    for seed in 0..SEEDS {
        let mut random = Seeded::new(seed);
        let shards = shards(&mut random, seed);
        let rows: u64 = builder_rows(&shards).sum();
        let state = |keep: u64| state_of(Keep::Rows(keep), shards.iter().flatten());
        let objective = state(0).objective(WEIGHT);
        let mut smaller = [
            Selection::builder([]).finish(),
            Selection::builder([]).finish(),
        ];
        for keep in (0..=rows).step_by(1 + random.index(12)) {
            let quotas = quotas(&state(keep), &Bounds::default());
            let larger = [
                top(&shards, &objective, keep),
                top_of_groups(&shards, &objective, &quotas),
            ];
            for (smaller, larger) in smaller.iter().zip(&larger) {
                assert_eq!(larger.rows(), keep, "seed {seed}");
                let stays = |(shard, row)| larger.contains(shard, row);
                assert!(smaller.iter().all(stays), "seed {seed}, keep {keep}");
            }
            smaller = larger;
        }
    }
}
