//! Laws of weights, and the published sampling loop beside them.

use super::*;
use crate::score::seeded::Seeded;

/// Scores of one normal hill, as logits.
fn scores(random: &mut Seeded, rows: usize) -> Vec<f32> {
    let score = |random: &mut Seeded| {
        let sum: f64 = (0..12).map(|_| uniform(random)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "a score is that short")]
        {
            (1.5 * (sum - 6.0)) as f32
        }
    };
    (0..rows).map(|_| score(random)).collect()
}

fn uniform(random: &mut Seeded) -> f64 {
    random.below(1 << 53) as f64 / (1u64 << 53) as f64
}

fn of_logits(text: &str) -> SoftCap {
    format!("{text},scale=1").parse().unwrap()
}

fn counted(soft_cap: SoftCap, scores: &[f32]) -> SoftCapHistogram {
    let mut histogram = SoftCapHistogram::new(soft_cap);
    scores.iter().for_each(|&score| histogram.push(score));
    histogram
}

/// Repeats of rows with names.
fn repeated(soft_cap: SoftCap, rows: &[(f32, u64)], total: u64) -> Vec<u32> {
    let scores: Vec<f32> = rows.iter().map(|(score, _)| *score).collect();
    let mut rounding = Rounding::new(counted(soft_cap, &scores).weights(total).unwrap());
    rows.iter()
        .for_each(|&(score, name)| rounding.push(score, name));
    let mut rounding = rounding.refine(total);
    rows.iter()
        .for_each(|&(score, name)| rounding.push(score, name));
    let mut rounded = rounding.finish();
    let each = rows.iter();
    each.map(|&(score, name)| rounded.repeats(score, name))
        .collect()
}

fn named(random: &mut Seeded, rows: usize) -> Vec<(f32, u64)> {
    let scores = scores(random, rows);
    let named = scores.into_iter();
    named
        .map(|score| (score, random_number(random.below(u64::MAX))))
        .collect()
}

#[test]
fn totals_are_exact_and_caps_hold() {
    for seed in 0..40 {
        let mut random = Seeded::new(seed);
        let count = 1 + random.below(300);
        let mut rows = named(&mut random, usize::try_from(count).unwrap());
        if seed % 3 == 0 {
            rows.iter_mut().for_each(|(score, _)| *score = 0.25);
        }
        for (text, cap) in [("softcap:alpha=0.15", 65_535), ("softcap:alpha=2,cap=3", 3)] {
            for total in [0, 1, count / 2, count, count + 1, 2 * count, 3 * count] {
                let found = repeated(of_logits(text), &rows, total);
                let sum: u64 = found.iter().map(|&times| u64::from(times)).sum();
                assert_eq!(sum, total, "seed {seed}, {count} rows, {text}");
                assert!(found.iter().all(|&times| times <= cap), "seed {seed}");
            }
        }
    }
}

#[test]
fn more_than_the_cap_allows_is_refused() {
    let histogram = counted(of_logits("softcap:cap=2"), &[0.0, 1.0]);
    assert!(histogram.weights(4).is_ok());
    let error = histogram.weights(5).unwrap_err().report();
    assert!(error.contains("most times each: 2"), "{error}");
    assert!(counted(SoftCap::default(), &[]).weights(0).is_ok());
}

#[test]
fn the_order_of_rows_decides_nothing() {
    for seed in 0..20 {
        let mut random = Seeded::new(seed);
        let rows = named(&mut random, 200);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        for last in (1..order.len()).rev() {
            let other = usize::try_from(random.below(last as u64 + 1)).unwrap();
            order.swap(last, other);
        }
        let mixed: Vec<(f32, u64)> = order.iter().map(|&row| rows[row]).collect();
        let soft_cap = of_logits("softcap:alpha=0.15");
        let found = repeated(soft_cap, &rows, 317);
        let of_mixed = repeated(soft_cap, &mixed, 317);
        let expected: Vec<u32> = order.iter().map(|&row| found[row]).collect();
        assert_eq!(of_mixed, expected, "seed {seed}");
    }
}

