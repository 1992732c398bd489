//! Soft maxima over a pool.

use clip_filter_vectors::{Rows, SoftPool};

use crate::world::{Random, assert_close, dot64, rows};

fn soft_maximum(values: &[f64], temperature: f64) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values
        .iter()
        .map(|v| ((v - largest) / temperature).exp())
        .sum();
    largest + temperature * sum.ln()
}

fn found(of: Rows<'_>, pool: Rows<'_>, own: &[Option<f32>], t: f32, threads: usize) -> Vec<f32> {
    let pool = SoftPool {
        rows: pool,
        temperature: t,
    };
    pool.soft_maxima(of, own, threads)
}

#[test]
fn agree_with_brute_force_for_any_number_of_threads() {
    let random = Random::new(21);
    for (count, others, dim) in [
        (0, 0, 4),
        (1, 1, 1),
        (2, 3, 5),
        (255, 258, 8),
        (700, 300, 33),
        (3, 0, 2),
    ] {
        for temperature in [0.01, 1.0] {
            let (values, pool) = (random.cell(count, dim), random.cell(others, dim));
            let (values, pool) = (rows(&values, dim), rows(&pool, dim));
            // Every third row brings a product of its own.
            let own: Vec<Option<f32>> = (0..count).map(|i| (i % 3 == 1).then_some(0.9)).collect();
            let expected: Vec<f64> = (0..count)
                .map(|i| {
                    let products = (0..others).map(|j| dot64(values.row(i), pool.row(j)));
                    let products = products.chain(own[i].map(f64::from));
                    soft_maximum(&products.collect::<Vec<_>>(), f64::from(temperature))
                })
                .map(|value| {
                    if value.is_nan() {
                        f64::NEG_INFINITY
                    } else {
                        value
                    }
                })
                .collect();
            let what = format!("{count} x {others} of {dim} at {temperature}");
            let one = found(values, pool, &own, temperature, 1);
            assert_close(&one, &expected, &what);
            for threads in [2, 7] {
                let more = found(values, pool, &own, temperature, threads);
                assert_eq!(more, one, "{what}, {threads} threads");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_value_whatever_rows_are_beside_it() {
    let random = Random::new(22);
    let (values, pool) = (random.cell(600, 48), random.cell(700, 48));
    let (values, pool) = (rows(&values, 48), rows(&pool, 48));
    let all = found(values, pool, &[None; 600], 0.01, 2);
    for row in [0, 1, 255, 256, 299, 598] {
        let alone = found(values.slice(row..row + 2), pool, &[None; 2], 0.01, 1);
        assert_eq!(alone[..], all[row..row + 2], "row {row}");
    }
}

/// A row whose best partner is far below the best of its neighbours must not lose its sum.
#[test]
fn rows_of_very_different_size_keep_their_sums() {
    let (images, texts) = ([1.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.999, 0.0]);
    let found = found(rows(&images, 2), rows(&texts, 2), &[None; 2], 0.001, 1);
    let expected =
        [1.0f64, -1.0].map(|image| soft_maximum(&[image, image * f64::from(0.999f32)], 0.001));
    assert_close(&found, &expected, "images");
}
