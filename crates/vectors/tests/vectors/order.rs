//! Similarity to the rows that stand before.

use clip_filter_vectors::{descending_ranks, nearest_better};

use crate::world::{BUDGETS, Random, Reading, assert_close, budget, dot64, rows};

#[test]
fn agrees_with_brute_force_for_any_budget() {
    let random = Random::new(11);
    for len in [0, 1, 2, 40, 275] {
        for dim in [1, 7, 32] {
            let values = random.cell(len, dim);
            let cell = rows(&values, dim);
            // Some ranks are shared.
            let rank: Vec<u32> = (0..len).map(|_| random.below(len / 2 + 1) as u32).collect();
            let best = |row: usize| {
                let before = (0..len).filter(|other| rank[*other] < rank[row]);
                let products = before.map(|other| dot64(cell.row(row), cell.row(other)));
                products.fold(-1.0, f64::max).min(1.0)
            };
            let brute: Vec<f64> = (0..len).map(best).collect();
            let expected = nearest_better(&cell, &rank, budget(1 << 30, 1)).unwrap();
            let what = format!("{len} rows of {dim}");
            assert_close(&expected, &brute, &what);
            for (bytes, threads) in BUDGETS {
                let source = Reading::new(cell);
                let found = nearest_better(&source, &rank, budget(bytes, threads)).unwrap();
                assert_eq!(found, expected, "{what}, {bytes} bytes, {threads} threads");
            }
        }
    }
}

#[test]
fn more_keys_than_a_tile_are_all_seen() {
    let random = Random::new(12);
    let (len, dim) = (2_300, 4);
    let values = random.cell(len, dim);
    let cell = rows(&values, dim);
    let rank: Vec<u32> = (0..len as u32).rev().collect();
    let found = nearest_better(&cell, &rank, budget(1 << 24, 2)).unwrap();
    for row in [0, 1_000, 2_040, 2_297] {
        let after = (row + 1..len).map(|other| dot64(cell.row(row), cell.row(other)));
        assert_close(
            &found[row..=row],
            &[after.fold(-1.0, f64::max).min(1.0)],
            "a row",
        );
    }
    assert_eq!(found[len - 1], -1.0);
}

#[test]
fn answers_stay_between_minus_one_and_one() {
    let values = [3.0, 4.0, 3.0, 4.0, -30.0, -40.0];
    let found = nearest_better(&rows(&values, 2), &[0, 1, 2], budget(1 << 20, 1)).unwrap();
    assert_eq!(found, [-1.0, 1.0, -1.0]);
}

#[test]
fn ranks_descend_and_ties_keep_their_order() {
    assert_eq!(
        descending_ranks(&[0.5, 0.9, 0.5, -1.0, 0.9]),
        [2, 0, 3, 4, 1]
    );
    assert!(descending_ranks(&[]).is_empty());
}
