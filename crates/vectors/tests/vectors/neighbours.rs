//! Mean distances to the nearest neighbours.

use std::sync::atomic::Ordering::Relaxed;

use clip_filter_vectors::{RowSource, Rows, nearest_distances};

use crate::world::{BUDGETS, Random, Reading, assert_close, budget, distance64, rows};

fn brute(cell: Rows<'_>, neighbours: usize) -> Vec<Option<f64>> {
    let mean = |row: usize| {
        let others = (0..cell.len()).filter(|other| *other != row);
        let mut distances: Vec<f64> = others
            .map(|other| distance64(cell.row(row), cell.row(other)))
            .collect();
        distances.sort_by(f64::total_cmp);
        distances.truncate(neighbours);
        let sum: f64 = distances.iter().sum();
        (!distances.is_empty()).then(|| sum / distances.len() as f64)
    };
    (0..cell.len()).map(mean).collect()
}

#[track_caller]
fn check(cell: Rows<'_>, neighbours: usize, what: &str) {
    let found = nearest_distances(&cell, neighbours, budget(1 << 24, 2)).unwrap();
    let expected = brute(cell, neighbours);
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        expected.iter().map(Option::is_some).collect::<Vec<_>>(),
        "{what}"
    );
    let found: Vec<f32> = found.into_iter().flatten().collect();
    let expected: Vec<f64> = expected.into_iter().flatten().collect();
    assert_close(&found, &expected, what);
}

#[test]
fn agree_with_brute_force_on_all_sizes() {
    let random = Random::new(1);
    for len in [0, 1, 2, 3, 17, 130, 401] {
        for dim in [1, 3, 16, 33] {
            let values = random.cell(len, dim);
            for neighbours in [0, 1, 5, 100] {
                let what = format!("{len} rows of {dim}, {neighbours} neighbours");
                check(rows(&values, dim), neighbours, &what);
            }
        }
    }
}

#[test]
fn more_keys_than_a_tile_are_all_seen() {
    let random = Random::new(2);
    let (len, dim) = (2_500, 5);
    let values = random.cell(len, dim);
    check(rows(&values, dim), 7, "2,500 rows");
}

#[test]
fn rows_need_not_have_unit_length() {
    let random = Random::new(3);
    let (len, dim) = (200, 9);
    let mut values = random.values(len * dim);
    values
        .chunks_mut(dim)
        .enumerate()
        .for_each(|(row, values)| {
            values.iter_mut().for_each(|v| *v *= 0.01 * row as f32);
        });
    check(rows(&values, dim), 12, "lengths from 0 to 6");
}

/// Far from the origin the products have lost all digits of the distances.
#[test]
fn close_rows_are_measured_by_their_differences() {
    let random = Random::new(4);
    let (len, dim) = (300, 24);
    let mut values = random.values(len * dim);
    values.iter_mut().for_each(|v| *v = 1.0 + 1e-4 * *v);
    for neighbours in [1, 4, 60] {
        check(rows(&values, dim), neighbours, "a tight cell");
    }
}

#[test]
fn equal_rows_are_neighbours_at_distance_zero() {
    let values = vec![0.25; 900 * 16];
    let found = nearest_distances(&rows(&values, 16), 10, budget(1 << 20, 2)).unwrap();
    assert_eq!(found, vec![Some(0.0); 900]);
}

#[test]
fn threads_memory_and_source_change_nothing() {
    let random = Random::new(5);
    for (len, dim, neighbours) in [(150, 7, 4), (333, 20, 40), (2, 3, 1), (400, 64, 100)] {
        let values = random.cell(len, dim);
        let cell = rows(&values, dim);
        let expected = nearest_distances(&cell, neighbours, budget(1 << 30, 1)).unwrap();
        for (bytes, threads) in BUDGETS {
            let budget = budget(bytes, threads);
            let what = format!("{len} rows, {bytes} bytes, {threads} threads");
            assert_eq!(
                nearest_distances(&cell, neighbours, budget).unwrap(),
                expected,
                "{what}"
            );
            assert_eq!(
                nearest_distances(&Reading::new(cell), neighbours, budget).unwrap(),
                expected,
                "{what}, read"
            );
        }
    }
}

#[test]
fn a_cell_larger_than_the_budget_is_never_held() {
    let random = Random::new(6);
    let (len, dim, bytes) = (3_000, 32, 1 << 16);
    let values = random.cell(len, dim);
    let source = Reading::new(rows(&values, dim));
    nearest_distances(&source, 4, budget(bytes, 2)).unwrap();
    let longest = source.longest.load(Relaxed);
    assert!(
        longest > 1 && longest * dim * 4 <= bytes,
        "{longest} rows at a time"
    );
}

#[test]
fn a_row_that_is_not_finite_is_nobodys_neighbour() {
    let random = Random::new(7);
    let (len, dim) = (40, 6);
    let mut values = random.cell(len, dim);
    values[10 * dim] = f32::NAN;
    let found = nearest_distances(&rows(&values, dim), 3, budget(1 << 20, 1)).unwrap();
    values.drain(10 * dim..11 * dim);
    let mut expected = nearest_distances(&rows(&values, dim), 3, budget(1 << 20, 1)).unwrap();
    assert!(found[10].unwrap().is_nan());
    expected.insert(10, found[10]);
    let bits = |all: &[Option<f32>]| all.iter().map(|v| v.unwrap().to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&expected));
}

#[test]
fn a_failing_source_is_an_error() {
    let values = Random::new(8).cell(200, 8);
    let source = Reading::new(rows(&values, 8));
    source.left.store(3, Relaxed);
    let error = nearest_distances(&source, 4, budget(4_096, 2)).unwrap_err();
    assert!(error.ends_with("are gone"), "{error}");
    assert!(!source.is_empty());
}
