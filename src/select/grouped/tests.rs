//! The best of groups beside a sort.

use super::*;
use crate::score::{
    ScoreHistogram,
    seeded::{Seeded, narrow},
};

fn top(rows: &[(u32, f32)], quotas: &[u64], bits: u32) -> Vec<bool> {
    let mut histogram = GroupedHistogram::with_bits(quotas.len(), bits);
    for &(group, score) in rows {
        histogram.push(group, score);
    }
    let mut boundary = histogram.refine(quotas);
    let mut passes = 1;
    let mut cuts = loop {
        for &(group, score) in rows {
            boundary.push(group, score);
        }
        passes += 1;
        match boundary.refine() {
            Refined::Again(finer) => boundary = finer,
            Refined::Exact(cuts) => break cuts,
        }
    };
    assert_eq!(passes, KEY_BITS.div_ceil(bits));
    rows.iter()
        .map(|&(group, score)| cuts.admit(group, score))
        .collect()
}

/// What a stable sort of every group keeps.
fn sorted_top(rows: &[(u32, f32)], quotas: &[u64]) -> Vec<bool> {
    let mut stays = vec![false; rows.len()];
    for (group, &quota) in quotas.iter().enumerate() {
        let mut of_group: Vec<usize> = (0..rows.len())
            .filter(|&row| rows[row].0 as usize == group)
            .collect();
        of_group.sort_by(|&a, &b| rows[b].1.partial_cmp(&rows[a].1).unwrap());
        for row in of_group.into_iter().take(usize::try_from(quota).unwrap()) {
            stays[row] = true;
        }
    }
    stays
}

/// Rows of unequal groups; few levels make ties, a narrow range puts all scores under one boundary.
fn rows(seed: u64, groups: u64) -> Vec<(u32, f32)> {
    let mut random = Seeded::new(seed);
    let count = random.below(400);
    (0..count)
        .map(|_| {
            let group = random.below(groups).min(random.below(groups));
            let score = match seed % 4 {
                0 => random.below(5) as f64 / 5.0 - 0.4,
                1 => 0.25 + random.below(1000) as f64 * 1e-8,
                2 => 0.0,
                _ => random.normal() * 10f64.powf(random.normal() * 4.0),
            };
            (u32::try_from(group).unwrap(), narrow(score))
        })
        .collect()
}

#[test]
fn equals_a_stable_sort_of_every_group_in_any_number_of_passes() {
    for seed in 0..40 {
        let groups = 1 + seed % 7;
        let rows = rows(seed, groups);
        let mut random = Seeded::new(seed + 1000);
        let quotas: Vec<u64> = (0..groups).map(|_| random.below(90)).collect();
        let expected = sorted_top(&rows, &quotas);
        for bits in [16, 11, 8, 4] {
            assert_eq!(
                top(&rows, &quotas, bits),
                expected,
                "seed {seed}, {bits} bits"
            );
        }
    }
}

#[test]
fn one_group_is_the_plain_budget() {
    for seed in 0..12 {
        let rows = rows(seed, 1);
        for keep in [0, 1, rows.len() as u64 / 3, rows.len() as u64, 1000] {
            let mut coarse = ScoreHistogram::default();
            rows.iter().for_each(|row| coarse.push(row.1));
            let mut fine = coarse.refine(keep);
            rows.iter().for_each(|row| fine.push(row.1));
            let mut cut = fine.cut();
            let plain: Vec<bool> = rows.iter().map(|row| cut.admit(row.1)).collect();
            assert_eq!(top(&rows, &[keep], 11), plain, "seed {seed}, keep {keep}");
        }
    }
}

#[test]
fn rows_of_unknown_groups_are_neither_counted_nor_kept() {
    let rows = [(0, 0.1), (7, 0.9), (u32::MAX, 0.9), (1, 0.2)];
    assert_eq!(top(&rows, &[5, 5], 8), [true, false, false, true]);
    let mut histogram = GroupedHistogram::new(2);
    rows.iter()
        .for_each(|&(group, score)| histogram.push(group, score));
    assert_eq!(histogram.counts(), [1, 1]);
    // A budget is missing for the second group.
    let Refined::Exact(mut cuts) = histogram.refine(&[1]).refine() else {
        panic!("few groups take two passes");
    };
    assert!(!cuts.admit(1, 0.2));
}

#[test]
fn memory_stays_within_its_bound() {
    for (groups, bits) in [
        (0, 16),
        (128, 16),
        (129, 11),
        (1000, 11),
        (4096, 11),
        (4097, 8),
        (32_769, 4),
    ] {
        let histogram = GroupedHistogram::new(groups);
        assert_eq!(histogram.tables.bits, bits, "{groups} groups");
        assert!(histogram.tables.counts.len() <= MOST_COUNTERS);
    }
}
