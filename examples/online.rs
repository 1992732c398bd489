//! How close a budget that is held in one pass comes to the exact selection, on scores of a million rows:
//! `cargo run --release --example online`.
//!
//! Prints Markdown. `whole` is the share of rows on which both agree when the exact selection looks at all rows,
//! `beside` when it looks at the 10,000 rows around each; rows of the warm-up are left out.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "it prints a table of scores that are made up"
)]

use std::time::Instant;

use clip_filter::{
    error::{Error, Result},
    score::{Cut, ScoreHistogram},
    select::{Keep, OnlineSelector},
};

const ROWS: usize = 1_000_000;
const BLOCK: usize = OnlineSelector::WINDOW_ROWS;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / f64::from(u32::MAX)
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - 0.999_999 * self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn main() -> Result<()> {
    println!("| scores | keep | whole | beside | kept fraction of 10,000 rows | ns per row |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, scores) in shapes() {
        for keep in ["0.1", "0.3", "0.5"] {
            println!("| {name} | {keep} | {} |", measure(&scores, keep)?);
        }
    }
    Ok(())
}

fn shapes() -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random(7);
    let mut make = |score: &dyn Fn(&mut Random, f64) -> f64| -> Vec<f32> {
        (0..ROWS)
            .map(|row| score(&mut random, row as f64 / ROWS as f64) as f32)
            .collect()
    };
    let clip = |normal: f64| 0.25 + 0.05 * normal;
    let mut ascending = make(&|random, _| clip(random.normal()));
    ascending.sort_by(f32::total_cmp);
    let descending = ascending.iter().rev().copied().collect();
    vec![
        ("uniform", make(&|random, _| random.uniform())),
        ("normal", make(&|random, _| clip(random.normal()))),
        ("skewed", make(&|random, _| random.uniform().powi(8))),
        (
            "normal, one standard deviation up over the stream",
            make(&|random, at| clip(random.normal() + at)),
        ),
        (
            "normal, up and down by two every 50,000 rows",
            make(&|random, at| {
                clip(random.normal() + if (at * 20.0) % 2.0 < 1.0 { 1.0 } else { -1.0 })
            }),
        ),
        ("ascending", ascending),
        ("descending", descending),
        ("constant", vec![0.25; ROWS]),
    ]
}

fn measure(scores: &[f32], keep: &str) -> Result<String> {
    let keep: Keep = keep.parse().map_err(|error: String| Error::usage(error))?;
    let mut selector = OnlineSelector::try_new(keep)?;
    let start = Instant::now();
    let kept: Vec<bool> = scores.iter().map(|&score| selector.push(score)).collect();
    let nanos = start.elapsed().as_nanos() / ROWS as u128;
    let warm = OnlineSelector::WARM_UP_ROWS;
    let blocks = scores[warm..].chunks(BLOCK);
    let beside: Vec<bool> = blocks.flat_map(|block| exact(block, keep)).collect();
    let mut counts = vec![0u32];
    counts.extend(kept.iter().scan(0, |count, &kept| {
        *count += u32::from(kept);
        Some(*count)
    }));
    let windows = counts.windows(BLOCK + 1);
    let fractions = windows.map(|counts| f64::from(counts[BLOCK] - counts[0]) / BLOCK as f64);
    let (low, high) = fractions.fold((1.0f64, 0.0f64), |(low, high), fraction| {
        (low.min(fraction), high.max(fraction))
    });
    Ok(format!(
        "{:.1} % | {:.1} % | {low:.4} to {high:.4} | {nanos}",
        agreement(&kept[warm..], &exact(scores, keep)[warm..]),
        agreement(&kept[warm..], &beside),
    ))
}

/// The exact selection; of equal scores the first.
fn exact(scores: &[f32], keep: Keep) -> Vec<bool> {
    let mut coarse = ScoreHistogram::default();
    scores.iter().for_each(|&score| coarse.push(score));
    let mut fine = coarse.refine(keep.budget(scores.len() as u64));
    scores.iter().for_each(|&score| fine.push(score));
    let mut cut: Cut = fine.cut();
    scores.iter().map(|&score| cut.admit(score)).collect()
}

fn agreement(ours: &[bool], exact: &[bool]) -> f64 {
    let agreeing = ours.iter().zip(exact).filter(|(a, b)| a == b).count();
    100.0 * agreeing as f64 / ours.len() as f64
}
