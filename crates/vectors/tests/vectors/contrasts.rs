//! Soft maxima of rows and columns.

use clip_filter_vectors::contrast;

use crate::world::{BUDGETS, Random, Reading, assert_close, budget, dot64, rows};

fn soft_maximum(values: &[f64], temperature: f64) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values
        .iter()
        .map(|v| ((v - largest) / temperature).exp())
        .sum();
    largest + temperature * sum.ln()
}

#[test]
fn agree_with_brute_force_for_any_budget() {
    let random = Random::new(21);
    for (images, texts, dim) in [
        (0, 0, 4),
        (1, 1, 1),
        (2, 3, 5),
        (255, 258, 8),
        (700, 300, 33),
        (3, 0, 2),
    ] {
        for temperature in [0.01, 1.0] {
            let (image_values, text_values) = (random.cell(images, dim), random.cell(texts, dim));
            let (image_rows, text_rows) = (rows(&image_values, dim), rows(&text_values, dim));
            let product = |i: usize, j: usize| dot64(image_rows.row(i), text_rows.row(j));
            let t = f64::from(temperature);
            let of_images: Vec<f64> = (0..images)
                .map(|i| soft_maximum(&(0..texts).map(|j| product(i, j)).collect::<Vec<_>>(), t))
                .collect();
            let of_texts: Vec<f64> = (0..texts)
                .map(|j| soft_maximum(&(0..images).map(|i| product(i, j)).collect::<Vec<_>>(), t))
                .collect();
            let what = format!("{images} x {texts} of {dim} at {temperature}");
            let expected =
                contrast(&image_rows, &text_rows, temperature, budget(1 << 30, 1)).unwrap();
            assert_close(&expected.of_images, &of_images, &what);
            assert_close(&expected.of_texts, &of_texts, &what);
            for (bytes, threads) in BUDGETS {
                let (images, texts) = (Reading::new(image_rows), Reading::new(text_rows));
                let found = contrast(&images, &texts, temperature, budget(bytes, threads));
                assert_eq!(
                    found.unwrap(),
                    expected,
                    "{what}, {bytes} bytes, {threads} threads"
                );
            }
        }
    }
}

/// A row whose best text is far below the best of its neighbours must not lose its sum.
#[test]
fn rows_of_very_different_size_keep_their_sums() {
    let images = [1.0, 0.0, -1.0, 0.0];
    let texts = [1.0, 0.0, 0.999, 0.0];
    let found = contrast(
        &rows(&images, 2),
        &rows(&texts, 2),
        0.001,
        budget(1 << 20, 1),
    )
    .unwrap();
    let expected =
        [1.0f64, -1.0].map(|image| soft_maximum(&[image, image * f64::from(0.999f32)], 0.001));
    assert_close(&found.of_images, &expected, "images");
}
