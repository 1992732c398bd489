//! Target sets, adapters, means and medians.

use std::sync::atomic::Ordering::Relaxed;

use clip_filter_vectors::{
    MomentSum, TargetRows, apply_linear, distances_to, mean, mean_of_cell, median, moderate,
};

use crate::world::{BUDGETS, Random, Reading, assert_close, budget, distance64, dot64, rows};

#[test]
fn targets_agree_with_brute_force_however_they_are_pushed() {
    let random = Random::new(51);
    for (len, targets, dim) in [(1, 1, 1), (130, 2_100, 5), (270, 600, 33), (4, 0, 3)] {
        let (values, of) = (random.cell(len, dim), random.cell(targets, dim));
        let (cell, all) = (rows(&values, dim), rows(&of, dim));
        let (mut kept, mut sum) = (TargetRows::new(dim), MomentSum::new(dim));
        let mut pieces = MomentSum::new(dim);
        sum.push(all);
        for row in 0..targets {
            kept.push(all.slice(row..row + 1));
            pieces.push(all.slice(row..row + 1));
        }
        assert_eq!(kept.len(), targets);
        let (moment, of_pieces) = (sum.finish(), pieces.finish());
        let products = |row: usize| (0..targets).map(move |t| dot64(cell.row(row), all.row(t)));
        let largest: Vec<f64> = (0..len)
            .map(|row| products(row).fold(f64::NEG_INFINITY, f64::max))
            .collect();
        let squares: Vec<f64> = (0..len)
            .map(|row| products(row).map(|p| p * p).sum())
            .collect();
        let what = format!("{targets} target rows of {dim}");
        assert_close(&kept.largest(cell, 2), &largest, &what);
        assert_eq!(kept.largest(cell, 1), kept.largest(cell, 3));
        let norms: Vec<f64> = squares.iter().map(|s| s.sqrt()).collect();
        assert_close(&moment.norm2(cell, 2), &norms, &what);
        let shares: Vec<f64> = squares.iter().map(|s| s / targets.max(1) as f64).collect();
        assert_close(&moment.variance_alignment(cell, 2), &shares, &what);
        assert_eq!(moment.norm2(cell, 1), of_pieces.norm2(cell, 3));
    }
}

#[test]
fn adapters_map_and_normalise() {
    let random = Random::new(52);
    for (len, inputs, outputs) in [(0, 3, 2), (1, 1, 1), (300, 7, 5), (700, 33, 64)] {
        let (values, weight, bias) = (
            random.values(len * inputs),
            random.values(inputs * outputs),
            random.values(outputs),
        );
        let found = apply_linear(rows(&values, inputs), &weight, &bias, 2);
        assert_eq!(
            found,
            apply_linear(rows(&values, inputs), &weight, &bias, 1)
        );
        let mut expected = Vec::new();
        for row in values.chunks(inputs) {
            let mapped = weight.chunks(inputs).zip(&bias);
            let mapped: Vec<f64> = mapped.map(|(w, b)| dot64(w, row) + f64::from(*b)).collect();
            let length = mapped.iter().map(|v| v * v).sum::<f64>().sqrt();
            expected.extend(mapped.iter().map(|v| v / length));
        }
        assert_close(&found, &expected, "mapped rows");
    }
    assert_eq!(
        apply_linear(rows(&[1.0, 2.0], 2), &[0.0; 4], &[0.0; 2], 1),
        [0.0, 0.0]
    );
}

#[test]
fn means_and_distances_from_their_median() {
    let random = Random::new(53);
    for (len, dim) in [(0, 2), (1, 1), (2, 5), (301, 12)] {
        let values = random.cell(len, dim);
        let cell = rows(&values, dim);
        let centre = mean(cell);
        let column = |d: usize| (0..len).map(|row| f64::from(cell.row(row)[d])).sum::<f64>();
        let columns: Vec<f64> = (0..dim).map(|d| column(d) / len.max(1) as f64).collect();
        assert_close(&centre, &columns, "the mean");
        let distances: Vec<f64> = (0..len)
            .map(|row| distance64(cell.row(row), &centre))
            .collect();
        assert_close(&distances_to(cell, &centre, 2), &distances, "distances");
        let mut sorted = distances.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = if len == 0 {
            0.0
        } else {
            (sorted[(len - 1) / 2] + sorted[len / 2]) / 2.0
        };
        let expected: Vec<f64> = distances.iter().map(|d| (d - middle).abs()).collect();
        for (bytes, threads) in BUDGETS {
            let source = Reading::new(cell);
            assert_eq!(
                mean_of_cell(&source, budget(bytes, threads)).unwrap(),
                centre
            );
            assert_close(
                &moderate(&source, budget(bytes, threads)).unwrap(),
                &expected,
                "moderate",
            );
            assert!(source.longest.load(Relaxed) * dim * 4 <= bytes.max(dim * 4));
        }
    }
}

#[test]
fn the_median_of_an_even_number_is_between_the_middle_two() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0]), Some(3.0));
    assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
    assert_eq!(median(&[9.0, 1.0, 4.0, 2.0, 2.0, 8.0]), Some(3.0));
}
