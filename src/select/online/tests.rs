//! Every window of a stream, counted.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores are made of f64"
)]

use super::*;

/// Uniform in [0, 1), reproducible from the seed that a failure shows.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn selector(keep: &str) -> OnlineSelector {
    OnlineSelector::try_new(keep.parse().unwrap()).unwrap()
}

/// The next score, given its position and whether the row before was kept.
type Scores = Box<dyn FnMut(usize, bool) -> f32>;

fn shapes(seed: u64) -> Vec<(&'static str, Scores)> {
    let mut next = random(seed);
    let mut level = 0.0;
    let (mut a, mut b, mut c, mut d) = (
        random(seed + 1),
        random(seed + 2),
        random(seed + 3),
        random(seed + 4),
    );
    vec![
        ("shuffled", Box::new(move |_, _| next() as f32)),
        ("skewed", Box::new(move |_, _| a().powi(12) as f32)),
        ("ascending", Box::new(|row, _| row as f32)),
        ("descending", Box::new(|row, _| -(row as f32))),
        ("constant", Box::new(|_, _| 0.25)),
        ("not a number", Box::new(|_, _| f32::NAN)),
        ("two levels", Box::new(move |_, _| f32::from(b() < 0.3))),
        (
            "random walk",
            Box::new(move |_, _| {
                level += c() - 0.5;
                level as f32
            }),
        ),
        (
            "good then bad",
            Box::new(move |row, _| d() as f32 + [5.0, -5.0][row / 7_919 % 2]),
        ),
        (
            "better after every row kept",
            Box::new(|row, kept| if kept { row as f32 } else { -(row as f32) }),
        ),
        (
            "worse after every row kept",
            Box::new(|row, kept| if kept { -(row as f32) } else { row as f32 }),
        ),
    ]
}

#[test]
fn every_window_holds_the_budget_whatever_the_scores_are() {
    const ROWS: usize = 45_000;
    let window = OnlineSelector::WINDOW_ROWS;
    for (seed, text) in (0..).zip(["0.001", "0.1", "0.3", "0.5", "0.95"]) {
        let keep: f64 = text.parse().unwrap();
        for (name, mut scores) in shapes(seed * 10) {
            let mut selector = selector(text);
            let (mut kept, mut last) = (vec![0u32], false);
            for row in 0..ROWS {
                last = selector.push(scores(row, last));
                kept.push(kept[row] + u32::from(last));
            }
            for (rows, &kept) in kept.iter().enumerate() {
                let most = 100.0f64.min(4.0 + rows as f64 / 64.0);
                let deviation = f64::from(kept) - keep * rows as f64;
                assert!(
                    deviation.abs() <= most + 1e-6,
                    "{name}, keep {text}: {deviation} after {rows}"
                );
            }
            for (first, pair) in kept.windows(window + 1).enumerate() {
                let fraction = f64::from(pair[window] - pair[0]) / window as f64;
                assert!(
                    (fraction - keep).abs() <= OnlineSelector::TOLERANCE + 1e-9,
                    "{name}, keep {text}: {fraction} from row {first} on"
                );
            }
        }
    }
}

#[test]
fn decisions_on_shuffled_scores_are_those_of_the_exact_selection() {
    const ROWS: usize = 120_000;
    type Shape = fn(&mut dyn FnMut() -> f64) -> f64;
    let shapes: [(&str, Shape); 3] = [
        ("uniform", |next| next()),
        ("normal", |next| {
            0.25 + 0.05 * (0..12).map(|_| next()).sum::<f64>()
        }),
        ("skewed", |next| 1e-6 * (6.0 * next()).exp()),
    ];
    for (seed, (name, shape)) in (100..).zip(shapes) {
        let mut next = random(seed);
        let scores: Vec<f32> = (0..ROWS).map(|_| shape(&mut next) as f32).collect();
        for text in ["0.1", "0.3", "0.5"] {
            let mut selector = selector(text);
            let kept: Vec<bool> = scores.iter().map(|&score| selector.push(score)).collect();
            let mut sorted = scores.clone();
            sorted.sort_by(f32::total_cmp);
            let budget = text.parse::<Keep>().unwrap().budget(ROWS as u64);
            let threshold = sorted[ROWS - usize::try_from(budget).unwrap()];
            let late = OnlineSelector::WARM_UP_ROWS..ROWS;
            let agreeing = late
                .clone()
                .filter(|&row| kept[row] == (scores[row] >= threshold))
                .count();
            let agreement = agreeing as f64 / late.len() as f64;
            assert!(
                agreement > 0.985,
                "{name}, keep {text}, seed {seed}: {agreement}"
            );
        }
    }
}

#[test]
fn a_budget_of_all_keeps_all_and_one_of_rows_is_refused() {
    for keep in ["1".parse().unwrap(), Keep::All] {
        let mut selector = OnlineSelector::try_new(keep).unwrap();
        assert!((0..1_000u16).all(|row| selector.push(-f32::from(row))));
    }
    let report = OnlineSelector::try_new(Keep::Rows(7)).unwrap_err().report();
    assert!(report.contains("--keep"), "{report}");
}

#[test]
fn recent_scores_are_those_of_a_sorted_copy() {
    let mut next = random(5);
    let keys: Vec<u32> = (0..RECENT_ROWS + 5_000)
        .map(|_| (next() * 30_000.0) as u32)
        .collect();
    let mut recent = RecentScores::default();
    assert_eq!(recent.at(0.5), None);
    for &key in &keys {
        recent.push(key);
    }
    let mut sorted = keys[5_000..].to_vec();
    sorted.sort_unstable();
    assert_eq!(recent.sorted, sorted);
    assert_eq!(recent.at(0.0), sorted.last().copied());
    assert_eq!(recent.at(1.0), sorted.first().copied());
    assert_eq!(recent.at(0.25), Some(sorted[RECENT_ROWS - RECENT_ROWS / 4]));
}