#[test]
fn parts_that_are_merged_are_the_whole() {
    let mut random = Seeded::new(5);
    let scores = scores(&mut random, 1_000);
    let soft_cap = of_logits("softcap:alpha=0.15");
    let whole = counted(soft_cap, &scores);
    let mut merged = counted(soft_cap, &scores[600..]);
    merged.merge(&counted(soft_cap, &scores[..600])).unwrap();
    assert_eq!(merged, whole);
    assert_eq!(merged.weights(700).unwrap(), whole.weights(700).unwrap());
    let other = SoftCapHistogram::new(of_logits("softcap:alpha=0.2"));
    assert!(merged.merge(&other).is_err());
    assert_eq!(merged, whole);
}

#[test]
fn better_rows_are_seen_more_often_and_sums_are_those_of_the_formula() {
    let mut random = Seeded::new(6);
    let scores = scores(&mut random, 5_000);
    let weights = counted(of_logits("softcap:alpha=0.15"), &scores);
    let weights = weights.weights(12_000).unwrap();
    let sum: f64 = scores.iter().map(|&score| weights.weight(score)).sum();
    assert!((sum - 12_000.0).abs() < 1e-6, "{sum}");
    // ln(1 + alpha tau e^s) / alpha, with the tau that the score 0 has.
    let tau = ((0.15 * weights.weight(0.0)).exp() - 1.0) / 0.15;
    for score in [-4.0f32, -1.0, 0.5, 2.0, 4.0] {
        let expected = (0.15 * tau * f64::from(score).exp()).ln_1p() / 0.15;
        let found = weights.weight(score);
        assert!(
            (found / expected - 1.0).abs() < 2e-3,
            "{score}: {found} {expected}"
        );
    }
}

/// The loop as published: draw by the softmax of the scores, take alpha from the score of what was drawn.
fn drawn(scores: &[f32], alpha: f64, total: usize, random: &mut Seeded) -> Vec<u32> {
    // Sums of weights in a binary tree over the rows.
    let leaves = scores.len().next_power_of_two();
    let mut sums = vec![0.0f64; 2 * leaves];
    for (row, score) in scores.iter().enumerate() {
        sums[leaves + row] = f64::from(*score).exp();
    }
    for node in (1..leaves).rev() {
        sums[node] = sums[2 * node] + sums[2 * node + 1];
    }
    let mut times = vec![0; scores.len()];
    for _ in 0..total {
        let mut left = uniform(random) * sums[1];
        let mut node = 1;
        while node < leaves {
            node *= 2;
            if left >= sums[node] && sums[node + 1] > 0.0 {
                left -= sums[node];
                node += 1;
            }
        }
        times[node - leaves] += 1;
        sums[node] *= (-alpha).exp();
        while node > 1 {
            node /= 2;
            sums[node] = sums[2 * node] + sums[2 * node + 1];
        }
    }
    times
}

#[test]
fn deciles_are_those_of_the_published_loop() {
    const DRAWS: u64 = 12;
    for total in [3_000, 12_000] {
        let mut random = Seeded::new(7);
        let mut scores = scores(&mut random, 6_000);
        scores.sort_by(f32::total_cmp);
        let rows: Vec<(f32, u64)> = scores
            .iter()
            .map(|score| (*score, random_number(random.below(u64::MAX))))
            .collect();
        let decile = |times: &[u32], at: usize| -> f64 {
            let rows = &times[at * 600..(at + 1) * 600];
            rows.iter().map(|&times| f64::from(times)).sum::<f64>() / 600.0
        };
        let found = repeated(of_logits("softcap:alpha=0.15"), &rows, total as u64);
        let loops: Vec<Vec<u32>> = (0..DRAWS)
            .map(|seed| drawn(&scores, 0.15, total, &mut Seeded::new(100 + seed)))
            .collect();
        for at in 0..10 {
            let drawn: Vec<f64> = loops.iter().map(|times| decile(times, at)).collect();
            let mean = drawn.iter().sum::<f64>() / DRAWS as f64;
            let squares = drawn.iter().map(|value| (value - mean).powi(2));
            let spread = (squares.sum::<f64>() / (DRAWS - 1) as f64).sqrt();
            let ours = decile(&found, at);
            // Three standard deviations of one draw, and a row more or less of the smallest deciles.
            let most = 3.0 * spread + 1.0 / 600.0;
            assert!(
                (ours - mean).abs() <= most,
                "{total}, decile {at}: {ours} {mean} {spread}"
            );
        }
    }
}
