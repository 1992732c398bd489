//! Herding.

use clip_filter_vectors::{herd, mean};

use crate::world::{Random, budget, rows};

#[test]
fn picks_are_those_of_the_definition() {
    let random = Random::new(31);
    for (len, dim) in [(1, 1), (2, 3), (30, 5), (90, 17)] {
        let values = random.values(len * dim);
        let cell = rows(&values, dim);
        let target = mean(cell);
        let mut sum = vec![0.0f64; dim];
        for (picked, row) in herd(cell, &target, len, budget(0, 1))
            .into_iter()
            .enumerate()
        {
            let gap = |row: usize| -> f64 {
                let next = (picked + 1) as f64;
                let parts = (0..dim)
                    .map(|d| f64::from(target[d]) - (sum[d] + f64::from(cell.row(row)[d])) / next);
                parts.map(|part| part * part).sum()
            };
            // Rows that were picked before are not better only because they may not be picked again.
            let before = herd(cell, &target, picked, budget(0, 1));
            let best = (0..len)
                .filter(|row| !before.contains(row))
                .map(gap)
                .fold(f64::INFINITY, f64::min);
            assert!(gap(row) <= best + 1e-6, "pick {picked} of {len}: row {row}");
            (0..dim).for_each(|d| sum[d] += f64::from(cell.row(row)[d]));
        }
    }
}

#[test]
fn products_beforehand_or_one_at_a_time_pick_the_same() {
    let random = Random::new(32);
    for (len, dim) in [(0, 3), (1, 3), (300, 24), (1_100, 33)] {
        let mut values = random.values(len * dim);
        clip_filter_vectors::normalise(&mut values, dim);
        let cell = rows(&values, dim);
        let target = mean(cell);
        let expected = herd(cell, &target, len / 3, budget(1 << 30, 1));
        assert_eq!(expected.len(), len / 3);
        assert_eq!(herd(cell, &target, len / 3, budget(1 << 30, 3)), expected);
        assert_eq!(herd(cell, &target, len / 3, budget(0, 2)), expected);
    }
}

#[test]
fn equal_rows_are_picked_from_the_first_on() {
    let values = [1.0, 0.0].repeat(6);
    let cell = rows(&values, 2);
    assert_eq!(herd(cell, &[1.0, 0.0], 4, budget(1 << 20, 1)), [0, 1, 2, 3]);
    assert_eq!(herd(cell, &[1.0, 0.0], 9, budget(0, 1)), [0, 1, 2, 3, 4, 5]);
}
